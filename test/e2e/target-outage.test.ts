// A target that is away for a while: what was published meanwhile arrives when it is back, in order, and what has
// expired meanwhile does not. And what a profile says of TLS beyond the authority: the server's name, ALPN.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:tls";
import { createCertificateSet } from "../support/certificates.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, firstArrivals, makePayload, makePayloads } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";

async function openSite(site: Site) {
  const plant = await site.startBroker();
  const business = await site.startBroker({ persistence: true });
  site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
  site.writeRecv();
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port, session: "reader" }));
  const near = site.use(await Publisher.start({ door: plant.port }));
  const { send, recv } = await site.startBoth();
  return { plant, business, far, near, send, recv };
}

requireTools(["mosquitto"])("a target", () => {
  test("that is stopped under load and started again gets everything at QoS 1", async () => {
    await using site = await Site.open();
    const { business, far, near, recv } = await openSite(site);
    const count = 6000;
    const all = makePayloads(count).map((payload) => ({
      topic: "plant/x",
      payload,
      options: { qos: 1 as const },
    }));
    const published = near.publishAll(all);
    await far.waitForCount(1000);
    await business.stop();
    await published;
    const down = await recv.waitForStatus<RecvStatus>(
      "the target down, messages held",
      ({ ledger, targets }) => targets[0]?.state === "down" && ledger.accepted === count,
    );
    expect(down.targets[0]?.ledger.held).toBeGreaterThan(0);
    await business.start();
    await waitFor(
      "the last message",
      30_000,
      () => far.messages.at(-1)?.payload.equals(makePayload(count - 1)),
      () => `${far.messages.length} came\n${recv.tail()}`,
    );
    const arrivals = firstArrivals(far.messages.map(({ payload }) => payload));
    expect(findFirstDifference(arrivals, count)).toBeUndefined();
    const settled = await recv.waitForStatus<RecvStatus>(
      "nothing held",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(settled.targets[0]).toMatchObject({ connections: 2, ledger: { forwarded: count, lost: {} } });
  }, 60_000);

  test("that comes back gets the expiry less the time it was away, and nothing that has expired", async () => {
    await using site = await Site.open();
    const { business, far, near, recv } = await openSite(site);
    await near.publish("plant/first", "first", { qos: 1 });
    await far.waitForCount(1);
    await business.stop();
    await near.publish("plant/short", "short", { qos: 1, properties: { messageExpiryInterval: 2 } });
    await near.publish("plant/long", "long", { qos: 1, properties: { messageExpiryInterval: 100 } });
    const publishedMs = performance.now();
    await waitFor("both to grow old", 10_000, () => performance.now() - publishedMs > 3100);
    await business.start();
    const [message] = await far.waitForCount(1, "plant/long", () => recv.tail());
    expect(message?.properties.messageExpiryInterval).toBeWithin(50, 98);
    const status = await recv.waitForStatus<RecvStatus>(
      "nothing held",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(status.targets[0]?.ledger).toMatchObject({ forwarded: 2, lost: { expired: 1 } });
    expect(far.below("plant/short")).toHaveLength(0);
    const line = await recv.waitForLog("the loss", ({ msg }) => msg.includes("expired"));
    expect(line).toMatchObject({ target: "hq", topic: "plant/short", payloadBytes: 5 });
  }, 60_000);

  test("is looked for under tls.server_name and offered the protocols of tls.alpn", async () => {
    await using site = await Site.open();
    const { otherNameServer, caFile } = await createCertificateSet(site.workspace.directory);
    let shaken: { name: unknown; protocol: unknown } | undefined;
    const server = createServer(
      {
        cert: readFileSync(otherNameServer.certFile),
        key: readFileSync(otherNameServer.keyFile),
        ALPNProtocols: ["mqtt"],
      },
      (socket) => {
        shaken ??= { name: socket.servername, protocol: socket.alpnProtocol };
        socket.destroy();
      },
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    site.use({ [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) });
    const address = server.address();
    site.writeRecv();
    site.writeTarget("hq", {
      url: `mqtts://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
      tls: { ca_file: caFile, server_name: "other.example", alpn: ["x-other", "mqtt"] },
    });
    const recv = site.startRecv();
    await waitFor(
      "the handshake",
      10_000,
      () => shaken !== undefined,
      () => recv.tail(),
    );
    expect(shaken).toEqual({ name: "other.example", protocol: "mqtt" });
  }, 30_000);
});
