// Runs a real Mosquitto on free loopback ports in a temporary directory. It is stopped by its own process
// id, and may be started again on the same ports, with what it had on disk.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, closeSync, openSync, readFileSync } from "node:fs";
import type { CertificateFiles } from "./certificates.ts";
import { accepts, type Door, findFreeTcpPort } from "./ports.ts";
import { toolPath } from "./requirements.ts";
import { waitFor } from "./wait.ts";
import { Workspace } from "./workspace.ts";

const START_DEADLINE_MS = 10_000;
const STOP_DEADLINE_MS = 10_000;
const START_TRIES = 5;

export type MosquittoListener = {
  readonly websockets?: boolean;
  readonly tls?: {
    readonly server: CertificateFiles;
    /** Authority of the clients' certificates; needed with requireCertificate. */
    readonly caFile?: string;
    readonly requireCertificate?: boolean;
  };
  /** Passwords by user name. Without it anyone may connect. */
  readonly users?: Readonly<Record<string, string>>;
  /** More lines of this listener's part of the configuration. */
  readonly lines?: readonly string[];
};

export type MosquittoWishes = {
  /** One plain listener unless told. */
  readonly listeners?: readonly MosquittoListener[];
  /** Keeps sessions and retained messages over a restart. */
  readonly persistence?: boolean;
  /** More lines of the general part, e.g. "max_inflight_messages 100". */
  readonly lines?: readonly string[];
  /** What stands before the program, e.g. ["ip", "netns", "exec", "x"]; from outside it is reached by its socketPath. */
  readonly before?: readonly string[];
};

/** Starts a broker and waits until every listener accepts connections. */
export async function startMosquitto(wishes: MosquittoWishes = {}): Promise<Mosquitto> {
  const listeners = wishes.listeners ?? [{}];
  for (let attempt = 1; ; attempt += 1) {
    const ports: number[] = [];
    while (ports.length < listeners.length) ports.push(await findFreeTcpPort());
    const broker = new Mosquitto(ports, { ...wishes, listeners });
    try {
      await broker.start();
      return broker;
    } catch (error) {
      const portWasTaken = broker.log().includes("Address already in use");
      await broker.remove();
      if (!portWasTaken || attempt === START_TRIES) throw error;
    }
  }
}

export class Mosquitto {
  readonly #workspace = new Workspace("mosquitto");
  readonly #before: readonly string[];
  #process: ChildProcess | undefined;

  constructor(
    readonly ports: readonly number[],
    wishes: MosquittoWishes & { readonly listeners: readonly MosquittoListener[] },
  ) {
    this.#before = wishes.before ?? [];
    this.#workspace.write("mosquitto.conf", `${describe(this.#workspace, ports, wishes).join("\n")}\n`);
  }

  /** The port of the first listener. */
  get port(): number {
    return this.ports[0] ?? 0;
  }

  /** A listener without password or TLS, on a Unix socket: network namespaces don't stand in its way. */
  get socketPath(): string {
    return this.#workspace.path("socket");
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get directory(): string {
    return this.#workspace.directory;
  }

  /** Everything it has logged, over all its starts. */
  log(): string {
    try {
      return readFileSync(this.#workspace.path("log"), "utf8");
    } catch {
      return "";
    }
  }

  async start(): Promise<void> {
    const log = openSync(this.#workspace.path("log"), "a", 0o600);
    const [program = "", ...args] = [...this.#before, toolPath("mosquitto"), "-v", "-c"];
    const child = spawn(program, [...args, this.#workspace.path("mosquitto.conf")], {
      cwd: this.directory,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#process = child;
    const doors =
      this.#before.length === 0 ? this.ports.map((port) => ({ port })) : [{ path: this.socketPath }];
    for (const door of doors) {
      await waitFor(
        `mosquitto at ${JSON.stringify(door)}`,
        START_DEADLINE_MS,
        () => this.#answers(child, door),
        () => this.log(),
      );
    }
  }

  /** SIGTERM writes the persistent state, SIGKILL does not. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined) return;
    child.kill(signal);
    await waitFor("the end of mosquitto", STOP_DEADLINE_MS, () => hasEnded(child));
  }

  async restart(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    await this.stop(signal);
    await this.start();
  }

  /** Stops it and removes what it wrote. */
  async remove(): Promise<void> {
    await this.stop("SIGKILL");
    this.#workspace.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }

  #answers(child: ChildProcess, door: Door): Promise<boolean> {
    if (hasEnded(child)) throw new Error(`cannot start mosquitto: it ended at once\n${this.log()}`);
    return accepts(door);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function describe(
  workspace: Workspace,
  ports: readonly number[],
  wishes: MosquittoWishes & { readonly listeners: readonly MosquittoListener[] },
): string[] {
  // Started by root, Mosquitto would become another user, who cannot read keys of mode 0600.
  const lines = [
    "per_listener_settings true",
    "user root",
    "log_dest stderr",
    "log_timestamp_format %H:%M:%S",
  ];
  if (wishes.persistence === true)
    lines.push("persistence true", `persistence_location ${workspace.directory}/`);
  lines.push(...(wishes.lines ?? []));
  // Besides its use: Mosquitto 2.0.11 refuses to start with WebSocket listeners alone.
  lines.push(`listener 0 ${workspace.path("socket")}`, "allow_anonymous true");
  wishes.listeners.forEach((listener, index) => {
    // Without the domain a WebSocket listener binds to every address, whatever its line says.
    lines.push(
      `listener ${ports[index]} 127.0.0.1`,
      "socket_domain ipv4",
      `protocol ${listener.websockets ? "websockets" : "mqtt"}`,
    );
    lines.push(...describeAccess(workspace, index, listener.users), ...describeTls(listener.tls));
    lines.push(...(listener.lines ?? []));
  });
  return lines;
}

function describeAccess(workspace: Workspace, index: number, users: MosquittoListener["users"]): string[] {
  if (users === undefined) return ["allow_anonymous true"];
  const path = workspace.write(`passwords-${index}`, "");
  for (const [user, password] of Object.entries(users)) {
    const run = spawnSync(toolPath("mosquitto_passwd"), ["-b", path, user, password], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`cannot set the password of ${user}: ${run.stderr}`);
  }
  chmodSync(path, 0o600);
  return ["allow_anonymous false", `password_file ${path}`];
}

function describeTls(tls: MosquittoListener["tls"]): string[] {
  if (tls === undefined) return [];
  const lines = [`certfile ${tls.server.certFile}`, `keyfile ${tls.server.keyFile}`];
  if (tls.caFile !== undefined) lines.push(`cafile ${tls.caFile}`);
  if (tls.requireCertificate === true) lines.push("require_certificate true");
  return lines;
}
