// Eclipse Tahu's edge node and host application as programs of their own, and what they say.
import { fileURLToPath } from "node:url";
import { fetchLibraries, JavaProgram } from "../../support/java.ts";
import { waitFor } from "../../support/wait.ts";

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
let libraries: string | undefined;

function start(name: string, args: readonly string[]): JavaProgram {
  libraries ??= fetchLibraries(file("pom.xml"));
  return new JavaProgram(libraries, file(name), args);
}

type Said = Readonly<Record<string, unknown>> & { readonly event: string };

/** The JSON lines of a program that have come so far. */
function readSaid(program: JavaProgram): Said[] {
  return program.lines.flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Said] : []));
}

/** One node with the device "d1"; TahuEdge.java says what it has. */
export class TahuEdge implements AsyncDisposable {
  readonly #program: JavaProgram;

  constructor(port: number, group: string, node: string) {
    this.#program = start("TahuEdge.java", [String(port), group, node]);
  }

  get births(): number {
    return readSaid(this.#program).filter(({ event }) => event === "birth").length;
  }

  /** Names of all that it was asked to do. */
  get commands(): unknown[] {
    return readSaid(this.#program)
      .filter(({ event }) => event === "command")
      .map(({ name }) => name);
  }

  async waitForBirth(count = 1): Promise<void> {
    const born = () => this.births >= count;
    await waitFor(`birth ${count} of Tahu's edge node`, 60_000, born, () => this.#program.tail());
  }

  /** "int N", "text T", "mixed", "quit". */
  tell(line: string): void {
    this.#program.tell(line);
  }

  kill(): Promise<void> {
    return this.#program.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}

export type HostMetric = { readonly type: string; readonly value: unknown; readonly stale: boolean };

export class TahuHost implements AsyncDisposable {
  readonly #program: JavaProgram;

  constructor(port: number, id: string) {
    this.#program = start("TahuHost.java", [String(port), id]);
  }

  /** All that it knows, by "group/node/device name". */
  get metrics(): Map<string, HostMetric> {
    const metrics = new Map<string, HostMetric>();
    for (const said of readSaid(this.#program)) {
      if (said.event !== "metric") continue;
      const { type, value, stale } = said as unknown as HostMetric;
      metrics.set(`${said.of} ${said.name}`, { type, value, stale });
    }
    return metrics;
  }

  /** That many times it has connected. */
  async waitForConnection(times = 1): Promise<void> {
    const count = () => readSaid(this.#program).filter(({ event }) => event === "connected").length;
    const isThere = () => count() >= times;
    await waitFor(`connection ${times} of Tahu's host`, 60_000, isThere, () => this.#program.tail());
  }

  async waitFor(
    what: string,
    fits: (metrics: Map<string, HostMetric>) => boolean,
    explain = () => "",
    deadlineMs = 30_000,
  ): Promise<void> {
    const tell = () => `${JSON.stringify([...this.metrics])}\n${this.#program.tail()}\n${explain()}`;
    await waitFor(`Tahu's host to know ${what}`, deadlineMs, () => fits(this.metrics), tell);
  }

  askRebirth(group: string, node: string): void {
    this.#program.tell(`rebirth ${group} ${node}`);
  }

  kill(): Promise<void> {
    return this.#program.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}
