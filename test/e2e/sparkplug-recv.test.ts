// The target "sparkplug" from the edge nodes of the plant to a host application on the business side, with nothing but the one-way
// link between them: whatever happens there, the host knows every tag by name, type and value, and no command goes back.
import { expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Agent, runProgram } from "../support/agents.ts";
import { Collector } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { decodeSparkplug } from "../support/sparkplug-book.ts";
import { SparkplugHost } from "../support/sparkplug-host.ts";
import { type PlantNode, SparkplugPlant } from "../support/sparkplug-plant.ts";
import { type Ledger, type RecvStatus, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";

type Sparkplug = {
  readonly nodes: Readonly<Record<string, number>>;
  readonly isSilent: boolean;
  readonly connections: number;
  readonly held: number;
  readonly gaps: number;
  readonly snapshots: number;
  readonly published: Readonly<Record<string, number>>;
  readonly commands: { readonly answered: number; readonly refused: Readonly<Record<string, number>> };
  readonly malformed: Readonly<Record<string, number>>;
};
type Status = RecvStatus & {
  readonly targets: readonly { readonly ledger: Ledger; readonly sparkplug: Sparkplug }[];
};

/** How often snapshots cross here; each wait below is for something that they bring at the latest. */
const SNAPSHOT_SECONDS = 5;

type Stage = Awaited<ReturnType<typeof openStage>>;

async function openStage(site: Site, target: TomlTable = {}, send: TomlTable = {}) {
  const plant = await site.startBroker();
  const business = await site.startBroker();
  const source = {
    name: "line",
    url: `mqtt://127.0.0.1:${plant.port}`,
    topics: ["spBv1.0/#"],
    sparkplug: { snapshot_seconds: SNAPSHOT_SECONDS, rebirth: false },
  };
  site.writeSend([source], send);
  site.writeRecv();
  const { sparkplug, ...rest } = target;
  site.writeTarget("hq", {
    type: "sparkplug",
    url: `mqtt://127.0.0.1:${business.port}`,
    ...rest,
    sparkplug: { rebirth_min_seconds: 0, death_after_seconds: 1, ...(sparkplug as TomlTable | undefined) },
  });
  const near = site.use(await SparkplugPlant.start(plant.port));
  return { plant, business, near };
}

/** A tag of a birth; its alias goes with its name. */
function tag(name: string, alias: number, value: number, timestamp = Date.now()) {
  return { name, alias, datatype: 3, intValue: value, timestamp };
}

const set = (alias: number, value: number, timestamp = Date.now()) => ({ alias, intValue: value, timestamp });

/** A node with tags a and b, and a device with c. */
async function bear(node: PlantNode): Promise<void> {
  await node.birth([tag("a", 1, 1), tag("b", 2, 2)]);
  await node.deviceBirth("d", [tag("c", 3, 3)]);
}

async function startHost(site: Site, { business }: Pick<Stage, "business">, isStrict = true) {
  return site.use(await SparkplugHost.start(business.port, isStrict));
}

const knows = (
  host: SparkplugHost,
  of: string,
  values: Readonly<Record<string, number>>,
  explain = () => "",
) =>
  host.waitFor(
    `${of} with ${JSON.stringify(values)}`,
    (book) =>
      book.isOnline(of) && Object.entries(values).every(([name, value]) => book.value(of, name) === value),
    explain,
  );

const settled = (recv: Agent, what: string, fits: (status: Status) => boolean) =>
  recv.waitForStatus<Status>(what, (status) => status.targets[0]?.ledger.held === 0 && fits(status));

requireTools(["mosquitto"])("the target sparkplug", () => {
  test("answers a host that asks, at a broker that comes back, and when it starts again; no command crosses", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { plant, business, near } = stage;
    site.writeRecv({ admin: { address: `127.0.0.1:${await findFreeTcpPort()}` } });
    const commands = site.use(await Collector.start({ door: plant.port }, "spBv1.0/+/NCMD/#"));
    const host = await startHost(site, stage);
    let { recv } = await site.startBoth();
    const node = near.node("g", "n");
    await bear(node);
    await node.data([set(1, 10)]);
    await node.data([set(3, 30)], "d");
    await knows(host, "g/n", { a: 10, b: 2 }, () => recv.tail());
    await knows(host, "g/n/d", { c: 30 });
    expect(host.book.tags("g/n").get("a")).toMatchObject({ alias: "1", datatype: 3 });

    // A host that starts late: whoever is strict asks.
    const late = await startHost(site, stage, false);
    await late.askRebirth("g", "n");
    await knows(late, "g/n", { a: 10, b: 2 });
    await knows(late, "g/n/d", { c: 30 });
    // All else is refused, counted and logged, and goes nowhere.
    await late.command("spBv1.0/g/NCMD/n", [
      { name: "Node Control/Reboot", datatype: 11, booleanValue: true },
    ]);
    await late.command("spBv1.0/g/DCMD/n/d", [{ name: "c", datatype: 3, intValue: 99 }]);
    await late.publish("spBv1.0/g/NCMD/n", Buffer.from("no protobuf, this"));
    await late.publish("spBv1.0/g/NCMD/n", Buffer.alloc(100_000));
    await recv.waitForStatus<Status>("all refused", ({ targets }) => {
      const { write, malformed, oversize } = targets[0]?.sparkplug.commands.refused ?? {};
      return write === 2 && malformed === 1 && oversize === 1;
    });
    expect(recv.logs.some(({ msg }) => msg.includes("nothing can be written across the link"))).toBe(true);

    const { stdout } = runProgram("recv", ["status", "--config", site.recvFile]);
    expect(stdout).toContain("of 1 edge nodes 1 alive, 1 born here, 1 devices, 5 metrics");
    expect(stdout).toContain("commands refused");
    const metrics = await (await fetch(`${await recv.adminUrl()}/metrics`)).text();
    expect(metrics).toContain('tidegate_recv_sparkplug_nodes_born{target="hq"} 1');
    expect(metrics).toContain('tidegate_recv_sparkplug_commands_refused_total{target="hq",reason="write"} 2');

    // A broker that forgets everything.
    await business.stop("SIGKILL");
    await node.data([set(2, 22)]);
    await business.start();
    await host.waitFor(
      "a third life",
      // An attempt while the broker was starting has used one.
      (book) => Number(book.bdSeq("g/n")) >= 2,
      () => recv.tail(),
    );
    await knows(host, "g/n", { a: 10, b: 22 });
    await knows(host, "g/n/d", { c: 30 });

    // The receiver ends without a goodbye: the will says so. It starts again and knows everything.
    await recv.kill();
    await host.waitFor("the death by will", (book) => !book.isOnline("g/n"));
    recv = await waitUntilReady(site.startRecv());
    await knows(host, "g/n", { a: 10, b: 22 }, () => recv.tail());
    await knows(host, "g/n/d", { c: 30 });
    await node.data([set(1, 11)]);
    await knows(host, "g/n", { a: 11 });
    const bdSeq = host.book.bdSeq("g/n");
    await recv.stop();
    await host.waitFor("the death by goodbye", (book) => !book.isOnline("g/n"));
    const last = host.book.of("NDEATH").at(-1)?.decoded.metrics;
    expect(last).toMatchObject([{ name: "bdSeq", longValue: bdSeq }]);
    expect(host.book.faults).toEqual([]);
    expect(late.book.faults).toEqual([]);
    expect(commands.messages).toEqual([]);
  }, 120_000);

  test("is complete within the time of a snapshot when it starts late, and when a birth was lost", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const host = await startHost(site, stage);
    const send = await waitUntilReady(site.startSend());
    const node = stage.near.node("g", "n");
    await bear(node);
    await node.data([set(1, 10)]);
    let recv = await waitUntilReady(site.startRecv());
    await knows(host, "g/n", { a: 10, b: 2 }, () => recv.tail());
    await knows(host, "g/n/d", { c: 3 });
    // A new life with other aliases, which nobody hears of; the receiver has forgotten nothing of the old one.
    await recv.stop();
    const before = host.book.seen.length;
    await node.birth([tag("b", 1, 20), tag("a", 2, 100)]);
    await node.deviceBirth("d", [tag("c", 3, 33)]);
    await send.waitForStatus<{ ledger: Ledger }>("all sent", ({ ledger }) => ledger.held === 0);
    recv = await waitUntilReady(site.startRecv());
    await node.data([set(1, 21)]);
    await knows(host, "g/n", { a: 100, b: 21 }, () => recv.tail());
    await knows(host, "g/n/d", { c: 33 });
    // Not for a moment has one had the value of the other.
    const values = host.book.seen
      .slice(before)
      .filter(({ type }) => type === "NDATA")
      .flatMap(({ decoded }) => decoded.metrics as { alias: string; intValue: number }[]);
    expect(values.every(({ alias, intValue }) => alias === "1" && intValue === 21)).toBe(true);
    expect(host.book.faults).toEqual([]);
    const status = await settled(recv, "all settled", () => true);
    expect(unaccounted(status.targets[0]?.ledger as Ledger)).toBe(0);
  }, 120_000);

  test("publishes all as dead while the link is down, and as born when it is there again; a sender may start again", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const host = await startHost(site, stage);
    const { send, recv } = await site.startBoth();
    const node = stage.near.node("g", "n");
    await bear(node);
    await knows(host, "g/n", { a: 1 }, () => recv.tail());
    await send.kill();
    await host.waitFor(
      "the death by silence",
      (book) => !book.isOnline("g/n"),
      () => recv.tail(),
    );
    const silent = await recv.waitForStatus<Status>(
      "silence",
      ({ targets }) => targets[0]?.sparkplug.isSilent === true,
    );
    expect(silent.targets[0]?.sparkplug.nodes).toMatchObject({ online: 1, born: 0 });
    await host.askRebirth("g", "n");
    await recv.waitForStatus<Status>(
      "a refusal",
      ({ targets }) => targets[0]?.sparkplug.commands.refused.unknown === 1,
    );
    expect(host.book.isOnline("g/n")).toBe(false);
    await waitUntilReady(site.startSend());
    await knows(host, "g/n", { a: 1, b: 2 }, () => recv.tail());
    await knows(host, "g/n/d", { c: 3 });
    expect(host.book.faults).toEqual([]);
  }, 120_000);

  test("preserves metrics bit by bit, flags, nulls, templates, data sets and property sets among them; the seq wraps", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const host = await startHost(site, stage);
    const { recv } = await site.startBoth();
    const node = stage.near.node("g", "n");
    const timestamp = Date.now();
    const rich = [
      { name: "null", alias: 11, datatype: 3, isNull: true, timestamp },
      { name: "text ü", alias: 12, datatype: 12, stringValue: "x\u0000y", timestamp },
      {
        name: "bytes",
        alias: 13,
        datatype: 17,
        bytesValue: Buffer.from([0, 255, 1]).toString("base64"),
        timestamp,
      },
      {
        name: "set",
        alias: 14,
        datatype: 16,
        timestamp,
        datasetValue: {
          numOfColumns: "2",
          columns: ["a", "b"],
          types: [3, 12],
          rows: [{ elements: [{ intValue: 1 }, { stringValue: "r" }] }],
        },
      },
      {
        name: "motor",
        alias: 15,
        datatype: 19,
        timestamp,
        templateValue: {
          templateRef: "motor",
          isDefinition: false,
          metrics: [{ name: "rpm", datatype: 9, floatValue: 12.5 }],
          parameters: [{ name: "p", type: 3, intValue: 1 }],
        },
        properties: { keys: ["engUnit"], values: [{ type: 12, stringValue: "rpm" }] },
      },
      {
        name: "double",
        alias: 16,
        datatype: 10,
        doubleValue: Number.MIN_VALUE,
        isTransient: true,
        timestamp,
      },
    ];
    await node.birth(rich);
    const sent: Buffer[] = [];
    const rounds = 300;
    for (let round = 0; round < rounds; round++) {
      const now = timestamp + 1 + round;
      const metrics = rich.map(({ name: _name, datatype: _type, ...metric }) => ({
        ...metric,
        timestamp: now,
        ...(round % 3 === 0 ? { isHistorical: true } : {}),
      }));
      sent.push(await node.data(metrics, undefined, now));
    }
    await host.waitFor(
      "all of it",
      (book) => book.count("NDATA") === rounds,
      () => recv.tail(),
    );
    const told = host.book.of("NDATA").map(({ payload }) => metricBytes(payload));
    expect(told).toEqual(sent.map(metricBytes));
    await host.askRebirth("g", "n");
    await host.waitFor("the birth again", (book) => book.count("NBIRTH") >= 2);
    const again = host.book.of("NBIRTH").at(-1)?.decoded.metrics as { name: string }[];
    for (const { name, alias, ...metric } of rich) {
      const found = again.find((each) => each.name === name);
      const { timestamp: at, ...rest } = JSON.parse(JSON.stringify(found)) as Record<string, unknown>;
      const { timestamp: _at, ...wanted } = JSON.parse(
        JSON.stringify({ name, alias: String(alias), ...metric }),
      );
      expect([Number(at) > timestamp, rest]).toEqual([true, wanted]);
    }
    expect(host.book.faults).toEqual([]);
  }, 120_000);

  test("counts what no decoder could read, and goes on", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const host = await startHost(site, stage);
    const { recv } = await site.startBoth();
    const node = stage.near.node("g", "n");
    await bear(node);
    for (const bytes of [Buffer.from("\u0012\u00ff"), Buffer.from("text"), Buffer.alloc(200, 0xff)])
      await node.publish("NDATA", undefined, bytes);
    await node.data([set(1, 10)]);
    await knows(host, "g/n", { a: 10 }, () => recv.tail());
    const status = await settled(
      recv,
      "three refused",
      ({ targets }) => targets[0]?.ledger.lost.malformed === 3,
    );
    expect(
      Object.values(status.targets[0]?.sparkplug.malformed ?? {}).reduce((sum, count) => sum + count, 0),
    ).toBe(3);
    expect(host.book.faults).toEqual([]);
  }, 60_000);

  test("gives each edge node a connection with its own will, and 500 of them 100 metrics each after a restart", async () => {
    await using site = await Site.open();
    const stage = await openStage(site, { sparkplug: { connections: "per-node", max_connections: 20 } });
    const host = await startHost(site, stage);
    let { recv } = await site.startBoth();
    const nodes = Array.from({ length: 500 }, (_, index) => stage.near.node("g", `n${index}`));
    const metrics = Array.from({ length: 100 }, (_, index) => tag(`tag-${index}`, index + 1, index));
    await Promise.all(nodes.map((node) => node.birth(metrics)));
    await Promise.all(nodes.map((node, index) => node.data([set(1, 1000 + index)])));
    const isComplete = () =>
      nodes.every(
        (_, index) =>
          host.book.isOnline(`g/n${index}`) &&
          host.book.tags(`g/n${index}`).size === 102 &&
          host.book.value(`g/n${index}`, "tag-0") === 1000 + index &&
          host.book.value(`g/n${index}`, "tag-99") === 99,
      );
    await host.waitFor("all of them", isComplete, () => recv.tail(), 60_000);
    const status = await settled(
      recv,
      "20 and the main one",
      ({ targets }) => targets[0]?.sparkplug.connections === 21,
    );
    expect(status.targets[0]?.sparkplug.nodes).toMatchObject({ known: 500, online: 500, metrics: 500 * 102 });
    await recv.kill();
    await host.waitFor("20 wills", (book) => book.count("NDEATH") >= 20);
    const before = host.book.count("NBIRTH");
    recv = await waitUntilReady(site.startRecv());
    await host.waitFor(
      "all born again",
      (book) => book.count("NBIRTH") >= before + 500,
      () => recv.tail(),
      60_000,
    );
    await host.waitFor("all of them again", isComplete, () => recv.tail(), 60_000);
    expect(host.book.faults).toEqual([]);
  }, 180_000);

  test("leaves retained births where the broker lets it, and says so where it does not", async () => {
    await using site = await Site.open();
    const stage = await openStage(site, { sparkplug: { certificates: true } });
    const { recv } = await site.startBoth();
    await bear(stage.near.node("g", "n"));
    await recv.waitForStatus<Status>(
      "both kept",
      ({ targets }) => (targets[0]?.sparkplug.published.certificates ?? 0) >= 2,
    );
    const kept = site.use(await Collector.start({ door: stage.business.port }, "$sparkplug/certificates/#"));
    const messages = await kept.waitForCount(2);
    expect(messages.map(({ topic, retain }) => [topic, retain]).sort()).toEqual([
      ["$sparkplug/certificates/spBv1.0/g/DBIRTH/n/d", true],
      ["$sparkplug/certificates/spBv1.0/g/NBIRTH/n", true],
    ]);
    expect(decodeSparkplug(messages[0]?.payload ?? Buffer.alloc(0)).metrics).toBeDefined();
  }, 60_000);

  test("begins anew when what it has kept is damaged, and is completed by the next snapshot", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const host = await startHost(site, stage);
    let { recv } = await site.startBoth();
    const node = stage.near.node("g", "n");
    await bear(node);
    await knows(host, "g/n", { a: 1 }, () => recv.tail());
    await recv.stop();
    const spool = site.workspace.path("spool");
    const file = readdirSync(spool).find((name) => name === "sparkplug-hq.db");
    expect(file).toBeDefined();
    writeFileSync(join(spool, "sparkplug-hq.db"), Buffer.alloc(9000, 0x5a));
    recv = await waitUntilReady(site.startRecv());
    await recv.waitForLog("the damage", ({ msg }) => msg.includes("begun anew"));
    await knows(host, "g/n", { a: 1, b: 2 }, () => recv.tail());
    await knows(host, "g/n/d", { c: 3 });
    expect(existsSync(join(spool, "sparkplug-hq.db.damaged"))).toBe(true);
    expect(host.book.faults).toEqual([]);
  }, 60_000);

  test("and beside it a target of another type gets the same, byte by byte, and nothing of the agents' own", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const other = await site.startBroker();
    site.writeTarget("plain", { url: `mqtt://127.0.0.1:${other.port}` });
    const all = site.use(await Collector.start({ door: other.port }));
    const own = site.use(await Collector.start({ door: other.port }, "$tidegate/#"));
    const { recv } = await site.startBoth();
    const node = stage.near.node("g", "n");
    await bear(node);
    const bytes = await node.data([set(1, 10)]);
    const messages = await all.waitForCount(3, undefined, () => recv.tail());
    expect(messages.at(-1)?.payload.equals(bytes)).toBe(true);
    const status = await recv.waitForStatus<Status>("a snapshot has come", ({ targets }) =>
      targets.every(({ ledger }) => ledger.held === 0 && Object.keys(ledger.filtered).length > 0),
    );
    const rules = Object.fromEntries(
      status.targets.map(({ name, ledger }) => [name, Object.keys(ledger.filtered)]),
    );
    expect(rules).toEqual({ hq: ["birth-snapshot"], plain: ["tidegate-internal"] });
    for (const { ledger } of status.targets) expect(unaccounted(ledger)).toBe(0);
    expect(own.messages).toEqual([]);
  }, 60_000);
});

/** The bytes of all metrics of a payload: everything but its timestamp and seq, which come before and after. */
function metricBytes(payload: Buffer): string {
  const pieces: string[] = [];
  for (let at = 0; at < payload.length; ) {
    const field = (payload[at++] as number) >> 3;
    if (field !== 2) {
      while ((payload[at++] as number) >= 0x80);
      continue;
    }
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = payload[at++] as number;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    pieces.push(payload.subarray(at, at + length).toString("hex"));
    at += length;
  }
  return pieces.join(" ");
}
