// What the tests of Azure's targets have in common: a plant with a broker, the business side's profile of a fake, and the
// wait until all that came across is accounted for.
import { expect } from "bun:test";
import type { Agent } from "../support/agents.ts";
import { type CertificateSet, createCertificateSet } from "../support/certificates.ts";
import { Publisher } from "../support/mqtt-clients.ts";
import type { Site } from "../support/site.ts";
import { type RecvStatus, unaccounted } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";

export const HUB = "contoso.azure-devices.net";
export const KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
export const OTHER_KEY = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
/** No long waits before the next attempt. */
export const QUICK = { reconnect_min_ms: 50, reconnect_max_ms: 200 };

export async function openPlant(site: Site): Promise<{ near: Publisher; set: CertificateSet }> {
  const set = await createCertificateSet(site.workspace.directory);
  const plant = await site.startBroker();
  site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["#"] }]);
  site.writeRecv();
  return { near: site.use(await Publisher.start({ door: plant.port })), set };
}

/** Every message has reached its end at every target, and the ledgers add up. */
export async function settle(recv: Agent, accepted: number, deadlineMs?: number): Promise<RecvStatus> {
  const status = await recv.waitForStatus<RecvStatus>(
    `${accepted} messages handled`,
    // What has come across counts at a target once it is in the spool.
    ({ targets }) => targets.every(({ ledger }) => ledger.accepted === accepted && ledger.held === 0),
    deadlineMs,
  );
  for (const { ledger } of status.targets) expect(unaccounted(ledger)).toBe(0);
  return status;
}

export async function waitToSay(recv: Agent, text: string): Promise<void> {
  await waitFor(
    text,
    30_000,
    () => recv.stderr.includes(text),
    () => recv.tail(),
  );
}
