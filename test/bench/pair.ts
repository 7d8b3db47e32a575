// The two agents between two brokers, as an operator would set them up for a fast link on one machine.
import { spawn } from "node:child_process";
import { Agent, type AgentName } from "../support/agents.ts";
import { findFreeUdpPort } from "../support/ports.ts";
import { Workspace } from "../support/workspace.ts";

export type Durability = "fsync" | "os" | "memory";
/** The command line that starts an agent, up to its arguments. */
export type Programs = Readonly<Record<AgentName, readonly string[]>>;

export type PairWishes = {
  readonly programs: Programs;
  /** The broker to subscribe to; left out where the sender itself is one, on `listenPort`. */
  readonly sourcePort?: number;
  readonly listenPort?: number;
  readonly targetPort: number;
  /** The target speaks TLS, with a certificate of this authority. */
  readonly caFile?: string | undefined;
  readonly qos: number;
  /** Of the journal; the spool keeps its default. */
  readonly durability: Durability;
  readonly rateMbitPerSecond?: number | undefined;
  /** Further lines of the sender's [link]. */
  readonly link?: string | undefined;
};

/** The window of both sides of the brokers: what they may have unacknowledged. */
const INFLIGHT_MAX = 1000;
/** What the units of the install media set. */
const UNIT_ENVIRONMENT = { BUN_JSC_forceRAMSize: "2147483648", MIMALLOC_PURGE_DELAY: "1000" };
/** Far above what the brokers reach: the link must not be what is measured. */
const RATE_MBIT_PER_SECOND = 2000;
/** As docs/speeds.md has it for such a rate; the kernel grants what net.core.rmem_max allows. */
const RECEIVE_BUFFER_BYTES = 33_554_432;

export class Pair {
  readonly #workspace = new Workspace("bench-pair");
  readonly #wishes: PairWishes;
  readonly #linkFiles: { send: string; recv: string };
  send: Agent | undefined;
  recv: Agent | undefined;

  static async prepare(wishes: PairWishes): Promise<Pair> {
    return new Pair(wishes, await findFreeUdpPort());
  }

  private constructor(wishes: PairWishes, linkPort: number) {
    this.#wishes = wishes;
    const made = Bun.spawnSync([
      ...wishes.programs.send,
      "keygen",
      "--out",
      this.#workspace.path("link.key"),
    ]);
    if (made.exitCode !== 0) throw new Error(`cannot make a link key: ${made.stderr}`);
    const shared = (link = "") =>
      `[link]\nid = "bench"\nkey_file = "link.key"\n${link}\n[admin]\naddress = "127.0.0.1:0"\n`;
    const { qos, durability, sourcePort, listenPort, targetPort, caFile, link } = wishes;
    this.#linkFiles = {
      send: this.#workspace.write(
        "send.toml",
        `${shared(link)}[[link.path]]
type = "udp"
endpoint = "127.0.0.1:${linkPort}"
rate_mbit_per_second = ${wishes.rateMbitPerSecond ?? RATE_MBIT_PER_SECOND}
[journal]
directory = "journal"
durability = "${durability}"
[[source]]
name = "plant"
${
  listenPort === undefined
    ? `type = "subscribe"
url = "mqtt://127.0.0.1:${sourcePort}"
mqtt_version = "3.1.1"
topics = ["bench/#"]
qos = ${qos}
receive_maximum = ${INFLIGHT_MAX}`
    : `type = "listen"
anonymous = true
receive_maximum = ${INFLIGHT_MAX}
[[source.listener]]
address = "127.0.0.1:${listenPort}"`
}
`,
      ),
      recv: this.#workspace.write(
        "recv.toml",
        `targets = "targets.d"
${shared()}[[link.path]]
type = "udp"
address = "127.0.0.1:${linkPort}"
receive_buffer_bytes = ${RECEIVE_BUFFER_BYTES}
[spool]
directory = "spool"
`,
      ),
    };
    this.#workspace.write(
      "targets.d/business.toml",
      `type = "mqtt"
url = "${caFile === undefined ? "mqtt" : "mqtts"}://127.0.0.1:${targetPort}"
mqtt_version = "3.1.1"
client_id = "bench"
inflight_max = ${INFLIGHT_MAX}
${caFile === undefined ? "" : `[tls]\nca_file = "${caFile}"\n`}`,
    );
  }

  /** Starts both, the receiver first, and waits until both are ready. */
  async start(): Promise<void> {
    await this.startOne("recv");
    await this.startOne("send");
  }

  /** Starts one and waits until /readyz says yes; milliseconds that took. */
  async startOne(name: AgentName): Promise<number> {
    const [command = "", ...args] = [
      ...this.#wishes.programs[name],
      "run",
      "--config",
      this.#linkFiles[name],
    ];
    const begin = performance.now();
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...UNIT_ENVIRONMENT },
    });
    const agent = new Agent(name, child);
    this[name] = agent;
    const url = `${await agent.adminUrl()}/readyz`;
    while (!(await fetch(url)).ok) {
      if (performance.now() - begin > 10_000) throw new Error(`${name} does not get ready\n${agent.tail()}`);
      await Bun.sleep(1);
    }
    return performance.now() - begin;
  }

  /** What both ledgers say, for the message of a run that failed. */
  async explain(): Promise<string> {
    const ledgers = await Promise.all(
      [this.send, this.recv].map(async (agent) => {
        const status = await agent?.readStatus<{ ledger?: unknown; link?: unknown; targets?: unknown }>();
        return JSON.stringify({ ledger: status?.ledger, link: status?.link, targets: status?.targets });
      }),
    );
    return `send ${ledgers[0]}\nrecv ${ledgers[1]}\n${this.send?.tail()}\n${this.recv?.tail()}`;
  }

  async stop(): Promise<void> {
    await this.send?.stop();
    await this.recv?.stop();
    this.#workspace.remove();
  }

  async kill(): Promise<void> {
    await Promise.all([this.send?.kill(), this.recv?.kill()]);
    this.#workspace.remove();
  }
}
