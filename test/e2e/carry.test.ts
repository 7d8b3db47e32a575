// Everything there is to carry, from a plain broker in the plant to one that wants mutual TLS, over loopback.
import { afterAll, beforeAll } from "bun:test";
import { Collector } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import type { RecvStatus, SendStatus } from "../support/status.ts";
import {
  describeSources,
  describeTarget,
  type Rig,
  startBrokers,
  startPublishers,
  testCarrying,
} from "./carry-suite.ts";

requireTools(["mosquitto"])("over loopback", () => {
  let site: Site;
  let rig: Rig;

  beforeAll(async () => {
    site = await Site.open();
    const { plant, business, certificates } = await startBrokers(site);
    const { caFile, client } = certificates;
    site.writeSend(describeSources(plant));
    site.writeRecv();
    site.writeTarget("hq", describeTarget(business, certificates));
    const far = site.use(await Collector.start({ door: business.port, tls: { caFile, client } }));
    const { send, recv } = await site.startBoth();
    rig = {
      ...{ send, recv, far, near: await startPublishers(site, plant) },
      readSend: () => send.readStatus<SendStatus>(),
      readRecv: () => recv.readStatus<RecvStatus>(),
    };
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  testCarrying(() => rig);
});
