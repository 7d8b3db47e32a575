// How many messages a second a server accepts from one publisher: the listening source of tidegate-send next to Mosquitto and
// aedes, by turns. Nobody subscribes; the agent also keeps each message in its journal and writes it to the link.
import { fileURLToPath } from "node:url";
import { startAgent } from "../support/agents.ts";
import { acceptsTcp, findFreeTcpPort, findFreeUdpPort } from "../support/ports.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";
import { startBroker } from "./broker.ts";
import type { Durability } from "./pair.ts";
import { readCpuSeconds } from "./proc.ts";
import { spreadOf } from "./statistic.ts";
import { Worker } from "./worker.ts";

const PAYLOAD_BYTES = 100;
const MESSAGES = { 0: 600_000, 1: 200_000, 2: 100_000 } as const;
const RATE_MBIT_PER_SECOND = 2000;

type Server = { readonly port: number; readonly pid: number; stop(): Promise<void> };

async function startListening(durability: Durability): Promise<Server> {
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

async function startAedes(): Promise<Server> {
  const port = await findFreeTcpPort();
  const file = fileURLToPath(new URL("aedes.ts", import.meta.url));
  const child = Bun.spawn([process.execPath, file, String(port)], { stdio: ["ignore", "ignore", "inherit"] });
  await waitFor("aedes", 10_000, () => acceptsTcp(port));
  return {
    port,
    pid: child.pid,
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
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
  { name: "aedes", start: startAedes },
  { name: "tidegate, fsync", start: () => startListening("fsync") },
  { name: "tidegate, os", start: () => startListening("os") },
];

/** Prints a line for each server and QoS: messages a second, the ratio to Mosquitto in the same round, processor time. */
export async function measureListen(rounds: number, note: (line: string) => void): Promise<string> {
  const lines = ["| QoS | server | messages/s | of Mosquitto | CPU s / million |", "|---|---|---|---|---|"];
  for (const qos of [0, 1, 2] as const) {
    const rates = ENTRANTS.map((): number[] => []);
    const costs = ENTRANTS.map((): number[] => []);
    for (let round = 0; round < rounds; round++) {
      for (const [index, { name, start }] of ENTRANTS.entries()) {
        const server = await start();
        const worker = new Worker("press");
        try {
          const press = (count: number) =>
            worker.ask<{ seconds: number }>({
              command: "press",
              port: server.port,
              qos,
              count,
              name: "bench-press",
              payloadBytes: PAYLOAD_BYTES,
            });
          // A server that runs for months is measured warm.
          await press(MESSAGES[qos] / 2);
          const before = readCpuSeconds(server.pid);
          const { seconds } = await press(MESSAGES[qos]);
          rates[index]?.push(MESSAGES[qos] / seconds);
          costs[index]?.push(((readCpuSeconds(server.pid) - before) / MESSAGES[qos]) * 1e6);
          note(`QoS ${qos}, ${name}: ${Math.round(MESSAGES[qos] / seconds)} messages/s`);
        } finally {
          await worker.stop();
          await server.stop();
        }
      }
    }
    for (const [index, { name }] of ENTRANTS.entries()) {
      const own = rates[index] ?? [];
      const ratios = own.map((rate, round) => rate / (rates[0]?.[round] ?? Number.NaN));
      const figures = [spreadOf(own).median.toFixed(0), `${spreadOf(ratios).median.toFixed(2)}×`];
      lines.push(
        `| ${[qos, name, ...figures, spreadOf(costs[index] ?? []).median.toFixed(2)].join(" | ")} |`,
      );
    }
  }
  return lines.join("\n");
}
