// A program at one end of a pipe: its standard input is what this program writes, or its standard output what this one reads,
// never both. No shell, no secrets: of the environment it has PATH and LANG alone. What it says on standard
// error is logged at debug, line by line and cut; at any other level it goes nowhere.
import { closeSync } from "node:fs";
import type { Logger } from "../log.ts";
import { openPipe } from "./pipe.ts";

/** All that the program has of an environment. */
export const COMMAND_ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C.UTF-8",
};
const LINE_CHARACTERS_MAX = 256;
/** A program that is told to end by the end of its input, or by SIGTERM, is killed after this. */
const END_MS = 2000;

export type Command = {
  /** This program's end, which never waits. */
  readonly fd: number;
  /** Resolves with the reason when the program has ended. */
  readonly ended: Promise<string>;
  /** Closes this end, and ends the program if it does not end by itself. */
  close(): Promise<void>;
};

/** Throws an Error with a sentence for a person when the program cannot be started. */
export function startCommand(command: readonly string[], direction: "read" | "write", log: Logger): Command {
  const [program = ""] = command;
  const pipe = openPipe(direction);
  if (typeof pipe === "string") throw new Error(`cannot start ${program}: ${pipe}`);
  const talks = log.isLevelEnabled("debug");
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn([...command], {
      env: COMMAND_ENVIRONMENT,
      stdin: direction === "write" ? pipe.far : "ignore",
      stdout: direction === "read" ? pipe.far : "ignore",
      stderr: talks ? "pipe" : "ignore",
    });
  } catch (error) {
    closeSync(pipe.near);
    throw new Error(`cannot start ${program}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    closeSync(pipe.far);
  }
  if (child.stderr instanceof ReadableStream) void logLines(child.stderr, program, log);
  const ended = child.exited.then(
    (status) => `${program} has ended with ${child.signalCode ?? `status ${status}`}`,
  );
  let open = true;
  const close = async () => {
    if (!open) return;
    open = false;
    closeSync(pipe.near);
    if (direction === "read") child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), END_MS);
    await ended;
    clearTimeout(timer);
  };
  return { fd: pipe.near, ended, close };
}

async function logLines(stream: ReadableStream<Uint8Array>, program: string, log: Logger): Promise<void> {
  const decoder = new TextDecoder();
  let line = "";
  for await (const chunk of stream) {
    for (const part of decoder.decode(chunk, { stream: true }).split(/(\n)/)) {
      if (part === "\n") {
        log.debug({ program, line }, "said on standard error");
        line = "";
      } else line = (line + part).slice(0, LINE_CHARACTERS_MAX);
    }
  }
}
