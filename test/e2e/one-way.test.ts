// The product on a link that cannot carry anything back: two network namespaces joined by a veth whose way back is
// dropped and whose neighbour is entered by hand. And a look over the agents' shoulders: which system calls they make
// on the link's socket, even while somebody tries to talk back.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { findProgram } from "../support/agents.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { OneWayLink } from "../support/network-namespaces.ts";
import { requireTools, toolPath } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { readSocketCalls } from "../support/strace.ts";
import { waitFor } from "../support/wait.ts";
import {
  describeSources,
  describeTarget,
  type Rig,
  startBrokers,
  startPublishers,
  testCarrying,
} from "./carry-suite.ts";

const LINK_PORT = 14_550; // In namespaces of their own every port is free.
const ADMIN = { admin: { address: "127.0.0.1:9464" } };

requireTools(["mosquitto", "network namespaces", "ip", "nft"])("across a one-way link", () => {
  let site: Site;
  let link: OneWayLink;
  let rig: Rig;

  beforeAll(async () => {
    link = new OneWayLink();
    site = await Site.open();
    const before = { plant: link.send.before, business: link.recv.before };
    const { plant, business, certificates } = await startBrokers(site, before);
    const path = {
      type: "udp",
      rate_mbit_per_second: 50,
      endpoint: `${link.paths[0]?.recvAddress}:${LINK_PORT}`,
    };
    site.writeSend(describeSources(plant), { ...ADMIN, link: { path: [path] } });
    site.writeRecv({ ...ADMIN, link: { path: [{ type: "udp", address: `0.0.0.0:${LINK_PORT}` }] } });
    site.writeTarget("hq", describeTarget(business, certificates));
    const far = site.use(await Collector.start({ door: business.socketPath }));
    const recv = site.startRecv({ before: link.recv.before });
    await recv.waitForLog("target connected", ({ msg }) => msg === "target hq is connected");
    const send = site.startSend({ before: link.send.before });
    for (const source of ["v311", "v5"])
      await send.waitForLog("source subscribed", ({ msg }) => msg === `source ${source} is subscribed`);
    rig = {
      ...{ send, recv, far, near: await startPublishers(site, plant) },
      readSend: async () =>
        JSON.parse(link.send.run(findProgram("send"), "status", "--json", "--config", site.sendFile)),
      readRecv: async () =>
        JSON.parse(link.recv.run(findProgram("recv"), "status", "--json", "--config", site.recvFile)),
    };
  }, 60_000);

  afterAll(async () => {
    await site[Symbol.asyncDispose]();
    link.remove();
  });

  testCarrying(() => rig);

  test("not one packet was sent by the receiving side, and none reached the sending side", () => {
    const count = (side: "send" | "recv", name: string, figure: string) =>
      Number(link[side].run("/bin/cat", `/sys/class/net/${name}/statistics/${figure}`));
    const { sendInterface = "", recvInterface = "" } = link.paths[0] ?? {};
    expect(count("send", sendInterface, "tx_packets")).toBeGreaterThan(1000);
    expect(count("recv", recvInterface, "tx_packets")).toBe(0);
    expect(count("send", sendInterface, "rx_packets")).toBe(0);
    expect(link.countWayBack()).toBe(0);
  });
});

requireTools(["mosquitto", "strace"])("the link's sockets", () => {
  test("are only written to by the send agent and only read by the recv agent, whoever talks back", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const business = await site.startBroker();
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const far = site.use(await Collector.start({ door: business.port }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    const watch = (file: string) => [
      toolPath("strace"),
      ...["-f", "-yy", "-qq", "-s", "8", "-o", site.workspace.path(file)],
      ...["-e", "trace=%network,%desc,io_uring_setup,io_uring_enter,io_uring_register"],
    ];
    const recv = await waitUntilReady(site.startRecv({ before: watch("recv.trace") }));
    const send = await waitUntilReady(site.startSend({ before: watch("send.trace") }));
    const calls = (file: string) => readSocketCalls(readFileSync(site.workspace.path(file), "utf8"));

    const source = await waitFor("the send agent's first datagram", 10_000, () =>
      calls("send.trace").find(({ local }) => local !== undefined),
    );
    const stranger = createSocket("udp4");
    site.use({ [Symbol.asyncDispose]: () => new Promise((resolve) => stranger.close(() => resolve())) });
    const talkBack = () =>
      new Promise<void>((resolve, reject) =>
        stranger.send("answer me", source.local, "127.0.0.1", (error) => (error ? reject(error) : resolve())),
      );
    for (let index = 0; index < 200; index++) {
      await talkBack();
      await near.publish("plant/x", `${index}`, { qos: 1 });
    }
    await far.waitForCount(200, "plant", () => `${send.tail()}\n${recv.tail()}`);
    await recv.waitForStatus<RecvStatus>("a heartbeat after it", ({ link }) => link.state === "up");

    const sent = calls("send.trace");
    expect(sent.filter(({ kind, bytes }) => kind === "read" && bytes > 0)).toEqual([]);
    expect(sent.filter(({ kind, bytes }) => kind === "write" && bytes > 0).length).toBeGreaterThan(0);
    expect(sent.filter(({ name }) => name === "connect")).toEqual([]);
    const received = calls("recv.trace");
    expect(received.filter(({ kind }) => kind === "write")).toEqual([]);
    expect(received.filter(({ kind, bytes }) => kind === "read" && bytes > 0).length).toBeGreaterThan(0);
    for (const file of ["send.trace", "recv.trace"])
      expect(readFileSync(site.workspace.path(file), "utf8")).not.toContain("io_uring_setup");
  }, 90_000);
});
