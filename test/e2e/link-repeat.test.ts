// Everything once more, later, by itself: with repeat_after_seconds a receiver that was away gets what it missed without
// anybody's help, and gets nothing twice.
import { expect, test } from "bun:test";
import { requireTools } from "../support/requirements.ts";
import { sum } from "../support/status.ts";
import { LinkRig, numbered, range, showNumbers, upTo } from "./link-rig.ts";

const WISHES = { sendLink: { repeat_after_seconds: 2 } };

requireTools(["mosquitto"])("the automatic repeat", () => {
  test("brings what was sent while the receiver was down, once", async () => {
    await using rig = await LinkRig.open(WISHES);
    const { recv } = await rig.startBoth();
    await rig.near.publishAll(numbered(0, 300));
    await rig.settle(300);
    expect(await recv.stop()).toBe(0);
    await rig.near.publishAll(numbered(300, 1300));
    await rig.waitForSend("all sent into the void", ({ ledger }) => ledger.forwarded === 1300);
    await rig.startRecv();
    await rig.near.publishAll(numbered(1300, 1500));
    const got = await rig.waitForRecv(
      "all of it",
      ({ ledger, link }) => ledger.accepted === 1500 && link.gaps.count === 0,
    );
    expect(sum(got.ledger.lost)).toBe(0);
    await rig.settle(1500);
    expect(showNumbers(rig.numbers().toSorted((a, b) => a - b))).toBe(upTo(1500));
  }, 60_000);

  test("heals a receiver that is killed under load again and again", async () => {
    // Slow enough that there is load at each kill, and repeated when the last of them is over: once is all there is.
    await using rig = await LinkRig.open({
      sendLink: { repeat_after_seconds: 12 },
      sendPath: { rate_mbit_per_second: 5 },
    });
    let { recv } = await rig.startBoth();
    const count = 6000;
    const published = rig.near.publishAll(numbered(0, count));
    for (let kill = 0; kill < 3; kill++) {
      await rig.far.waitForCount(rig.far.messages.length + 300, undefined, rig.explain);
      await recv.kill();
      recv = await rig.startRecv();
    }
    await published;
    const got = await rig.waitForRecv(
      "all of it",
      ({ ledger, link, targets }) =>
        ledger.accepted === count && link.gaps.count === 0 && targets[0]?.ledger.held === 0,
      30_000,
    );
    // To the spool each message came once. To the broker the killed one may have said twice what it had not noted: QoS 1.
    expect(got.ledger).toMatchObject({ accepted: count, awaited: 0, skipped: {} });
    expect(sum(got.ledger.lost)).toBe(0);
    const arrived = new Set(rig.numbers());
    expect(showNumbers(range(0, count).filter((number) => arrived.has(number)))).toBe(upTo(count));
  }, 60_000);

  test("brings nothing twice to a receiver that missed nothing", async () => {
    await using rig = await LinkRig.open(WISHES);
    await rig.startBoth();
    await rig.near.publishAll(numbered(0, 1000));
    await rig.settle(1000);
    const { paths } = (await rig.readSend()).link;
    const sentOnce = paths[0]?.datagrams ?? 0;
    const got = await rig.waitForRecv(
      "the repeat",
      ({ link }) => (link.refused["sequence-delivered"] ?? 0) + link.surplusDatagrams > sentOnce / 4,
    );
    expect(got.ledger.accepted).toBe(1000);
    await rig.near.publish("plant/last", "last", { qos: 1 });
    await rig.far.waitForCount(1, "plant/last", rig.explain);
    expect(rig.far.messages).toHaveLength(1001);
    expect(rig.arrivals("plant/x")).toBe(upTo(1000));
  }, 60_000);
});
