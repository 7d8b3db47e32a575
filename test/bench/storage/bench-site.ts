// The two programs in a directory of their own, as the storage figures want them: clients publish to the sender itself, and the
// one target is a broker that may be away.
import { type ChildProcess, spawn } from "node:child_process";
import { Agent, type AgentName } from "../../support/agents.ts";
import { findFreeTcpPort, findFreeUdpPort } from "../../support/ports.ts";
import { Workspace } from "../../support/workspace.ts";
import type { Durability, Programs } from "../pair.ts";

export const TARGET = "business";
const INFLIGHT_MAX = 1000;
const RATE_MBIT_PER_SECOND = 2000;
const BYTES_MAX = 64 * 1024 ** 3;
const POLL_MS = 2;

export type SiteWishes = {
  readonly programs: Programs;
  readonly durability: Durability;
  readonly targetPort: number;
};

export class BenchSite {
  readonly workspace = new Workspace("bench-store");
  readonly #programs: Programs;
  readonly #agents: Agent[] = [];

  static async open(wishes: SiteWishes): Promise<BenchSite> {
    return new BenchSite(wishes, await findFreeTcpPort(), await findFreeUdpPort());
  }

  private constructor(
    { programs, durability, targetPort }: SiteWishes,
    readonly sourcePort: number,
    linkPort: number,
  ) {
    this.#programs = programs;
    Bun.spawnSync([...programs.send, "keygen", "--out", this.workspace.path("link.key")]);
    const shared = '[link]\nid = "bench"\nkey_file = "link.key"\n[admin]\naddress = "127.0.0.1:0"\n';
    this.workspace.write(
      "send.toml",
      `${shared}[[link.path]]
type = "udp"
endpoint = "127.0.0.1:${linkPort}"
rate_mbit_per_second = ${RATE_MBIT_PER_SECOND}
[journal]
directory = "journal"
durability = "${durability}"
bytes_max = ${BYTES_MAX}
[[source]]
name = "floor"
type = "listen"
anonymous = true
receive_maximum = ${INFLIGHT_MAX}
[[source.listener]]
address = "127.0.0.1:${sourcePort}"
`,
    );
    this.workspace.write(
      "recv.toml",
      `targets = "targets.d"
${shared}[[link.path]]
type = "udp"
address = "127.0.0.1:${linkPort}"
[spool]
directory = "spool"
durability = "${durability}"
bytes_max = ${BYTES_MAX}
`,
    );
    this.workspace.write(
      `targets.d/${TARGET}.toml`,
      `type = "mqtt"
url = "mqtt://127.0.0.1:${targetPort}"
client_id = "bench"
inflight_max = ${INFLIGHT_MAX}
reconnect_min_ms = 50
reconnect_max_ms = 100
`,
    );
  }

  get journalDirectory(): string {
    return this.workspace.path("journal");
  }

  get spoolDirectory(): string {
    return this.workspace.path("spool");
  }

  /** Starts one and waits until /readyz says yes. */
  async start(name: AgentName, deadlineMs: number): Promise<{ agent: Agent; readyMs: number }> {
    const [command = "", ...args] = [...this.#programs[name], "run", "--config"];
    const began = performance.now();
    const child: ChildProcess = spawn(command, [...args, this.workspace.path(`${name}.toml`)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const agent = new Agent(name, child);
    this.#agents.push(agent);
    const url = `${await agent.adminUrl(deadlineMs)}/readyz`;
    while (!(await fetch(url)).ok) {
      if (performance.now() - began > deadlineMs)
        throw new Error(`${name} does not get ready\n${agent.tail()}`);
      await Bun.sleep(POLL_MS);
    }
    return { agent, readyMs: performance.now() - began };
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) await agent.kill();
    this.workspace.remove();
  }
}
