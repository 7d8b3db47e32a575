// A plant and a business side in one temporary directory, as an operator would lay them out: link key, send.toml,
// recv.toml, targets.d. Starts the compiled agents with them and ends, by process id, all that it started.
// Each test says only what matters to it; the rest has the values below.
import { type Agent, type AgentName, runProgram, type SpawnWishes, startAgent } from "./agents.ts";
import { type Mosquitto, type MosquittoWishes, startMosquitto } from "./mosquitto.ts";
import { findFreeUdpPort } from "./ports.ts";
import { mergeToml, type TomlTable, toToml } from "./toml.ts";
import { waitFor } from "./wait.ts";
import { Workspace } from "./workspace.ts";

/** Brokers that drop nothing by themselves, so that what is missing in a test was lost by an agent. */
const PATIENT_BROKER = ["max_queued_messages 0", "max_inflight_messages 200"];

export class Site implements AsyncDisposable {
  readonly workspace = new Workspace("site");
  readonly sendFile = this.workspace.path("send.toml");
  readonly recvFile = this.workspace.path("recv.toml");
  readonly #agents: Agent[] = [];
  readonly #brokers: Mosquitto[] = [];
  readonly #others: AsyncDisposable[] = [];

  private constructor(readonly linkPort: number) {}

  /** A site with a key that the program made, and no configuration yet. */
  static async open(): Promise<Site> {
    const site = new Site(await findFreeUdpPort());
    const run = runProgram("send", ["keygen", "--out", site.workspace.path("link.key")]);
    if (run.status !== 0) throw new Error(`cannot make a link key: ${run.stderr}`);
    return site;
  }

  async startBroker(wishes: MosquittoWishes = {}): Promise<Mosquitto> {
    const lines = [...PATIENT_BROKER, ...(wishes.lines ?? [])];
    const broker = await startMosquitto({ ...wishes, lines });
    this.#brokers.push(broker);
    return broker;
  }

  /** Ends it with the site: a client, a proxy. */
  use<Thing extends AsyncDisposable>(thing: Thing): Thing {
    this.#others.push(thing);
    return thing;
  }

  /** Writes send.toml with these [[source]] tables; `over` stands in for what is usual. */
  writeSend(sources: readonly TomlTable[], over: TomlTable = {}): string {
    const usual = {
      link: {
        id: "plant-7",
        key_file: "link.key",
        path: [{ type: "udp", endpoint: `127.0.0.1:${this.linkPort}`, rate_mbit_per_second: 50 }],
      },
      journal: { directory: "journal" },
      source: sources.map((source) =>
        source.type === "listen" ? source : { type: "subscribe", ...QUICK, ...source },
      ),
      admin: { address: "127.0.0.1:0" },
    };
    return this.workspace.write("send.toml", toToml(mergeToml(usual, over)));
  }

  /** Writes recv.toml; `over` stands in for what is usual. */
  writeRecv(over: TomlTable = {}): string {
    const usual = {
      targets: "targets.d",
      link: {
        id: "plant-7",
        key_file: "link.key",
        path: [{ type: "udp", address: `127.0.0.1:${this.linkPort}` }],
      },
      spool: { directory: "spool" },
      admin: { address: "127.0.0.1:0" },
    };
    return this.workspace.write("recv.toml", toToml(mergeToml(usual, over)));
  }

  /** Writes targets.d/NAME.toml. */
  writeTarget(name: string, profile: TomlTable): string {
    const usual = { type: "mqtt", client_id: `plant-7-${name}`, ...QUICK };
    return this.workspace.write(`targets.d/${name}.toml`, toToml(mergeToml(usual, profile)));
  }

  startSend(wishes: SpawnWishes = {}): Agent {
    return this.#start("send", this.sendFile, wishes);
  }

  startRecv(wishes: SpawnWishes = {}): Agent {
    return this.#start("recv", this.recvFile, wishes);
  }

  /** Both agents at work; the receiver first, because nothing waits for it. */
  async startBoth(): Promise<{ send: Agent; recv: Agent }> {
    const recv = await waitUntilReady(this.startRecv());
    const send = await waitUntilReady(this.startSend());
    return { send, recv };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const thing of this.#others.reverse()) await thing[Symbol.asyncDispose]();
    for (const agent of this.#agents) await agent.kill();
    for (const broker of this.#brokers) await broker.remove();
    this.workspace.remove();
  }

  #start(name: AgentName, file: string, wishes: SpawnWishes): Agent {
    const agent = startAgent(name, file, wishes);
    this.#agents.push(agent);
    return agent;
  }
}

/** No long waits before the next attempt. */
const QUICK = { reconnect_min_ms: 50, reconnect_max_ms: 500 };

/** Waits until /readyz says so and returns the agent. */
export async function waitUntilReady(agent: Agent, deadlineMs = 20_000): Promise<Agent> {
  const url = await agent.adminUrl();
  let last = "";
  await waitFor(
    `${agent.agent} to be ready`,
    deadlineMs,
    async () => {
      const response = await fetch(`${url}/readyz`);
      last = await response.text();
      return response.status === 200;
    },
    () => `${last}\n${agent.tail()}`,
  );
  return agent;
}
