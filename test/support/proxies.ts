// Real proxies on free loopback ports: tinyproxy for HTTP CONNECT, microsocks for SOCKS5. Each is ended by its own
// process id, with its temporary directory.
import { type ChildProcess, spawn } from "node:child_process";
import { accepts, findFreeTcpPort } from "./ports.ts";
import { toolPath } from "./requirements.ts";
import { waitFor } from "./wait.ts";
import { Workspace } from "./workspace.ts";

const START_DEADLINE_MS = 10_000;

export type Login = { readonly username: string; readonly password: string };
export type ProxyWishes = {
  readonly login?: Login;
  /** Ports that it opens the way to, of tinyproxy only. */
  readonly ports?: readonly number[];
};

export class ProxyServer implements AsyncDisposable {
  readonly #workspace = new Workspace("proxy");
  readonly #process: ChildProcess;
  #log = "";

  private constructor(
    readonly scheme: "http" | "socks5",
    readonly port: number,
    wishes: ProxyWishes,
  ) {
    const [program, ...args] = scheme === "http" ? this.#http(wishes) : this.#socks(wishes);
    this.#process = spawn(program as string, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#process.stdout, this.#process.stderr])
      stream?.on("data", (text) => {
        this.#log += text;
      });
  }

  static async start(
    scheme: "http" | "socks5",
    wishes: ProxyWishes = {},
    port?: number,
  ): Promise<ProxyServer> {
    const proxy = new ProxyServer(scheme, port ?? (await findFreeTcpPort()), wishes);
    await waitFor(
      "the proxy",
      START_DEADLINE_MS,
      () => accepts({ port: proxy.port }),
      () => proxy.log,
    );
    return proxy;
  }

  get url(): string {
    return `${this.scheme}://127.0.0.1:${this.port}`;
  }

  /** What it has printed: tinyproxy names each host that it was asked for. */
  get log(): string {
    return this.#log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("close", resolve));
    if (this.#process.exitCode === null && this.#process.kill("SIGKILL")) await ended;
    this.#workspace.remove();
  }

  #http({ login, ports = [] }: ProxyWishes): string[] {
    const lines = [
      `Port ${this.port}`,
      "Listen 127.0.0.1",
      "Timeout 600",
      "MaxClients 50",
      "LogLevel Connect",
      ...ports.map((port) => `ConnectPort ${port}`),
      ...(login ? [`BasicAuth ${login.username} ${login.password}`] : []),
    ];
    const file = this.#workspace.write("tinyproxy.conf", `${lines.join("\n")}\n`);
    return [toolPath("tinyproxy"), "-d", "-c", file];
  }

  #socks({ login }: ProxyWishes): string[] {
    const user = login ? ["-u", login.username, "-P", login.password] : [];
    return [toolPath("microsocks"), "-i", "127.0.0.1", "-p", String(this.port), ...user];
  }
}
