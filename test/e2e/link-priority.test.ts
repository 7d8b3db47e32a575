// A link slower than the plant: what is urgent overtakes, what has become pointless while it waited is left out and
// counted on both sides, and the order within a class and topic holds.
import { expect, test } from "bun:test";
import type { Outgoing } from "../support/mqtt-clients.ts";
import { makePayload } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { sum } from "../support/status.ts";
import { LinkRig, numbered, range, upTo } from "./link-rig.ts";

/** About 45 messages of makePayload() a second, with their headers and one repair datagram for each of theirs. */
const SLOW = { sendPath: { rate_mbit_per_second: 0.2 } };

requireTools(["mosquitto"])("a link slower than the plant", () => {
  test("lets alarms overtake the bulk that was there before them, each class and topic in order", async () => {
    await using rig = await LinkRig.open({
      ...SLOW,
      send: {
        priority: [
          { name: "alarm", topics: ["plant/alarm/#"] },
          { name: "event", topics: ["plant/event/#"] },
        ],
      },
    });
    await rig.startBoth();
    const bulk = 500;
    const urgent = 20;
    await rig.near.publishAll(numbered(0, bulk, "plant/bulk"));
    await rig.waitForSend("the bulk in the journal", ({ ledger }) => ledger.accepted === bulk);
    const arrivedBefore = rig.far.messages.length;
    await rig.near.publishAll(numbered(0, urgent, "plant/event/door"));
    await rig.near.publishAll(numbered(0, urgent, "plant/alarm/fire"));
    const waiting = (await rig.readSend()).ledger.held;
    expect(waiting).toBeGreaterThan(bulk / 2);
    await rig.settle(bulk + 2 * urgent);
    expect(rig.arrivals("plant/bulk")).toBe(upTo(bulk));
    expect(rig.arrivals("plant/event")).toBe(upTo(urgent));
    expect(rig.arrivals("plant/alarm")).toBe(upTo(urgent));
    const lastOf = (topic: string) => rig.far.messages.findLastIndex((message) => message.topic === topic);
    const bulkBefore = (topic: string) =>
      rig.far.messages.slice(0, lastOf(topic)).filter((message) => message.topic === "plant/bulk").length;
    expect(bulkBefore("plant/alarm/fire") - arrivedBefore).toBeLessThan(bulk / 4);
    expect(bulkBefore("plant/event/door") - arrivedBefore).toBeLessThan(bulk / 4);
    expect(lastOf("plant/alarm/fire")).toBeLessThan(lastOf("plant/event/door"));
  }, 90_000);

  test("leaves out values that newer ones have overtaken, counts them, and always carries the last", async () => {
    await using rig = await LinkRig.open({ ...SLOW, send: { latest_only: { topics: ["plant/level/#"] } } });
    await rig.startBoth();
    const [topics, values] = [5, 200];
    const messages: Outgoing[] = range(0, values).flatMap((value) =>
      range(0, topics).map((topic) => ({
        topic: topic === 0 ? "plant/log" : `plant/level/${topic}`,
        payload: makePayload(value),
        options: { qos: 1 as const },
      })),
    );
    await rig.near.publishAll(messages);
    const published = topics * values;
    await rig.waitForSend("all taken", ({ ledger }) => ledger.accepted === published);
    const { sent, got } = await rig.settle(published);
    const arrived = rig.far.messages.length;
    const conflated = sent.ledger.lost.conflated ?? 0;
    expect(conflated).toBeGreaterThan(published / 2);
    expect(arrived + conflated).toBe(published);
    expect(got.ledger).toMatchObject({ accepted: arrived, skipped: { conflated }, lost: {}, awaited: 0 });
    expect(sum(sent.ledger.lost)).toBe(conflated);
    // What is not "latest only" comes whole, of the rest at least the last value and never one that is older.
    expect(rig.arrivals("plant/log")).toBe(upTo(values));
    for (const topic of range(1, topics)) {
      const seen = rig.numbers(`plant/level/${topic}`);
      expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => a - b));
      expect(seen.at(-1)).toBe(values - 1);
    }
  }, 90_000);

  test("skips messages whose expiry passes while they wait, and counts them on both sides", async () => {
    await using rig = await LinkRig.open(SLOW);
    await rig.startBoth();
    const [ahead, brief, lasting] = [150, 60, 20];
    const withExpiry = (messages: Outgoing[], messageExpiryInterval: number) =>
      messages.map((message) => ({
        ...message,
        options: { qos: 1 as const, properties: { messageExpiryInterval } },
      }));
    await rig.near.publishAll(numbered(0, ahead, "plant/ahead"));
    await rig.near.publishAll(withExpiry(numbered(0, brief, "plant/brief"), 1));
    await rig.near.publishAll(withExpiry(numbered(0, lasting, "plant/lasting"), 600));
    const { sent, got } = await rig.settle(ahead + brief + lasting);
    const expired = sent.ledger.lost.expired ?? 0;
    expect(expired).toBeGreaterThan(brief / 2);
    expect(got.ledger.skipped).toEqual({ expired });
    expect(sum(got.ledger.lost)).toBe(0);
    // What arrived in time and then expired in the receiver's hands is counted there.
    const expiredLate = got.targets[0]?.ledger.lost.expired ?? 0;
    expect(rig.numbers("plant/brief").length + expired + expiredLate).toBe(brief);
    expect(rig.arrivals("plant/ahead")).toBe(upTo(ahead));
    expect(rig.arrivals("plant/lasting")).toBe(upTo(lasting));
    expect(got.ledger.accepted + expired).toBe(ahead + brief + lasting);
  }, 90_000);

  test("carries a message that takes longer than the patience to cross, and alarms meanwhile", async () => {
    await using rig = await LinkRig.open({
      ...SLOW,
      send: { priority: [{ name: "alarm", topics: ["plant/alarm/#"] }] },
    });
    await rig.startBoth();
    const large = Buffer.alloc(70_000);
    crypto.getRandomValues(large.subarray(0, 65_536));
    crypto.getRandomValues(large.subarray(65_536));
    await rig.near.publish("plant/large", large, { qos: 1 });
    await rig.waitForRecv("its first parts", ({ link }) => link.waitingBytes > 0);
    await rig.near.publishAll(numbered(0, 50, "plant/alarm/fire"));
    const { got } = await rig.settle(51);
    expect(sum(got.ledger.lost)).toBe(0);
    expect(got.link.refused).toEqual({});
    expect(rig.far.messages.at(-1)?.topic).toBe("plant/large");
    expect(rig.far.messages.at(-1)?.payload.equals(large)).toBe(true);
    expect(rig.arrivals("plant/alarm")).toBe(upTo(50));
  }, 90_000);
});
