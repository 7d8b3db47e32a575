// A process of the benchmark's own that answers one request after another, so that load, sink and runner do not share
// an event loop. Both ends of the conversation are here.
import { fileURLToPath } from "node:url";

export type Request = { readonly command: string; readonly [key: string]: unknown };
type Answer = { readonly id: number; readonly value?: unknown; readonly error?: string };

export class Worker {
  readonly #child: Bun.Subprocess;
  readonly #open = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #nextId = 0;

  /** Starts `name`.ts of this folder. */
  constructor(readonly name: string) {
    const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
    this.#child = Bun.spawn([process.execPath, file], {
      stdio: ["ignore", "inherit", "inherit"],
      ipc: (message) => this.#take(message as Answer),
      onExit: (_, code) => this.#fail(new Error(`${name} ended with status ${code}`)),
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  ask<Value>(request: Request): Promise<Value> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#open.set(id, { resolve: (value) => resolve(value as Value), reject });
      this.#child.send({ id, request });
    });
  }

  async stop(): Promise<void> {
    this.#open.clear();
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  #take({ id, value, error }: Answer): void {
    const call = this.#open.get(id);
    this.#open.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new Error(`${this.name}: ${error}`));
  }

  #fail(error: Error): void {
    for (const { reject } of this.#open.values()) reject(error);
    this.#open.clear();
  }
}

export type Handlers = Readonly<Record<string, (request: Request) => unknown>>;

/** The worker's side: answers each command with what its handler returns. */
export function serve(handlers: Handlers): void {
  process.on("message", async (message: { id: number; request: Request }) => {
    const { id, request } = message;
    try {
      const value = await handlers[request.command]?.(request);
      process.send?.({ id, value });
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
  process.on("disconnect", () => process.exit(0));
}
