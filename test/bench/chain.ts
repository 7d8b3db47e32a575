// The ways from the generator to the sink that are compared.
//
//   none      generator ─────────────────────────────────────────────────────────────► sink
//   broker    generator ─► Mosquitto ─────────────────────────────────────────────────► sink
//   bridge    generator ─► Mosquitto A, which bridges ─────────────────► Mosquitto B ─► sink
//   tidegate  generator ─► Mosquitto A ─► tidegate-send ─► UDP ─► tidegate-recv ─► Mosquitto B ─► sink
import { type Broker, startBroker } from "./broker.ts";
import { type Durability, Pair, type Programs } from "./pair.ts";

export type Arm = "none" | "broker" | "bridge" | "tidegate";

export type ChainWishes = {
  readonly arm: Arm;
  readonly qos: number;
  readonly durability: Durability;
  readonly programs: Programs;
  /** Further lines of the sender's [link]. */
  readonly link?: string | undefined;
};

export type Chain = {
  /** Where the generator and the sink connect; undefined: to each other. */
  readonly ports: { readonly generator: number; readonly sink: number } | undefined;
  /** Process ids by what they are called in the results. */
  readonly pids: Readonly<Record<string, number>>;
  explain(): Promise<string>;
  stop(): Promise<void>;
};

export async function startChain({ arm, qos, durability, programs, link }: ChainWishes): Promise<Chain> {
  const explain = async () => "";
  if (arm === "none") return { ports: undefined, pids: {}, explain, stop: async () => {} };
  const business = await startBroker();
  if (arm === "broker") {
    const ports = { generator: business.port, sink: business.port };
    return { ports, pids: { mosquitto: business.pid }, explain, stop: business.stop };
  }
  const bridge = arm === "bridge" ? { port: business.port, qos } : undefined;
  const plant = await startBroker(bridge);
  const ports = { generator: plant.port, sink: business.port };
  const pids = { "mosquitto A": plant.pid, "mosquitto B": business.pid };
  const stopBrokers = () => stopAll([plant, business]);
  if (arm === "bridge") return { ports, pids, explain, stop: stopBrokers };
  const { port: sourcePort } = plant;
  const { port: targetPort } = business;
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
    pids: { ...pids, "tidegate-send": pair.send?.pid ?? 0, "tidegate-recv": pair.recv?.pid ?? 0 },
    explain: () => pair.explain(),
    stop: async () => {
      await pair.stop();
      await stopBrokers();
    },
  };
}

async function stopAll(brokers: readonly Broker[]): Promise<void> {
  for (const broker of brokers) await broker.stop();
}
