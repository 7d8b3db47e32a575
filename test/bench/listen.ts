// How many messages a second a server accepts from one publisher: the listening source of tidegate-send next to Mosquitto and
// aedes, by turns. Nobody subscribes; the agent also keeps each message in its journal and writes it to the link.
import { fileURLToPath } from "node:url";
import { startAgent } from "../support/agents.ts";
import { findFreeTcpPort, findFreeUdpPort } from "../support/ports.ts";
import { Workspace } from "../support/workspace.ts";
import { startAedes } from "./aedes-process.ts";
import { startBroker } from "./broker.ts";
import { runUndisturbed } from "./carry.ts";
import type { Durability } from "./pair.ts";
import { readCosts, subtractCosts } from "./proc.ts";
import { type Spread, spreadOf } from "./statistic.ts";
import { Worker } from "./worker.ts";

const PAYLOAD_BYTES = 100;
const MESSAGES = { 0: 1_500_000, 1: 300_000, 2: 150_000 } as const;
const RATE_MBIT_PER_SECOND = 2000;

type Server = { readonly port: number; readonly pid: number; stop(): Promise<void> };

export async function startListening(durability: Durability): Promise<Server> {
  const workspace = new Workspace("bench-listen");
  const port = await findFreeTcpPort();
  const program = fileURLToPath(new URL("../../dist/tidegate-send", import.meta.url));
  Bun.spawnSync([program, "keygen", workspace.path("link.key")]);
  const config = workspace.write(
    "send.toml",
    `[link]
id = "bench"
key_file = "link.key"
[[link.path]]
type = "udp"
endpoint = "127.0.0.1:${await findFreeUdpPort()}"
rate_mbit_per_second = ${RATE_MBIT_PER_SECOND}
[journal]
directory = "journal"
durability = "${durability}"
[[source]]
name = "floor"
type = "listen"
anonymous = true
connections_per_second_max = 100000
[[source.listener]]
address = "127.0.0.1:${port}"
[admin]
address = "127.0.0.1:0"
`,
  );
  const agent = startAgent("send", config);
  await agent.waitForLog("listening", ({ msg }) => msg.includes("listens on"));
  return {
    port,
    pid: agent.pid,
    stop: async () => {
      await agent.kill();
      workspace.remove();
    },
  };
}

/** Without TCP_NODELAY Mosquitto's acknowledgements wait for those of the kernel, and only that would be measured. */
const ENTRANTS: readonly { readonly name: string; readonly start: () => Promise<Server> }[] = [
  { name: "Mosquitto", start: () => startBroker(undefined, { noDelay: true }) },
  {
    name: "Mosquitto, persistence",
    start: () => startBroker(undefined, { persistence: true, noDelay: true }),
  },
  { name: "aedes", start: async () => startAedes(await findFreeTcpPort()) },
  { name: "tidegate, fsync", start: () => startListening("fsync") },
  { name: "tidegate, os", start: () => startListening("os") },
];

export type ListenStanding = {
  readonly qos: 0 | 1 | 2;
  readonly server: string;
  readonly messagesPerSecond: Spread;
  /** To the first server, Mosquitto without persistence unless others are asked for, round by round. */
  readonly ratio: Spread;
  readonly cpuSecondsPerMillion: number;
  readonly foreignLoadMost: number;
};

type Press = { readonly rate: number; readonly cost: number; readonly foreignLoad: number };

export async function measureListen(
  rounds: number,
  note: (line: string) => void,
  wanted: { readonly qos?: readonly (0 | 1 | 2)[]; readonly servers?: readonly string[] } = {},
): Promise<ListenStanding[]> {
  const standings: ListenStanding[] = [];
  const entrants = ENTRANTS.filter(({ name }) => wanted.servers?.includes(name) ?? true);
  for (const qos of wanted.qos ?? ([0, 1, 2] as const)) {
    const results = entrants.map((): Press[] => []);
    for (let round = 0; round < rounds; round++) {
      for (const [index, { name, start }] of entrants.entries()) {
        const result = await runUndisturbed(() => pressOnce(start, qos));
        results[index]?.push(result);
        note(`QoS ${qos}, ${name}: ${Math.round(result.rate)} messages/s`);
      }
    }
    for (const [index, { name }] of entrants.entries()) {
      const own = results[index] ?? [];
      standings.push({
        qos,
        server: name,
        messagesPerSecond: spreadOf(own.map(({ rate }) => rate)),
        ratio: spreadOf(own.map(({ rate }, round) => rate / (results[0]?.[round]?.rate ?? Number.NaN))),
        cpuSecondsPerMillion: spreadOf(own.map(({ cost }) => cost)).median,
        foreignLoadMost: Math.max(...own.map(({ foreignLoad }) => foreignLoad)),
      });
    }
  }
  return standings;
}

async function pressOnce(start: () => Promise<Server>, qos: 0 | 1 | 2): Promise<Press> {
  const server = await start();
  const worker = new Worker("press");
  const press = (count: number) =>
    worker.ask<{ seconds: number }>({
      command: "press",
      port: server.port,
      qos,
      count,
      name: "bench-press",
      payloadBytes: PAYLOAD_BYTES,
    });
  try {
    // A server that runs for months is measured warm.
    await press(MESSAGES[qos] / 2);
    const pids = { server: server.pid, press: worker.pid };
    const before = readCosts(pids);
    const { seconds } = await press(MESSAGES[qos]);
    const { cpu, foreignLoad } = subtractCosts(readCosts(pids), before);
    const cost = ((cpu.server ?? 0) / MESSAGES[qos]) * 1e6;
    return { rate: MESSAGES[qos] / seconds, cost, foreignLoad };
  } finally {
    await worker.stop();
    await server.stop();
  }
}
