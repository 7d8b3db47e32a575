// A broker that we did not write, on free loopback ports in a temporary directory: started in the foreground, ended by its own
// process id, started again on the same ports with what it had on disk.
import { type ChildProcess, spawn } from "node:child_process";
import { accepts, findFreeTcpPort } from "../../support/ports.ts";
import { waitFor } from "../../support/wait.ts";
import { Workspace } from "../../support/workspace.ts";

/** Erlang and Java take their time on a busy machine. */
const START_DEADLINE_MS = 90_000;

export type Ports = { readonly mqtt: number; readonly own: number; readonly other: number };
export type BrokerKind = {
  readonly name: string;
  /** What must be installed. */
  readonly tools: readonly string[];
  /** Writes its configuration and says how it is started. */
  prepare(
    workspace: Workspace,
    ports: Ports,
  ): { readonly command: readonly string[]; readonly env?: Readonly<Record<string, string>> };
  /** What is left after it has ended. */
  tidy?(ports: Ports): void;
};

export class RealBroker implements AsyncDisposable {
  readonly #workspace: Workspace;
  readonly #kind: BrokerKind;
  readonly #ports: Ports;
  readonly #start: ReturnType<BrokerKind["prepare"]>;
  #child: ChildProcess | undefined;
  #log = "";

  private constructor(kind: BrokerKind, ports: Ports) {
    this.#kind = kind;
    this.#ports = ports;
    this.#workspace = new Workspace(kind.name);
    this.#start = kind.prepare(this.#workspace, ports);
  }

  static async start(kind: BrokerKind): Promise<RealBroker> {
    const [mqtt, own, other] = [await findFreeTcpPort(), await findFreeTcpPort(), await findFreeTcpPort()];
    const broker = new RealBroker(kind, { mqtt, own, other });
    await broker.start();
    return broker;
  }

  get port(): number {
    return this.#ports.mqtt;
  }

  get log(): string {
    return this.#log;
  }

  async start(): Promise<void> {
    const [program = "", ...args] = this.#start.command;
    const child = spawn(program, args, {
      cwd: this.#workspace.directory,
      env: { ...process.env, ...this.#start.env },
      stdio: ["pipe", "pipe", "pipe"],
      // Launchers have children of their own: they end as one group.
      detached: true,
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (text) => {
        this.#log += text;
      });
    await waitFor(
      this.#kind.name,
      START_DEADLINE_MS,
      () => {
        if (child.exitCode !== null)
          throw new Error(`cannot start ${this.#kind.name}: it ended\n${this.#log}`);
        return accepts({ port: this.port });
      },
      () => this.#log.slice(-4000),
    );
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("close", resolve));
    process.kill(-child.pid, "SIGKILL");
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#kind.tidy?.(this.#ports);
    this.#workspace.remove();
  }
}
