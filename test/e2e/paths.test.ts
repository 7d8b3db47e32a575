// One link over several paths: each carries the same, so that any of them may die under load and nothing is lost.
import { expect, test } from "bun:test";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, makePayloads } from "../support/payloads.ts";
import { findFreeUdpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { type RecvStatus, sum } from "../support/status.ts";
import { UdpRelay } from "../support/udp-relay.ts";

const COUNT = 10_000;
const RATE = { type: "udp", rate_mbit_per_second: 50 };

requireTools(["mosquitto"])("two paths", () => {
  test.each(["IPv4", "IPv6"] as const)(
    "lose nothing when the %s one dies under load",
    async (victim) => {
      await using site = await Site.open();
      const plant = await site.startBroker();
      const business = await site.startBroker();
      const ports = { IPv4: site.linkPort, IPv6: await findFreeUdpPort() };
      // The dying path runs through a cable that can be cut; the relay's own end is IPv4 in both cases.
      const relay = site.use(await UdpRelay.start(ports[victim], victim));
      const endpoint = { IPv4: `127.0.0.1:${ports.IPv4}`, IPv6: `[::1]:${ports.IPv6}` };
      const called = { ...endpoint, [victim]: `127.0.0.1:${relay.port}` };
      site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }], {
        link: {
          path: [
            { ...RATE, name: "four", endpoint: called.IPv4 },
            { ...RATE, name: "six", endpoint: called.IPv6 },
          ],
        },
      });
      site.writeRecv({
        link: {
          path: [
            { type: "udp", name: "four", address: endpoint.IPv4 },
            { type: "udp", name: "six", address: endpoint.IPv6 },
          ],
        },
      });
      site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
      const far = site.use(await Collector.start({ door: business.port }));
      const near = site.use(await Publisher.start({ door: plant.port }));
      const { send, recv } = await site.startBoth();
      const load = makePayloads(COUNT).map((payload) => ({
        topic: "plant/x",
        payload,
        options: { qos: 1 as const },
      }));
      const published = near.publishAll(load);
      await far.waitForCount(3000, undefined, () => `${send.tail()}\n${recv.tail()}`);
      const before = await recv.readStatus<RecvStatus>();
      expect(before.link.paths.every(({ datagrams }) => datagrams > 0)).toBe(true);
      relay.cut();
      await published;
      await far.waitForCount(COUNT, undefined, () => `${send.tail()}\n${recv.tail()}`);
      const payloads = far.messages.map(({ payload }) => payload);
      expect(findFirstDifference(payloads, COUNT)).toBeUndefined();
      const status = await recv.waitForStatus<RecvStatus>(
        "nothing held",
        ({ targets }) => targets[0]?.ledger.held === 0,
      );
      expect(sum(status.ledger.lost)).toBe(0);
      expect(status.link.surplusDatagrams).toBeGreaterThan(0);
    },
    60_000,
  );
});
