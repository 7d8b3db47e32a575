// Sparkplug at the sending side: real edge nodes at a real broker and at the listening agent, births that are asked for here in
// the plant, STATE as edge nodes expect it, and snapshots in the journal that tell every metric. What crosses the link is read out
// of the journal with `inspect`; no receiver is needed for it.
import { describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { type Agent, findProgram } from "../support/agents.ts";
import { decodePayload, type EdgeMetric, EdgeNode, encodePayload } from "../support/edge-node.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type SendStatus, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

type Figures = {
  readonly nodes: { readonly online: number; readonly offline: number };
  readonly devices: { readonly online: number; readonly offline: number };
  readonly incomplete: number;
  readonly memoryBytes: number;
  readonly presumedDead: number;
  readonly refused: Record<string, number>;
  readonly troubles: Record<string, number>;
  readonly malformed: Record<string, number>;
  readonly rebirths: { readonly asked: number; readonly waiting: number };
  readonly snapshots: number;
  readonly host: { readonly state: string; readonly problem: string | null };
};
type Status = SendStatus & { readonly sources: readonly { readonly sparkplug?: Figures }[] };

const read = async (send: Agent) => send.readStatus<Status>();
const figuresOf = async (send: Agent) => (await read(send)).sources[0]?.sparkplug as Figures;

async function waitForFigures(
  send: Agent,
  what: string,
  holds: (figures: Figures) => boolean,
): Promise<Figures> {
  let last: Figures | undefined;
  return await waitFor(
    what,
    30_000,
    async () => {
      last = await figuresOf(send);
      return holds(last) && last;
    },
    () => `${JSON.stringify(last)}\n${send.tail()}`,
  );
}

type Kept = { readonly topic: string; readonly stream: number; readonly payload: Buffer };

/** All messages of the journal, in the order of their streams. */
function readJournal(site: Site): Kept[] {
  const command = [findProgram("send"), "inspect", site.workspace.path("journal"), "--payloads", "--json"];
  const run = Bun.spawnSync(command);
  if (run.exitCode !== 0) throw new Error(run.stderr.toString());
  return run.stdout
    .toString()
    .split("\n")
    .flatMap((line) => {
      if (line === "") return [];
      const event = JSON.parse(line);
      if (event.type !== "message") return [];
      return [{ topic: event.topic, stream: event.stream, payload: Buffer.from(event.payload ?? "", "hex") }];
    });
}

const BIRTHS = "$tidegate/sparkplug/birth/";
const births = (site: Site, rest: string) =>
  readJournal(site).filter(({ topic }) => topic === `${BIRTHS}${rest}`);
const metricsOf = ({ payload }: Kept) =>
  new Map(decodePayload(payload).metrics?.map((metric) => [metric.name, metric]) ?? []);

const METRICS: EdgeMetric[] = [
  { name: "speed", type: "Double", alias: 1, value: 1.5, timestamp: 1000 },
  { name: "label", type: "String", alias: 2, value: "a", timestamp: 1000 },
];
const DEVICE: EdgeMetric[] = [{ name: "level", type: "Int32", alias: 3, value: 7, timestamp: 1000 }];

/** A site whose only source is `source`, with Sparkplug and short times. */
async function openSite(
  source: (site: Site) => Promise<TomlTable>,
  sparkplug: TomlTable = {},
): Promise<Site> {
  const site = await Site.open();
  const table = { snapshot_seconds: 5, rebirth_min_seconds: 1, ...sparkplug };
  site.writeSend([{ name: "cells", ...(await source(site)), sparkplug: table }]);
  return site;
}

async function openPlant(sparkplug: TomlTable = {}) {
  let broker: Awaited<ReturnType<Site["startBroker"]>> | undefined;
  const site = await openSite(async (place) => {
    broker = await place.startBroker();
    return { url: `mqtt://127.0.0.1:${broker.port}`, topics: ["spBv1.0/#"] };
  }, sparkplug);
  if (broker === undefined) throw new Error("there is no broker");
  return { site, broker, port: broker.port };
}

requireTools(["mosquitto"])("behind a broker", () => {
  test("an agent that starts in the middle asks for births, and tells every metric with its current value", async () => {
    const { site, port } = await openPlant();
    await using _ = site;
    const edge = site.use(
      await EdgeNode.start({
        port,
        group: "g",
        node: "n",
        metrics: METRICS,
        devices: { d: DEVICE },
      }),
    );
    const send = await waitUntilReady(site.startSend());
    await waitForFigures(send, "the way to the edge nodes", ({ host }) => host.state === "online");
    edge.data({ name: "speed", type: "Double", alias: 1, value: 2.5, timestamp: 2000 });
    await waitForFigures(send, "births", ({ nodes, devices }) => nodes.online === 1 && devices.online === 1);
    expect(edge.births).toBe(2);
    edge.deviceData("d", { name: "level", type: "Int32", alias: 3, value: 8, timestamp: 3000 });
    edge.data({
      name: "label",
      type: "String",
      alias: 2,
      value: null,
      isNull: true,
      timestamp: 3001,
    } as EdgeMetric);
    // Data, the request, two births, and two more data.
    await waitFor("all to be taken", 30_000, async () => (await read(send)).sources[0]?.accepted === 6);
    const { snapshots } = await figuresOf(send);
    // The period is five seconds: at its end both have been told anew.
    await waitForFigures(send, "snapshots of both", (figures) => figures.snapshots >= snapshots + 4);
    const node = births(site, "g/n").at(-1) as Kept;
    expect(node.stream).toBe(15);
    expect(metricsOf(node).get("speed")?.value).toBe(1.5);
    expect(metricsOf(node).get("label")?.value).toBeNull();
    expect(metricsOf(node).get("Node Control/Rebirth")?.value).toBe(false);
    const device = births(site, "g/n/d").at(-1) as Kept;
    expect(metricsOf(device).get("level")).toMatchObject({ value: 8, type: "Int32" });
    const status = await read(send);
    expect(unaccounted(status.ledger)).toBe(0);
    expect(status.sources[0]?.sparkplug?.troubles).toEqual({ "data-before-birth": 1 });
    // The request came back on our own subscription; it must not cross.
    expect(status.ledger.filtered).toEqual({ "sparkplug-command": 1 });
    expect(readJournal(site).filter(({ topic }) => topic.includes("CMD"))).toEqual([]);
  });

  test("a gap, an unknown alias, and a new birth with other aliases", async () => {
    const { site, port } = await openPlant();
    await using _ = site;
    const send = await waitUntilReady(site.startSend());
    await waitForFigures(send, "the way to the edge nodes", ({ host }) => host.state === "online");
    const edge = site.use(await EdgeNode.start({ port, group: "g", node: "n", metrics: METRICS }));
    await waitForFigures(send, "the birth", ({ nodes }) => nodes.online === 1);
    edge.skip(3);
    edge.data({ name: "speed", type: "Double", alias: 1, value: 2.5 });
    await waitForFigures(
      send,
      "a rebirth",
      ({ rebirths, incomplete }) => rebirths.asked === 1 && incomplete === 0,
    );
    expect(edge.births).toBe(2);
    edge.metrics = METRICS.map((metric) => ({ ...metric, alias: Number(metric.alias) + 10 }));
    edge.data({ name: "new", type: "Double", alias: 99, value: 2.5 });
    await waitForFigures(send, "another rebirth", ({ troubles }) => troubles["unknown-metric"] === 1);
    await waitFor("the third birth", 30_000, () => edge.births === 3);
    edge.data({ name: "", type: "Double", alias: 11, value: 9.5, timestamp: 9000 } as EdgeMetric);
    // Three births, three data, two requests.
    await waitFor("all to be taken", 30_000, async () => (await read(send)).sources[0]?.accepted === 8);
    const { snapshots } = await figuresOf(send);
    await waitForFigures(send, "a snapshot of it", (figures) => figures.snapshots >= snapshots + 2);
    expect(metricsOf(births(site, "g/n").at(-1) as Kept).get("speed")?.value).toBe(9.5);
    expect((await figuresOf(send)).troubles).toEqual({ "sequence-gap": 1, "unknown-metric": 1 });
  });

  test("what is malformed crosses as it is, is counted, and changes nothing", async () => {
    const { site, port } = await openPlant();
    await using _ = site;
    const send = await waitUntilReady(site.startSend());
    const publisher = site.use(await Publisher.start({ door: port }));
    await publisher.publish("spBv1.0/g/NBIRTH/n", Buffer.from([0x12, 0x7f]));
    await publisher.publish("spBv1.0/g/NBORTH/n", Buffer.from([1]));
    await publisher.publish("spBv1.0/STATE/other", '{"online":true,"timestamp":1}');
    await publisher.publish("spBv1.0/g/DCMD/n/d", Buffer.from([]));
    const figures = await waitForFigures(
      send,
      "both to be counted",
      ({ malformed }) => Object.keys(malformed).length === 2,
    );
    expect(figures.malformed).toEqual({ truncated: 1, "message-type": 1 });
    await waitFor("all four", 30_000, async () => (await read(send)).ledger.accepted === 4);
    const status = await read(send);
    expect(status.ledger.filtered).toEqual({ "sparkplug-state": 1, "sparkplug-command": 1 });
    expect(readJournal(site).map(({ topic }) => topic)).toEqual(["spBv1.0/g/NBIRTH/n", "spBv1.0/g/NBORTH/n"]);
  });

  test("STATE: offline by will with the time of the birth, online again later, offline before it goes", async () => {
    const { site, port } = await openPlant({ primary_host_id: "scada", state_format: "both" });
    await using _ = site;
    const states = site.use(await Collector.start({ door: port }, "spBv1.0/STATE/#"));
    const words = site.use(await Collector.start({ door: port }, "STATE/#"));
    const send = await waitUntilReady(site.startSend());
    const parse = (index: number) =>
      JSON.parse(String(states.messages[index]?.payload)) as { online: boolean; timestamp: number };
    await states.waitForCount(1);
    await words.waitForCount(1);
    expect(states.messages[0]).toMatchObject({ topic: "spBv1.0/STATE/scada", qos: 1, retain: true });
    expect(parse(0).online).toBe(true);
    await send.kill();
    await states.waitForCount(2);
    expect(parse(1)).toEqual({ online: false, timestamp: parse(0).timestamp });
    expect(states.messages[1]).toMatchObject({ qos: 1, retain: true });
    await words.waitForCount(2);
    // The clock of an earlier run was an hour ahead: edge nodes would ignore anything older.
    const liar = site.use(await Publisher.start({ door: port }));
    const aheadMs = Date.now() + 3_600_000;
    const say = (timestamp: number) =>
      liar.publish("spBv1.0/STATE/scada", JSON.stringify({ online: false, timestamp }), {
        qos: 1,
        retain: true,
      });
    await say(aheadMs);
    const again = await waitUntilReady(site.startSend());
    const last = () => parse(states.messages.length - 1);
    await waitFor("online, later than that", 30_000, () => last().online && last().timestamp > aheadMs);
    const { timestamp } = last();
    // Somebody says that we are offline: it is put right, with the same time.
    await say(5);
    await waitFor("the lie", 30_000, () => !last().online);
    await waitFor("the truth", 30_000, () => last().online);
    expect(last()).toEqual({ online: true, timestamp });
    await again.stop();
    await waitFor("offline", 30_000, () => !last().online);
    expect(last().timestamp).toBeGreaterThan(timestamp);
    await words.waitForCount(4);
    expect(words.messages.map(({ payload }) => String(payload))).toEqual([
      "ONLINE",
      "OFFLINE",
      "ONLINE",
      "OFFLINE",
    ]);
  });

  test.each(["5", "3.1.1"])(
    "a broker that refuses our STATE over MQTT %s: the status says what to allow",
    async (version) => {
      using rules = new Workspace("acl");
      const file = rules.write("acl", "topic read spBv1.0/#\n", 0o644);
      chmodSync(rules.directory, 0o755);
      const site = await openSite(
        async (place) => {
          const { port } = await place.startBroker({ listeners: [{ lines: [`acl_file ${file}`] }] });
          return { url: `mqtt://127.0.0.1:${port}`, mqtt_version: version, topics: ["spBv1.0/#"] };
        },
        { primary_host_id: "scada" },
      );
      await using _ = site;
      const send = await waitUntilReady(site.startSend());
      const { host } = await waitForFigures(
        send,
        "the problem",
        ({ host }) => host.problem?.includes("allow") === true,
      );
      expect(host.problem).toContain(
        "does not pass on spBv1.0/STATE/scada; allow tidegate-send-plant-7-cells-sparkplug",
      );
    },
  );

  test("many deaf nodes are asked at a bounded rate, and not again and again", async () => {
    const { site, port } = await openPlant({ rebirths_per_second_max: 5, rebirth_min_seconds: 60 });
    await using _ = site;
    const send = await waitUntilReady(site.startSend());
    await waitForFigures(send, "the way to the edge nodes", ({ host }) => host.state === "online");
    const commands = site.use(await Collector.start({ door: port }, "spBv1.0/+/NCMD/#"));
    const publisher = site.use(await Publisher.start({ door: port }));
    const startedMs = performance.now();
    const round = async (seq: number) => {
      for (let node = 0; node < 20; node++)
        await publisher.publish(`spBv1.0/g/NDATA/n${node}`, Buffer.from([0x18, seq]));
    };
    await round(0);
    await waitForFigures(send, "all to be asked", ({ rebirths }) => rebirths.asked === 20);
    // Five at once, and five a second from then on.
    expect(performance.now() - startedMs).toBeGreaterThan(2000);
    for (const seq of [1, 2, 3]) await round(seq);
    const { rebirths } = await waitForFigures(
      send,
      "more data",
      ({ troubles }) => troubles["data-before-birth"] === 80,
    );
    expect(rebirths).toMatchObject({ asked: 20, waiting: 20 });
    expect(commands.messages.length).toBe(20);
  });

  test("500 edge nodes of 100 metrics: all are told within the period, in bounded memory", async () => {
    const { site, port } = await openPlant({ memory_bytes_max: 33_554_432 });
    await using _ = site;
    const send = await waitUntilReady(site.startSend());
    const publisher = site.use(await Publisher.start({ door: port }));
    const metrics: EdgeMetric[] = Array.from({ length: 100 }, (_each, index) => {
      return {
        name: `area/line/machine/metric ${index}`,
        alias: index,
        type: "Double",
        value: index,
        timestamp: 1000,
      };
    });
    const birth = encodePayload({ timestamp: 1000, seq: 0, metrics });
    const change = metrics.map(({ alias }) => ({
      name: "",
      alias,
      type: "Double",
      value: 0.25,
      timestamp: 2000,
    }));
    const data = encodePayload({ timestamp: 2000, seq: 1, metrics: change as EdgeMetric[] });
    const nodes = Array.from({ length: 500 }, (_each, index) => `n${index}`);
    for (const [type, payload] of [
      ["NBIRTH", birth],
      ["NDATA", data],
    ] as const)
      await publisher.publishAll(nodes.map((node) => ({ topic: `spBv1.0/g/${type}/${node}`, payload })));
    await waitFor("all to be taken", 30_000, async () => (await read(send)).sources[0]?.accepted === 1000);
    const { snapshots, troubles, memoryBytes } = await figuresOf(send);
    expect(troubles).toEqual({});
    expect(memoryBytes).toBeLessThan(25_000_000);
    await waitForFigures(send, "so many snapshots", (figures) => figures.snapshots >= snapshots + 500);
    await waitFor("everybody to be told with the new values", 30_000, () => {
      const told = readJournal(site).filter(
        (one) =>
          one.topic.startsWith(BIRTHS) && metricsOf(one).get("area/line/machine/metric 99")?.value === 0.25,
      );
      return new Set(told.map(({ topic }) => topic)).size === 500;
    });
    expect((await figuresOf(send)).refused).toEqual({});
  });

  test("a broker that is restarted: who comes back is online, who does not is taken for dead", async () => {
    const { site, broker, port } = await openPlant();
    await using _ = site;
    const send = await waitUntilReady(site.startSend());
    const [stays, goes] = [
      site.use(await EdgeNode.start({ port, group: "g", node: "stays", metrics: METRICS })),
      await EdgeNode.start({ port, group: "g", node: "goes", metrics: METRICS }),
    ];
    await waitForFigures(send, "two births", ({ nodes }) => nodes.online === 2);
    await broker.stop("SIGKILL");
    goes.stop();
    await waitFor(
      "the source to notice",
      30_000,
      async () => (await read(send)).sources[0]?.state === "down",
    );
    await broker.start();
    const figures = await waitForFigures(send, "one to be dead", ({ nodes }) => nodes.offline === 1);
    expect(figures).toMatchObject({ presumedDead: 1, nodes: { online: 1, offline: 1 } });
    expect(stays.births).toBeGreaterThan(1);
    expect(figures.troubles["connection-lost"]).toBe(2);
  });

  test("after a night without agent, broker and one edge node, that one is told to be dead", async () => {
    const { site, broker, port } = await openPlant();
    await using _ = site;
    const first = await waitUntilReady(site.startSend());
    site.use(await EdgeNode.start({ port, group: "g", node: "stays", metrics: METRICS }));
    const goes = await EdgeNode.start({ port, group: "g", node: "goes", metrics: METRICS });
    await waitFor("two births to be kept", 30_000, async () => (await read(first)).sources[0]?.kept === 2);
    await first.kill();
    await broker.stop("SIGKILL");
    goes.stop();
    await broker.start();
    const send = await waitUntilReady(site.startSend());
    const figures = await waitForFigures(send, "one to be dead", ({ presumedDead }) => presumedDead === 1);
    expect(figures.nodes).toEqual({ online: 1, offline: 0 });
    // A birth without metrics: nothing of it is known but its life, and that this has ended.
    await waitFor("it to be told", 30_000, () => {
      const told = births(site, "g/goes").at(-1);
      return told !== undefined && metricsOf(told).size === 0;
    });
  });
});

describe("at the listening agent", () => {
  test("edge nodes hear STATE and requests to be born again, and nothing else", async () => {
    const port = await findFreeTcpPort();
    const listener = [{ address: `127.0.0.1:${port}` }];
    const site = await openSite(
      async () => ({ type: "listen", anonymous: true, dollar_topics: "forward", listener }),
      { primary_host_id: "scada" },
    );
    await using _ = site;
    const send = await waitUntilReady(site.startSend());
    const all = site.use(await Collector.start({ door: port }));
    await all.waitForCount(1);
    expect(all.messages[0]).toMatchObject({ topic: "spBv1.0/STATE/scada", qos: 1, retain: true });
    expect(JSON.parse(String(all.messages[0]?.payload)).online).toBe(true);
    const edge = site.use(
      await EdgeNode.start({
        port,
        group: "g",
        node: "n",
        metrics: METRICS,
        devices: { d: DEVICE },
        compress: true,
      }),
    );
    await waitForFigures(send, "births", ({ nodes, devices }) => nodes.online === 1 && devices.online === 1);
    edge.skip(1);
    edge.data({ name: "speed", type: "Double", alias: 1, value: 2.5 });
    await waitForFigures(
      send,
      "a rebirth",
      ({ rebirths, incomplete }) => rebirths.asked === 1 && incomplete === 0,
    );
    expect(edge.births).toBe(2);
    const host = site.use(await Publisher.start({ door: port }));
    await host.publish("spBv1.0/g/NCMD/n", Buffer.from([]), { qos: 1 });
    await host.publish("spBv1.0/g/DATA", "x", { qos: 1 });
    await all.waitForCount(2);
    expect(all.messages.map(({ topic }) => topic)).toEqual(["spBv1.0/STATE/scada", "spBv1.0/g/NCMD/n"]);
    await host.publish("$tidegate/sparkplug/birth/g/n", "x", { qos: 1 }).catch(() => {});
    const { ledger } = await read(send);
    expect(ledger.filtered).toEqual({ "sparkplug-command": 1 });
    expect(ledger.lost).toEqual({ "reserved-topic": 1 });
    edge.stop();
    await waitForFigures(
      send,
      "the death",
      ({ nodes, devices }) => nodes.offline === 1 && devices.offline === 1,
    );
    await send.stop();
    await all.waitForCount(3);
    expect(JSON.parse(String(all.messages[2]?.payload)).online).toBe(false);
  });
});
