// Brokers of four code bases as targets: Mosquitto, HiveMQ Community Edition, RabbitMQ and NATS. All that crosses arrives in
// order; what the broker announces is obeyed; it is killed and comes back, and nothing is lost.
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Collector, Publisher } from "../../support/mqtt-clients.ts";
import { requireTools, toolPath } from "../../support/requirements.ts";
import { Site } from "../../support/site.ts";
import { type RecvStatus, unaccounted } from "../../support/status.ts";
import type { TomlTable } from "../../support/toml.ts";
import { waitFor } from "../../support/wait.ts";
import { type BrokerKind, RealBroker } from "./broker.ts";
import { HIVEMQ_LIMITS, hivemqBroker, MOSQUITTO_BROKER, NATS_BROKER, RABBITMQ_BROKER } from "./kinds.ts";

const USER = { username: "guest", password: "guest" };
const COUNT = 400;

type Case = {
  readonly kind: (site: Site) => BrokerKind;
  readonly version: "5" | "3.1.1";
  readonly profile?: TomlTable;
  readonly login?: typeof USER;
  readonly qosMax: number;
};

/** HiveMQ and what it needs, from Maven's repository. */
function fetchJars(directory: string): string {
  const pom = fileURLToPath(new URL("pom.xml", import.meta.url));
  const args = ["-q", "-B", "-f", pom, "dependency:copy-dependencies", `-DoutputDirectory=${directory}`];
  const run = spawnSync(toolPath("mvn"), args, { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`cannot fetch HiveMQ: ${run.stdout.slice(-2000)}`);
  return directory;
}

const OLD: TomlTable = { mqtt_version: "3.1.1", qos_max: 1 };
const CASES: Record<string, Case> = {
  Mosquitto: { kind: () => MOSQUITTO_BROKER, version: "5", qosMax: 2 },
  RabbitMQ: { kind: () => RABBITMQ_BROKER, version: "3.1.1", profile: OLD, login: USER, qosMax: 1 },
  NATS: { kind: () => NATS_BROKER, version: "3.1.1", profile: OLD, login: USER, qosMax: 1 },
  HiveMQ: {
    kind: ({ workspace }) => hivemqBroker(fetchJars(workspace.path("jars"))),
    version: "5",
    profile: { oversize: "split" },
    qosMax: 1,
  },
};
const TOOLS: Record<string, readonly string[]> = {
  Mosquitto: MOSQUITTO_BROKER.tools,
  RabbitMQ: RABBITMQ_BROKER.tools,
  NATS: NATS_BROKER.tools,
  HiveMQ: ["javac", "mvn"],
};

for (const [name, given] of Object.entries(CASES)) {
  requireTools(["mosquitto", ...(TOOLS[name] ?? [])])(`a target at ${name}`, () => {
    test("gets all in order, bears that the broker is killed, and stays within what it takes", async () => {
      await using site = await Site.open();
      const broker = site.use(await RealBroker.start(given.kind(site)));
      const plant = await site.startBroker();
      site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["#"] }]);
      site.writeRecv();
      const login = given.login && { username: USER.username, password_file: "password" };
      site.workspace.write("targets.d/password", `${USER.password}\n`, 0o600);
      const url = `mqtt://127.0.0.1:${broker.port}`;
      site.writeTarget("far", { url, mqtt_version: given.version, ...login, ...given.profile });
      const version = given.version === "5" ? 5 : 4;
      const door = { door: broker.port, version, ...given.login } as const;
      const near = site.use(await Publisher.start({ door: plant.port }));
      const { recv } = await site.startBoth();
      const settle = async (accepted: number) => {
        const status = await recv.waitForStatus<RecvStatus>(
          `${accepted} handled`,
          ({ targets }) => targets.every(({ ledger }) => ledger.accepted === accepted && ledger.held === 0),
          60_000,
        );
        for (const { ledger } of status.targets) expect(unaccounted(ledger)).toBe(0);
        return status.targets[0]?.ledger;
      };
      const publish = (from: number, count: number) =>
        near.publishAll(
          Array.from({ length: count }, (_, index) => ({
            topic: `plant/${(from + index) % 4}`,
            payload: String(from + index),
            options: { qos: ((from + index) % 3) as 0 | 1 | 2 },
          })),
        );
      const first = site.use(await Collector.start(door, "plant/#"));
      await publish(0, COUNT);
      expect(await settle(COUNT)).toMatchObject({ forwarded: COUNT, lost: {} });
      await first.waitForCount(COUNT);
      expectOrder(first, 0, COUNT);
      expect(Math.max(...first.messages.map(({ qos }) => qos))).toBe(given.qosMax);
      await near.publish("plant/kept", "kept", { qos: 1, retain: true });
      const large = Buffer.alloc(3 * HIVEMQ_LIMITS.packetBytes, "0123456789");
      await near.publish("plant/large", large, { qos: 1 });
      expect(await settle(COUNT + 2)).toMatchObject({ forwarded: COUNT + 2, lost: {} });
      const parts = name === "HiveMQ" ? 4 : 1;
      await first.waitForCount(parts, "plant/large", () => recv.tail());
      expect(Buffer.concat(first.below("plant/large").map(({ payload }) => payload)).equals(large)).toBe(
        true,
      );
      await broker.kill();
      await recv.waitForStatus<RecvStatus>("down", ({ targets }) => targets[0]?.state === "down");
      await publish(COUNT, 60);
      // The reader is there before the agent.
      const second = await recv.whilePaused(async () => {
        await broker.start();
        return site.use(await Collector.start(door, "plant/+"));
      });
      expect(await settle(COUNT + 62)).toMatchObject({ forwarded: COUNT + 62, lost: {} });
      const isNew = ({ payload }: { payload: Buffer }) => Number(payload.toString()) >= COUNT;
      const come = () => second.messages.filter(isNew);
      await waitFor(
        "what came during the outage",
        30_000,
        () => come().length >= 60,
        () => recv.tail(),
      );
      expectOrder({ messages: come() }, COUNT, 60);
    }, 240_000);
  });
}

/** Each number from there on once, and those of one topic in order. */
function expectOrder({ messages }: Pick<Collector, "messages">, from: number, count: number): void {
  const numbers = messages.map(({ payload }) => Number(payload.toString()));
  expect(numbers.toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: count }, (_, index) => from + index),
  );
  // Of four topics and three QoS: brokers keep the order of one topic and QoS [MQTT5 4.6].
  for (let way = 0; way < 12; way++) {
    const own = numbers.filter((number) => number % 12 === way);
    expect(own).toEqual(own.toSorted((a, b) => a - b));
  }
}
