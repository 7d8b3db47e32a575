// Programs in Java for tests: their libraries come from Maven Central by the pom.xml beside them, and the source file is compiled
// when it is started. What is started is ended by its own process id.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toolPath } from "./requirements.ts";
import { waitFor } from "./wait.ts";

const END_DEADLINE_MS = 20_000;
const TAIL_CHARACTERS = 4000;

/** The class path of a pom.xml's libraries. */
export function fetchLibraries(pomFile: string): string {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-classpath-"));
  const file = join(folder, "classpath");
  try {
    const goal = ["dependency:build-classpath", `-Dmdep.outputFile=${file}`];
    const run = spawnSync(toolPath("mvn"), ["-q", "-B", "-f", pomFile, ...goal], { encoding: "utf8" });
    if (run.status !== 0)
      throw new Error(`cannot fetch the libraries of ${pomFile}: ${run.stdout.slice(-2000)}`);
    return readFileSync(file, "utf8").trim();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A program that runs until its standard input ends. */
export class JavaProgram implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  #unfinished = "";
  #tail = "";

  constructor(libraries: string, sourceFile: string, args: readonly string[]) {
    const options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", libraries];
    this.#child = spawn(toolPath("java"), [...options, sourceFile, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdout?.on("data", (chunk) => this.#take(String(chunk)));
    this.#child.stderr?.on("data", (chunk) => this.#note(String(chunk)));
    this.#child.on("error", (error) => this.#note(error.message));
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  tail(): string {
    return this.#tail;
  }

  async waitForLine(wanted: (line: string) => boolean, what: string, deadlineMs = 60_000): Promise<string> {
    return await waitFor(
      what,
      deadlineMs,
      () => {
        if (this.hasEnded) throw new Error(`it ended before ${what}\n${this.tail()}`);
        return this.lines.find(wanted);
      },
      () => this.tail(),
    );
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    if (!this.hasEnded) this.#child.kill("SIGKILL");
    await waitFor("the end of a Java program", END_DEADLINE_MS, () => this.hasEnded);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #take(text: string): void {
    this.#note(text);
    const lines = (this.#unfinished + text).split("\n");
    this.#unfinished = lines.pop() ?? "";
    this.lines.push(...lines);
  }

  #note(text: string): void {
    this.#tail = (this.#tail + text).slice(-TAIL_CHARACTERS);
  }
}
