// kill -9, again and again, at random instants under QoS 1 load: of either agent and of either broker. Whatever the
// sender acknowledged to the plant's broker is acknowledged to the receiver by the other one, in order but for what comes
// again, and comes again only as docs/operating.md says; both ledgers add up in the end.
// TIDEGATE_KILLS=500 kills that often; TIDEGATE_SEED=N repeats the choices of a run that failed.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { runProgram } from "../support/agents.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { sum, unaccounted } from "../support/status.ts";
import {
  findDisorder,
  findExcess,
  findFalseDups,
  findMissing,
  findPlantDisorder,
  findTakenAgain,
  longestRepeatMs,
  ofWay,
} from "./kill-oracle.ts";
import { KillRig } from "./kill-rig.ts";

const KILLS = Number(process.env.TIDEGATE_KILLS ?? 56);
const SEED = Number(process.env.TIDEGATE_SEED ?? Date.now() % 1_000_000);
/** Against a test that hangs; what counts is progress. */
const HANGS_MS = 600_000 + KILLS * 60_000;
/** Of a target, unless its profile says otherwise. */
const INFLIGHT_MAX = 100;
/** Of the messages published, so many percent at least must have been acknowledged by the sender: brokers forget few. */
const WITNESSED_PERCENT = 90;

/** What the manual promises: "delivered in the last N ms". */
function readWindowMs(): number {
  const manual = readFileSync(new URL("../../docs/operating.md", import.meta.url), "utf8");
  const [, ms] = /delivered in the last (\d+) ms/.exec(manual) ?? [];
  if (ms === undefined) throw new Error("docs/operating.md does not say what is delivered again");
  return Number(ms);
}

/** What holds whoever was killed. */
function judge(rig: KillRig): void {
  const { plant, business, seed } = rig;
  const acknowledged = new Set(
    ofWay(plant, "to-agent").flatMap(({ number, ackedMs }) => (ackedMs === undefined ? [] : [number])),
  );
  expect({ seed, faults: [...plant.faults, ...business.faults] }).toEqual({ seed, faults: [] });
  expect(acknowledged.size).toBeGreaterThan((rig.sent * WITNESSED_PERCENT) / 100);
  expect({ seed, missing: findMissing(plant, business) }).toEqual({ seed, missing: [] });
  expect({ seed, falselyMarked: findFalseDups(business, INFLIGHT_MAX) }).toEqual({ seed, falselyMarked: [] });
  const excess = findExcess(plant, business, rig.recvKills);
  if (excess.length > 0) console.error(rig.explain(excess.map(({ number }) => number)));
  expect({ seed, excess }).toEqual({ seed, excess: [] });
}

requireTools(["mosquitto"])("kill -9 under QoS 1 load", () => {
  test(
    `of the sender and of both brokers, ${KILLS / 2} times, keeps every message and the order`,
    async () => {
      await using site = await Site.open();
      const rig = await KillRig.open(site, SEED, readWindowMs());
      for (let kill = 0; kill < KILLS / 2; kill++)
        await rig.kill(rig.pick(["send", "send", "plant", "business"]));
      await rig.waitForAll();
      const { send, recv } = await rig.settle();
      judge(rig);
      const allowed = findPlantDisorder(rig.plant);
      const disorder = findDisorder(rig.business).filter((number) => !allowed.has(number));
      expect({ seed: SEED, disorder }).toEqual({ seed: SEED, disorder: [] });
      expect(send.link.journalId).toBe(rig.journalId);
      expect(unaccounted(send.ledger)).toBe(0);
      expect(send.ledger.lost).toEqual({});
      expect(recv.ledger).toMatchObject({ lost: {}, awaited: 0 });
      expect(recv.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
    },
    HANGS_MS,
  );

  test(
    `of everything in turn, ${KILLS / 2} times, loses nothing that a replay cannot bring`,
    async () => {
      await using site = await Site.open();
      const rig = await KillRig.open(site, SEED + 1, readWindowMs());
      for (let kill = 0; kill < KILLS / 2; kill++)
        await rig.kill(rig.pick(["recv", "recv", "send", "plant", "business"]));
      const before = await rig.settle();
      expect(before.send.link.journalId).toBe(rig.journalId);
      expect(unaccounted(before.send.ledger)).toBe(0);
      expect(before.send.ledger.lost).toEqual({});
      expect(Object.keys(before.recv.ledger.lost).filter((reason) => reason !== "gap")).toEqual([]);
      const replay = runProgram("send", ["replay", "--config", site.sendFile, "--since", "1h"]);
      expect(replay).toMatchObject({ status: 0 });
      await rig.waitForReplay();
      await rig.waitForAll();
      const { recv } = await rig.settle();
      judge(rig);
      // What was lost on the link while nobody listened comes later than its order, and is counted; if the plant's
      // broker handed it over twice, the second one may come first.
      const allowed = findPlantDisorder(rig.plant).union(findTakenAgain(rig.plant));
      const disorder = findDisorder(rig.business).filter((number) => !allowed.has(number));
      expect(disorder.length).toBeLessThanOrEqual(recv.link.recovered);
      expect(sum(recv.ledger.lost)).toBe(0);
      expect(recv.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
      expect(longestRepeatMs(rig.plant, rig.business, rig.recvKills)).toBeLessThanOrEqual(
        Math.max(...rig.recvKills.map(({ windowMs }) => windowMs)),
      );
    },
    HANGS_MS,
  );
});
