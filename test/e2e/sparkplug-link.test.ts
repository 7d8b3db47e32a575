// Sparkplug with code that we did not write at the plant (sparkplug-client), on a link that is cut, towards brokers that allow just
// what `policy` says, and hosts that ask for too much.
import { expect, test } from "bun:test";
import { runProgram } from "../support/agents.ts";
import { type EdgeMetric, EdgeNode } from "../support/edge-node.ts";
import { Collector } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { SparkplugHost } from "../support/sparkplug-host.ts";
import { type RecvStatus, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { UdpRelay } from "../support/udp-relay.ts";

type Status = RecvStatus & {
  readonly targets: readonly {
    readonly sparkplug: {
      readonly isSilent: boolean;
      readonly held: number;
      readonly gaps: number;
      readonly connections: number;
      readonly nodes: Readonly<Record<string, number>>;
      readonly published: Readonly<Record<string, number>>;
      readonly commands: { readonly answered: number; readonly refused: Readonly<Record<string, number>> };
    };
  }[];
};

const double = (name: string, alias: number, value: number): EdgeMetric => ({
  name,
  alias,
  type: "Double",
  value,
  timestamp: Date.now(),
});
const DEVICE = { press: [double("force", 3, 3)] };

async function openSite(site: Site, target: TomlTable, send: TomlTable = {}) {
  const plant = await site.startBroker();
  const source = {
    name: "line",
    url: `mqtt://127.0.0.1:${plant.port}`,
    topics: ["spBv1.0/#"],
    sparkplug: { snapshot_seconds: 5, primary_host_id: "tidegate" },
  };
  site.writeSend([source], send);
  site.writeRecv();
  const { sparkplug, ...rest } = target;
  site.writeTarget("hq", {
    type: "sparkplug",
    ...rest,
    sparkplug: { rebirth_min_seconds: 0, death_after_seconds: 1, ...(sparkplug as TomlTable | undefined) },
  });
  return plant;
}

requireTools(["mosquitto"])("the target sparkplug", () => {
  test("outlives a link that is cut, in which edge nodes were born again with other aliases", async () => {
    await using site = await Site.open();
    const relay = site.use(await UdpRelay.start(site.linkPort));
    const business = await site.startBroker();
    const path = { type: "udp", endpoint: `127.0.0.1:${relay.port}`, rate_mbit_per_second: 50 };
    const plant = await openSite(
      site,
      { url: `mqtt://127.0.0.1:${business.port}` },
      { link: { path: [path] } },
    );
    const host = site.use(await SparkplugHost.start(business.port));
    const { recv } = await site.startBoth();
    const edges = ["cell-1", "cell-2"].map((node) => ({
      port: plant.port,
      group: "plant",
      node,
      metrics: [double("speed", 1, 1), double("heat", 2, 2)],
      devices: DEVICE,
      compress: node === "cell-2",
    }));
    const [one, two] = (await Promise.all(edges.map((wishes) => EdgeNode.start(wishes)))) as [
      EdgeNode,
      EdgeNode,
    ];
    site.use(one);
    site.use(two);
    const isAlive = (speed: number) =>
      host.waitFor(
        `speed ${speed}`,
        (book) =>
          ["plant/cell-1", "plant/cell-2"].every(
            (key) =>
              book.value(key, "speed") === speed && book.isOnline(key) && book.isOnline(`${key}/press`),
          ),
        () => recv.tail(),
      );
    await isAlive(1);
    for (const edge of [one, two]) edge.data(double("speed", 1, 5));
    await isAlive(5);

    relay.cut();
    await host.waitFor(
      "the death of both",
      (book) => !book.isOnline("plant/cell-1") && !book.isOnline("plant/cell-2"),
    );
    one.metrics = [double("heat", 1, 22), double("speed", 2, 11)];
    one.bear();
    two.metrics = [double("speed", 7, 10), double("heat", 8, 22)];
    two.bear();
    one.data({ name: "speed", alias: 2, type: "Double", value: 12, timestamp: Date.now() });
    two.data({ name: "speed", alias: 7, type: "Double", value: 12, timestamp: Date.now() });
    relay.mend();
    await isAlive(12);
    await host.waitFor("heat", (book) =>
      ["plant/cell-1", "plant/cell-2"].every((key) => book.value(key, "heat") === 22),
    );
    expect(host.book.faults).toEqual([]);
    // Nobody was asked in the plant because of it: the births there were the first, and those that the test made.
    expect([one.births, two.births]).toEqual([2, 2]);
    const status = await recv.waitForStatus<Status>(
      "nothing in doubt",
      ({ targets }) => targets[0]?.sparkplug.nodes.inDoubt === 0 && targets[0].ledger.held === 0,
    );
    for (const { ledger } of status.targets) expect(unaccounted(ledger)).toBe(0);
  }, 120_000);

  test.each(["shared", "per-node"])(
    "needs of its broker just what policy prints, over MQTT 3.1.1 (%s)",
    async (connections) => {
      await using site = await Site.open();
      const port = await findFreeTcpPort();
      const profile = {
        url: `mqtt://127.0.0.1:${port}`,
        mqtt_version: "3.1.1",
        username: "tidegate",
        password_file: "password",
        sparkplug: { connections, certificates: true, nodes: ["plant/+"] },
      };
      const plant = await openSite(site, profile);
      site.workspace.write("targets.d/password", "secret", 0o600);
      const policy = runProgram("recv", ["policy", "--config", site.recvFile]);
      expect(policy.stderr).toBe("");
      const list = site.workspace.write(
        "acl",
        `${policy.stdout}user host\ntopic readwrite #\ntopic read $sparkplug/#\n`,
        0o644,
      );
      const business = await site.startBroker({
        listeners: [{ users: { tidegate: "secret", host: "secret" }, lines: [`acl_file ${list}`] }],
      });
      site.writeTarget("hq", {
        type: "sparkplug",
        ...profile,
        url: `mqtt://127.0.0.1:${business.port}`,
        sparkplug: { rebirth_min_seconds: 0, death_after_seconds: 1, ...profile.sparkplug },
      });
      const doctor = () => runProgram("recv", ["doctor", "--config", site.recvFile]);
      expect(doctor().stdout).toContain("ok    target hq: mqtt://127.0.0.1");
      const login = { username: "host", password: "secret" };
      const host = site.use(await SparkplugHost.start(business.port, true, "spBv1.0/#", login));
      const { recv } = await site.startBoth();
      const wishes = {
        port: plant.port,
        group: "plant",
        node: "cell",
        metrics: [double("speed", 1, 1)],
        devices: DEVICE,
      };
      const edge = site.use(await EdgeNode.start(wishes));
      site.use(await EdgeNode.start({ ...wishes, group: "other" }));
      await host.waitFor(
        "births",
        (book) => book.value("plant/cell/press", "force") === 3,
        () => recv.tail(),
      );
      edge.data(double("speed", 1, 5));
      edge.deviceData("press", double("force", 3, 33));
      await host.waitFor(
        "data",
        (book) => book.value("plant/cell", "speed") === 5 && book.value("plant/cell/press", "force") === 33,
      );
      await host.askRebirth("plant", "cell");
      await host.waitFor(
        "a rebirth",
        (book) => book.count("DBIRTH", "plant/cell/press") >= 2,
        () => recv.tail(),
      );
      await recv.waitForStatus<Status>(
        "retained births",
        ({ targets }) => (targets[0]?.sparkplug.published.certificates ?? 0) >= 2,
      );
      const kept = site.use(
        await Collector.start({ door: business.port, ...login }, "$sparkplug/certificates/#"),
      );
      expect((await kept.waitForCount(2)).every(({ retain }) => retain)).toBe(true);
      edge.deviceDeath("press");
      await host.waitFor("the death of the device", (book) => !book.isOnline("plant/cell/press"));
      await recv.kill();
      await host.waitFor("the will", (book) => !book.isOnline("plant/cell"));
      expect(host.book.faults).toEqual([]);
      expect(host.book.seen.some(({ of }) => of.startsWith("other/"))).toBe(false);
      expect(business.log()).not.toContain("Denied");
    },
    120_000,
  );

  test("gives a host that asks without end what is allowed, and goes on for the others", async () => {
    await using site = await Site.open();
    const business = await site.startBroker();
    const plant = await openSite(site, {
      url: `mqtt://127.0.0.1:${business.port}`,
      sparkplug: { rebirth_min_seconds: 3600 },
    });
    const host = site.use(await SparkplugHost.start(business.port));
    const { recv } = await site.startBoth();
    const edge = site.use(
      await EdgeNode.start({
        port: plant.port,
        group: "plant",
        node: "cell",
        metrics: [double("speed", 1, 0)],
      }),
    );
    await host.waitFor(
      "a birth",
      (book) => book.isOnline("plant/cell"),
      () => recv.tail(),
    );
    const births = host.book.count("NBIRTH");
    const rebirth = [{ name: "Node Control/Rebirth", datatype: 11, booleanValue: true }];
    await Promise.all(Array.from({ length: 1000 }, () => host.command("spBv1.0/plant/NCMD/cell", rebirth)));
    for (let value = 1; value <= 50; value++) edge.data(double("speed", 1, value));
    await host.waitFor(
      "the last value",
      (book) => book.value("plant/cell", "speed") === 50,
      () => recv.tail(),
    );
    // All were heard in the end, at 200 a second: reading rested in between.
    await recv.waitForStatus<Status>(
      "all heard",
      ({ targets }) => targets[0]?.sparkplug.commands.answered === 1000,
    );
    expect(host.book.count("NBIRTH")).toBe(births);
    expect(recv.logs.filter(({ msg }) => msg.includes("lost the connection"))).toEqual([]);
    expect(host.book.faults).toEqual([]);
  }, 60_000);
});
