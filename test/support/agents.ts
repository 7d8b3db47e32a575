// Runs the compiled agents as an operator would: files in a directory, a command line, signals. Knows them
// only by what they print and serve; there is no product code here.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { waitFor } from "./wait.ts";

const RUN_TIMEOUT_MS = 30_000;
const STOP_DEADLINE_MS = 30_000;
const TAIL_CHARACTERS = 4_000;

export type AgentName = "send" | "recv";

/** One line of an agent's log: JSON with at least a message. */
export type LogLine = { readonly msg: string; readonly [key: string]: unknown };

export type Finished = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

/** The compiled program; says how to make it when it is not there. */
export function findProgram(agent: AgentName): string {
  const path = fileURLToPath(new URL(`../../dist/tidegate-${agent}`, import.meta.url));
  if (!existsSync(path))
    throw new Error(`cannot find dist/tidegate-${agent}: is missing, must be built: npm run build`);
  return path;
}

/** Runs a command to its end, e.g. runProgram("send", ["check", "--config", path]). */
export function runProgram(agent: AgentName, args: readonly string[], options: SpawnWishes = {}): Finished {
  const [program = "", ...rest] = [...(options.before ?? []), findProgram(agent), ...args];
  const run = spawnSync(program, rest, {
    cwd: options.directory,
    env: { ...process.env, ...options.env },
    encoding: "utf8",
    timeout: RUN_TIMEOUT_MS,
  });
  return { status: run.status, stdout: run.stdout, stderr: run.stderr };
}

export type SpawnWishes = {
  readonly directory?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What stands before the program, e.g. ["ip", "netns", "exec", "x"] or ["strace", "-f", …]. */
  readonly before?: readonly string[];
  /** In a process group of its own, out of reach of a terminal's Ctrl-C. */
  readonly detached?: boolean;
};

/** Starts `tidegate-AGENT run --config FILE`. */
export function startAgent(agent: AgentName, configFile: string, wishes: SpawnWishes = {}): Agent {
  const [command = "", ...args] = [
    ...(wishes.before ?? []),
    findProgram(agent),
    "run",
    "--config",
    configFile,
  ];
  const child = spawn(command, args, {
    cwd: wishes.directory,
    env: { ...process.env, ...wishes.env },
    detached: wishes.detached ?? false,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Agent(agent, child, (wishes.before ?? []).length > 0);
}

export class Agent {
  readonly logs: LogLine[] = [];
  #stdout = "";
  #stderr = "";
  #unfinishedLine = "";
  #failure: Error | undefined;

  constructor(
    readonly agent: AgentName,
    private readonly child: ChildProcess,
    private readonly isWrapped = false,
  ) {
    child.on("error", (error) => {
      this.#failure = error;
    });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#takeLog(text));
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get hasEnded(): boolean {
    return this.#failure !== undefined || this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** The exit status, or undefined while it runs or when a signal ended it. */
  get exitStatus(): number | undefined {
    return this.child.exitCode ?? undefined;
  }

  /** The first log line that fits, past ones included. Fails at once when the agent ends without it. */
  waitForLog(what: string, fits: (line: LogLine) => boolean, deadlineMs = 10_000): Promise<LogLine> {
    return this.#wait(`a log line of ${this.agent}: ${what}`, deadlineMs, () => this.logs.find(fits));
  }

  /** Base address of the admin pages, e.g. "http://127.0.0.1:40123". */
  async adminUrl(deadlineMs = 10_000): Promise<string> {
    const line = await this.waitForLog(
      "admin listening",
      (each) => each.msg === "admin listening",
      deadlineMs,
    );
    return `http://${String(line.address)}`;
  }

  /** /api/status as it is now. */
  async readStatus<Status>(): Promise<Status> {
    const response = await fetch(`${await this.adminUrl()}/api/status`);
    if (!response.ok) throw new Error(`cannot read the status of ${this.agent}: HTTP ${response.status}`);
    return (await response.json()) as Status;
  }

  /** Polls /api/status until it fits. */
  waitForStatus<Status>(
    what: string,
    fits: (status: Status) => boolean,
    deadlineMs = 20_000,
  ): Promise<Status> {
    return this.#wait(`${this.agent}: ${what}`, deadlineMs, async () => {
      const status = await this.readStatus<Status>();
      return fits(status) ? status : undefined;
    });
  }

  /** Asks it to stop and returns its exit status (undefined when a signal ended it). */
  async stop(signal: "SIGTERM" | "SIGINT" | "SIGKILL" = "SIGTERM"): Promise<number | undefined> {
    this.#signal(signal);
    await waitFor(
      `the end of ${this.agent}`,
      STOP_DEADLINE_MS,
      () => this.hasEnded,
      () => this.tail(),
    );
    return this.exitStatus;
  }

  /** Asks it to read its keys again (SIGHUP). */
  reload(): void {
    this.#signal("SIGHUP");
  }

  /** It does nothing while `work` is done: a broker can be started and subscribed to before it notices. */
  async whilePaused<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#signal("SIGSTOP");
    try {
      return await work();
    } finally {
      this.#signal("SIGCONT");
    }
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    await this.stop("SIGKILL");
  }

  /** Without waiting for it, for the last moment of a process. */
  killNow(): void {
    this.#signal("SIGKILL");
  }

  /** The end of its log, for a person. */
  tail(): string {
    return `--- tidegate-${this.agent} (pid ${this.pid}) ---\n${this.#stderr.slice(-TAIL_CHARACTERS)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  // What stands before the program may be its parent (strace), which would be gone without it. Without one, a child is the
  // program's own.
  #signal(signal: "SIGTERM" | "SIGINT" | "SIGKILL" | "SIGHUP" | "SIGSTOP" | "SIGCONT"): void {
    if (this.hasEnded) return;
    const [child] = this.isWrapped ? readChildren(this.pid) : [];
    if (child === undefined) this.child.kill(signal);
    else process.kill(child, signal);
  }

  #wait<Value>(
    what: string,
    deadlineMs: number,
    probe: () => Value | undefined | Promise<Value | undefined>,
  ): Promise<Value> {
    const probeWhileAlive = async (): Promise<Value | undefined> => {
      const ended = this.hasEnded;
      const value = ended ? await Promise.resolve(probe()).catch(() => undefined) : await probe();
      if (value === undefined && ended) {
        throw new Error(
          `${this.agent} ended (${this.#failure?.message ?? this.exitStatus}) before ${what}\n${this.tail()}`,
        );
      }
      return value;
    };
    return waitFor(what, deadlineMs, probeWhileAlive, () => this.tail());
  }

  #takeLog(text: string): void {
    this.#stderr += text;
    const lines = (this.#unfinishedLine + text).split("\n");
    this.#unfinishedLine = lines.pop() ?? "";
    for (const line of lines) {
      const parsed = parseLogLine(line);
      if (parsed !== undefined) this.logs.push(parsed);
    }
  }
}

function readChildren(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text
      .split(" ")
      .map(Number)
      .filter((child) => child > 0);
  } catch {
    return [];
  }
}

// An agent also prints plain lines for people (faults of a configuration); those are not log lines.
function parseLogLine(line: string): LogLine | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && "msg" in value ? (value as LogLine) : undefined;
  } catch {
    return undefined;
  }
}
