// The target sparkplug with code that we did not write at both ends: Eclipse Tahu's edge node in the plant, Tahu's host application at
// the business side, Mosquitto and HiveMQ CE as its broker. A host that starts late, that starts again, whose broker starts again and
// whose receiver starts again has every metric with its name, type and current value, and no command crosses the link.
import { expect, test } from "bun:test";
import { Hivemq } from "../../support/hivemq.ts";
import { Collector } from "../../support/mqtt-clients.ts";
import { requireTools } from "../../support/requirements.ts";
import { Site, waitUntilReady } from "../../support/site.ts";
import { type HostMetric, TahuEdge, TahuHost } from "./tahu.ts";
import { DEVICE } from "./values.ts";

type Metrics = ReadonlyMap<string, HostMetric>;

/** All that the edge node has, by name and current value, and none of it stale. */
function isWhole(metrics: Metrics, int: number, text: string): boolean {
  const wanted: [string, unknown][] = [
    ["G1/E1 text", text],
    ["G1/E1/d1 int", String(int)],
    ...Object.entries(DEVICE).map(([name, value]): [string, unknown] => [`G1/E1/d1 ${name}`, value]),
  ];
  const there = ["G1/E1 motor", "G1/E1/d1 motor 1", "G1/E1/d1 table"];
  return (
    wanted.every(
      ([name, value]) => metrics.get(name)?.value === value && metrics.get(name)?.stale === false,
    ) && there.every((name) => metrics.get(name)?.stale === false)
  );
}

async function openSite(connections: "shared" | "per-node", businessKind: "mosquitto" | "hivemq") {
  const site = await Site.open();
  const plant = await site.startBroker();
  const mosquitto = businessKind === "mosquitto" ? await site.startBroker() : undefined;
  const business = mosquitto ?? site.use(await Hivemq.start());
  site.writeSend([
    {
      name: "line",
      url: `mqtt://127.0.0.1:${plant.port}`,
      topics: ["spBv1.0/#"],
      sparkplug: { snapshot_seconds: 5, rebirth: false },
    },
  ]);
  site.writeRecv();
  site.writeTarget("hq", {
    type: "sparkplug",
    url: `mqtt://127.0.0.1:${business.port}`,
    sparkplug: { connections, rebirth_min_seconds: 1 },
  });
  const commands = site.use(await Collector.start({ door: plant.port }, "spBv1.0/+/NCMD/#"));
  const { send, recv } = await site.startBoth();
  const edge = site.use(new TahuEdge(plant.port, "G1", "E1"));
  await edge.waitForBirth();
  return { site, mosquitto, business, commands, send, recv, edge };
}

const KINDS: ["shared" | "per-node", "mosquitto" | "hivemq"][] = [
  ["per-node", "mosquitto"],
  ["shared", "hivemq"],
];

requireTools(["mosquitto", "javac", "mvn"])("Tahu's host application", () => {
  test.each(KINDS)(
    "knows all of Tahu's edge node (%s connections, %s), late, again, and after each of them was away",
    async (connections, businessKind) => {
      const { site, mosquitto, business, commands, recv, edge } = await openSite(connections, businessKind);
      await using _site = site;
      const explain = () => recv.tail();
      const host = site.use(new TahuHost(business.port, "H1"));
      await host.waitForConnection();
      edge.tell("int 7");
      edge.tell("text zwei drei");
      await host.waitFor("it from the start", (now) => isWhole(now, 7, "zwei drei"), explain);
      expect(host.metrics.get("G1/E1/d1 unsigned")?.type).toBe("UInt64");

      // Late: what it has missed it learns with the next data, by asking for it as Tahu does.
      await host.kill();
      const late = site.use(new TahuHost(business.port, "H1"));
      await late.waitForConnection();
      edge.tell("int 8");
      await late.waitFor("it late", (now) => isWhole(now, 8, "zwei drei"), explain);

      const text = mosquitto === undefined ? "zwei drei" : "drei";
      if (mosquitto !== undefined) {
        // A broker that forgets everything; meanwhile there is another value. Who comes back later than the receiver has missed the
        // births, and asks when it hears of the edge node.
        await mosquitto.stop("SIGKILL");
        edge.tell("text drei");
        await mosquitto.start();
        await late.waitForConnection(2);
        edge.tell("int 9");
        await late.waitFor("it from the broker that came back", (now) => isWhole(now, 9, "drei"), explain);
      }

      // The receiver dies: with a connection of its own the broker tells the host at once, by the will.
      await recv.kill();
      if (connections === "per-node")
        await late.waitFor("the death", (now) => now.get("G1/E1/d1 int")?.stale === true, explain);
      edge.tell("int 10");
      const again = await waitUntilReady(site.startRecv());
      await late.waitFor(
        "it from the new receiver",
        (now) => isWhole(now, 10, text),
        () => again.tail(),
      );

      // The edge node dies.
      await edge.kill();
      await late.waitFor(
        "its death",
        (now) => now.get("G1/E1/d1 int")?.stale === true,
        () => again.tail(),
      );
      expect(commands.messages).toEqual([]);
      expect(edge.commands).toEqual([]);
      expect(edge.births).toBe(1);
    },
    180_000,
  );
});
