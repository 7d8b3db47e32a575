// The ways from the generator to the sink that are compared.
//
//   none      generator ─────────────────────────────────────────────────────────────► sink
//   broker    generator ─► Mosquitto ─────────────────────────────────────────────────► sink
//   bridge    generator ─► Mosquitto A, which bridges ─────────────────► Mosquitto B ─► sink
//   relay     generator ─► Mosquitto, which bridges ────────────────────────────────────────► sink, as a broker
//   aedes     generator ─► aedes, with an MQTT.js client that publishes what it takes ──────► sink, as a broker
//   direct    generator ─► tidegate-send, which listens ─► UDP ─► tidegate-recv ─────────────► sink, as a broker
//   node-red  generator ─► Mosquitto A ─► Node-RED ─────────────────────────► Mosquitto B ─► sink
//   tidegate  generator ─► Mosquitto A ─► tidegate-send ─► UDP ─► tidegate-recv ─► Mosquitto B ─► sink
import { findFreeTcpPort } from "../support/ports.ts";
import { startAedes } from "./aedes-process.ts";
import { type Broker, startBroker } from "./broker.ts";
import { startNodeRed } from "./node-red.ts";
import { type Durability, Pair, type Programs } from "./pair.ts";

export type Arm = "none" | "broker" | "bridge" | "node-red" | "tidegate" | "relay" | "aedes" | "direct";

export type ChainWishes = {
  readonly arm: Arm;
  readonly qos: number;
  readonly durability: Durability;
  readonly programs: Programs;
  /** Further lines of the sender's [link]. */
  readonly link?: string | undefined;
  /** The program of Node-RED, for its way. */
  readonly nodeRed?: string | undefined;
  /** Whether brokers write down what they hold, on the ways that have them at both ends. */
  readonly persistence?: boolean | undefined;
  /** Of the link; far above what is measured unless told. */
  readonly rateMbitPerSecond?: number | undefined;
  /** Where the sink listens, for the ways that end there. */
  readonly sink?: SinkAddress | undefined;
};

export type SinkAddress = { readonly port: number; readonly caFile?: string | undefined };

/** The ways that have the sink for their broker. */
export const endsAtSink = (arm: Arm) => ["relay", "aedes", "direct", "none"].includes(arm);

export type Chain = {
  /** Where the generator and the sink connect, or the sink listens. */
  readonly ports: { readonly generator: number; readonly sink: number };
  /** Process ids by what they are called in the results. */
  readonly pids: Readonly<Record<string, number>>;
  explain(): Promise<string>;
  stop(): Promise<void>;
};

export async function startChain(wishes: ChainWishes): Promise<Chain> {
  const { arm, qos, durability, programs, link, sink, persistence = false } = wishes;
  const explain = async () => "";
  if (sink !== undefined) return await startToSink(wishes, sink);
  const business = await startBroker(undefined, { persistence });
  if (arm === "broker") {
    const ports = { generator: business.port, sink: business.port };
    return { ports, pids: { mosquitto: business.pid }, explain, stop: business.stop };
  }
  const bridge = arm === "bridge" ? { port: business.port, qos } : undefined;
  const plant = await startBroker(bridge, { persistence });
  const ports = { generator: plant.port, sink: business.port };
  const pids = { "mosquitto A": plant.pid, "mosquitto B": business.pid };
  const stopBrokers = () => stopAll([plant, business]);
  if (arm === "bridge") return { ports, pids, explain, stop: stopBrokers };
  const { port: sourcePort } = plant;
  const { port: targetPort } = business;
  if (arm === "node-red") {
    const relay = await startNodeRed(wishes.nodeRed ?? "", sourcePort, targetPort, qos);
    const stop = async () => {
      await relay.stop();
      await stopBrokers();
    };
    return { ports, pids: { ...pids, "node-red": relay.pid }, explain, stop };
  }
  const pair = await Pair.prepare({ programs, sourcePort, targetPort, qos, durability, link });
  try {
    await pair.start();
  } catch (error) {
    await pair.kill();
    await stopBrokers();
    throw error;
  }
  return {
    ports,
    pids: { ...pids, ...pidsOf(pair) },
    explain: () => pair.explain(),
    stop: async () => {
      await pair.stop();
      await stopBrokers();
    },
  };
}

async function startToSink(wishes: ChainWishes, sink: SinkAddress): Promise<Chain> {
  const { arm, qos, durability, programs, link, rateMbitPerSecond } = wishes;
  const explain = async () => "";
  if (arm === "none")
    return { ports: { generator: sink.port, sink: sink.port }, pids: {}, explain, stop: async () => {} };
  if (arm === "relay") {
    // Kept like with like: what the agent keeps in its journal, the broker keeps in its persistence.
    const persistence = qos > 0 && durability === "fsync";
    const broker = await startBroker({ ...sink, qos }, { persistence, noDelay: true });
    const ports = { generator: broker.port, sink: sink.port };
    return { ports, pids: { mosquitto: broker.pid }, explain, stop: broker.stop };
  }
  const listenPort = await findFreeTcpPort();
  if (arm === "aedes") {
    const relay = await startAedes(listenPort, sink.port, qos);
    const ports = { generator: listenPort, sink: sink.port };
    return { ports, pids: { aedes: relay.pid }, explain, stop: relay.stop };
  }
  const { port: targetPort, caFile } = sink;
  const common = { programs, qos, durability, link, rateMbitPerSecond };
  const pair = await Pair.prepare({ ...common, listenPort, targetPort, caFile });
  try {
    await pair.start();
  } catch (error) {
    await pair.kill();
    throw error;
  }
  const ports = { generator: listenPort, sink: sink.port };
  return { ports, pids: pidsOf(pair), explain: () => pair.explain(), stop: () => pair.stop() };
}

function pidsOf(pair: Pair): Record<string, number> {
  return { "tidegate-send": pair.send?.pid ?? 0, "tidegate-recv": pair.recv?.pid ?? 0 };
}

async function stopAll(brokers: readonly Broker[]): Promise<void> {
  for (const broker of brokers) await broker.stop();
}
