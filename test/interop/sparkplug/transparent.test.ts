// The transparent mode with code that we did not write: Eclipse Tahu's edge node and the sparkplug-client package, Mosquitto and HiveMQ CE
// as brokers of both sides, and the agent as the plant's broker; Tahu's host application, there before, knows everything. Each
// Sparkplug payload is on the far side what it was on the near one, byte by byte, in its order.
import { expect, test } from "bun:test";
import { EdgeNode } from "../../support/edge-node.ts";
import { Hivemq } from "../../support/hivemq.ts";
import { Collector } from "../../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../../support/ports.ts";
import { requireTools } from "../../support/requirements.ts";
import { Site } from "../../support/site.ts";
import type { SendStatus } from "../../support/status.ts";
import { TahuEdge, TahuHost } from "./tahu.ts";
import { DEVICE } from "./values.ts";

const OF_NODES = /^spBv1\.0\/G1\/(NBIRTH|DBIRTH|NDATA|DDATA|NDEATH|DDEATH)\//;

/** By edge node, each one's in the order of arrival: between two publishers a broker keeps none. */
const show = (collector: Collector) =>
  Map.groupBy(
    collector.messages.flatMap(({ topic, payload, retain }) =>
      OF_NODES.test(topic) ? [`${topic} ${payload.toString("hex")} ${retain}`] : [],
    ),
    (line) => line.match(/E\d/)?.[0],
  );

type ListenStatus = SendStatus & {
  readonly sources: readonly { readonly listen?: { readonly clients: number } }[];
};
type Broker = { readonly port: number };
/** listen: edge nodes connect to the agent itself; bridge: to a Mosquitto that bridges into it. */
type Kind = "mosquitto" | "hivemq" | "listen" | "bridge";

async function startBroker(site: Site, kind: Kind, agentPort: number): Promise<Broker> {
  if (kind === "listen") return { port: agentPort };
  if (kind === "bridge") {
    const bridge = ["connection into-the-diode", `address 127.0.0.1:${agentPort}`, "topic spBv1.0/# both 0"];
    return await site.startBroker({ lines: [...bridge, "restart_timeout 1"] });
  }
  return kind === "hivemq" ? site.use(await Hivemq.start()) : await site.startBroker();
}

async function openSite(plantKind: Kind, businessKind: "mosquitto" | "hivemq") {
  const site = await Site.open();
  const port = await findFreeTcpPort();
  const plant = await startBroker(site, plantKind, port);
  const business = await startBroker(site, businessKind, port);
  site.writeSend([
    plantKind === "listen" || plantKind === "bridge"
      ? { name: "line", type: "listen", anonymous: true, listener: [{ address: `127.0.0.1:${port}` }] }
      : { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["spBv1.0/#"] },
  ]);
  site.writeRecv();
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port, version: 4 }));
  const near =
    plantKind === "listen" ? undefined : site.use(await Collector.start({ door: plant.port, version: 4 }));
  const { send, recv } = await site.startBoth();
  await recv.waitForLog("target", ({ msg }) => msg === "target hq is connected");
  if (plantKind === "bridge") {
    const isThere = ({ sources }: ListenStatus) => sources[0]?.listen?.clients === 1;
    await send.waitForStatus<ListenStatus>("the bridge", isThere, 40_000);
  }
  return { site, plant, business, far, near, send };
}

const KINDS: [plant: Kind, business: "mosquitto" | "hivemq"][] = [
  ["mosquitto", "mosquitto"],
  ["hivemq", "hivemq"],
  ["listen", "mosquitto"],
  ["bridge", "mosquitto"],
];

requireTools(["mosquitto", "javac", "mvn"])("Sparkplug, transparently", () => {
  test.each(KINDS)(
    "crosses bit by bit from %s to %s, and Tahu's host knows all of it",
    async (plantKind, businessKind) => {
      const { site, plant, business, far, near, send } = await openSite(plantKind, businessKind);
      await using _site = site;
      const host = site.use(new TahuHost(business.port, "H1"));
      await host.waitForConnection();
      const edge = site.use(new TahuEdge(plant.port, "G1", "E1"));
      await edge.waitForBirth();
      site.use(
        await EdgeNode.start({
          port: plant.port,
          group: "G1",
          node: "E2",
          metrics: [{ name: "a", type: "Int32", value: 5, alias: 1 }],
          devices: { d1: [{ name: "b", type: "String", value: "µ" }] },
        }),
      );
      edge.tell("int 7");
      edge.tell("text zwei drei");
      edge.tell("mixed");
      const explain = () => send.tail();
      await host.waitFor(
        "both edge nodes",
        (metrics) =>
          metrics.get("G1/E1/d1 int")?.value === "7" &&
          metrics.get("G1/E1 text")?.value === "zwei drei" &&
          metrics.get("G1/E2/d1 b")?.value === "µ",
        explain,
      );
      const { metrics } = host;
      expect(metrics.get("G1/E2 a")).toEqual({ type: "Int32", value: "5", stale: false });
      for (const [name, value] of Object.entries(DEVICE))
        expect([name, metrics.get(`G1/E1/d1 ${name}`)?.value]).toEqual([name, value]);
      for (const name of ["table", "motor 1"]) expect(metrics.has(`G1/E1/d1 ${name}`)).toBe(true);
      // The edge node vanishes: its will crosses, and the host holds its values for stale.
      await edge.kill();
      await host.waitFor("the death", (now) => now.get("G1/E1/d1 int")?.stale === true, explain);
      if (near !== undefined) {
        const wanted = show(near);
        const count = [...wanted.values()].flat().length;
        expect(count).toBeGreaterThanOrEqual(8);
        await far.waitForCount(count, "spBv1.0/G1", explain);
        expect(show(far)).toEqual(wanted);
      }
      expect(edge.commands).toEqual([]);
    },
    120_000,
  );
});
