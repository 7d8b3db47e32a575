// Contents that a slow disk is at work on: nothing of them is acknowledged or sent before it is done, the agent goes on meanwhile,
// and waits only when too much has piled up.
import { beforeEach, describe, expect, test } from "bun:test";
import { ContentPool } from "../../../../agents/send/content-pool.ts";
import { Intake } from "../../../../agents/send/intake.ts";
import { Journal } from "../../../../agents/send/journal.ts";
import { LatestValues } from "../../../../agents/send/link/refine.ts";
import { Counters } from "../../../../shared/counters.ts";
import { decodeContent } from "../../../../shared/framing/content.ts";
import type { Qos } from "../../../../shared/message.ts";
import type { BlockLog, Preparation } from "../../../../shared/store/block-log.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";
import { makeMessage } from "../../shared/framing/samples.ts";

const LARGE = 20_000;
let events: string[] = [];
/** Ends what the disk is at work on. */
let end: ((error?: Error) => void) | undefined;
let isFailing = false;
beforeEach(() => {
  events = [];
  end = undefined;
  isFailing = false;
});

/** A disk that is done when the test says so. */
function makeSlow(log: BlockLog): BlockLog {
  log.prepare = (contents, onDone): Preparation | undefined => {
    if (!contents.some(({ length }) => length >= LARGE)) return undefined;
    let isDone = false;
    end = (error) => {
      isDone = true;
      onDone(error);
    };
    events.push(`prepare ${contents.length}`);
    return {
      places: contents.map(() => undefined),
      finish: () => {
        if (!isDone) events.push("finish");
        isDone = true;
        if (isFailing) throw new Error("I/O error");
      },
      get isDone() {
        return isDone;
      },
    };
  };
  const { write } = log;
  log.write = (work) => {
    if (isFailing) throw new Error("I/O error");
    write.call(log, work);
  };
  return log;
}

function makeIntake(change: { waitingBytesMax?: number; qos0Overflow?: "drop-oldest" | "drop-newest" } = {}) {
  const log = makeSlow(openBlockLog("", "", "memory"));
  const options = { durability: "fsync", bytesMax: 1e8, nowMs: 0, random64: () => 1n } as const;
  const journal = new Journal(log, options);
  const intake = new Intake(
    {
      pool: new ContentPool(),
      blockBytes: 49_152,
      messageBytesMax: 1_000_000,
      waitingBytesMax: 33_554_432,
      qos0Overflow: "drop-newest",
      filters: [],
      priorities: [],
      latestOnly: [],
      ...change,
    },
    journal,
    new Counters(),
    new LatestValues(),
    {
      kept: (rows) => {
        for (const { content, count } of rows)
          for (const frame of decodeContent(content, count) ?? [])
            if (frame.type === "message") events.push(`kept ${frame.message.topic}`);
      },
      waiting: (full) => events.push(full ? "full" : "waits"),
      ready: () => events.push("ready"),
      lost: (_source, reason, topic) => events.push(`lost ${reason} ${topic}`),
      blocked: (why) => events.push(why === undefined ? "takes again" : `blocked: ${why}`),
    },
  );
  const accept = (topic: string, bytes = LARGE, qos: Qos = 1) => {
    const payload = Buffer.alloc(bytes, topic);
    intake.accept("a", makeMessage({ topic, payload, qos }), () => events.push(`settled ${topic}`));
  };
  return { intake, accept, journal };
}

const take = () => events.splice(0).filter((event) => event !== "waits");

describe("a slow disk", () => {
  test("is not waited for: what it has is kept and settled when it is done, and what came meanwhile after it", () => {
    const { intake, accept } = makeIntake();
    accept("one");
    expect(intake.flush(0)).toBe(true);
    expect(take()).toEqual(["prepare 1"]);
    accept("two");
    accept("three", 10);
    expect([intake.flush(5), intake.waitingMessages]).toEqual([true, 3]);
    expect(take()).toEqual([]);
    end?.();
    // It was asked for what came meanwhile, too: that is due.
    expect(take()).toEqual(["settled one", "kept one", "ready", "full"]);
    expect(intake.flush(6)).toBe(true);
    expect(take()).toEqual(["prepare 1"]);
    end?.();
    expect(take()).toEqual(["settled two", "settled three", "kept two", "kept three", "ready"]);
    expect(intake.waitingMessages).toBe(0);
  });

  test("is waited for when the agent is to end: nothing that was taken in is left out of the journal", () => {
    const { intake, accept } = makeIntake();
    accept("one", LARGE, 0);
    intake.flush(0);
    accept("two", LARGE, 0);
    expect(intake.flush(1, true)).toBe(true);
    expect(take()).toEqual(["prepare 1", "finish", "settled one", "kept one", "settled two", "kept two"]);
    expect(intake.waitingMessages).toBe(0);
  });

  test("holds up nothing that is small", () => {
    const { intake, accept } = makeIntake();
    accept("one", 10);
    expect(intake.flush(0)).toBe(true);
    expect(take()).toEqual(["settled one", "kept one"]);
  });

  test("keeps bookings in the order of what came", () => {
    const { intake, accept } = makeIntake();
    accept("one");
    intake.flush(0);
    intake.setAside("a", "rule", 1, () => events.push("settled aside"));
    intake.flush(1);
    expect(take()).toEqual(["prepare 1"]);
    end?.();
    expect(take()).toEqual(["settled one", "settled aside", "kept one", "ready"]);
  });

  test("is waited for when too much has piled up", () => {
    const { intake, accept } = makeIntake({ waitingBytesMax: 400_000 });
    accept("one");
    intake.flush(0);
    for (let n = 0; n < 3; n++) accept(`more/${n}`);
    expect(take()).toEqual(["prepare 1"]);
    accept("last", 30_000);
    expect(take()).toEqual(["full"]);
    expect(intake.flush(1)).toBe(true);
    expect(take()).toEqual(["finish", "settled one", "kept one", "prepare 3"]);
  });

  test("that fails says why and is asked again; then all goes on as before", () => {
    const { intake, accept } = makeIntake();
    accept("one");
    intake.flush(0);
    isFailing = true;
    end?.(new Error("I/O error"));
    expect(take()).toEqual(["prepare 1", "blocked: I/O error", "ready", "full"]);
    expect(intake.flush(1)).toBe(false);
    expect(take()).toEqual([]);
    isFailing = false;
    expect(intake.flush(2)).toBe(true);
    expect(take()).toEqual(["settled one", "kept one", "takes again"]);
    accept("two");
    intake.flush(3);
    expect(take()).toEqual(["prepare 1"]);
  });

  test("that fails while it is waited for says why, and nothing is lost", () => {
    const { intake, accept } = makeIntake({ waitingBytesMax: 160_000 });
    accept("one");
    intake.flush(0);
    accept("two", 30_000);
    isFailing = true;
    expect(intake.flush(1)).toBe(false);
    isFailing = false;
    expect(intake.flush(2)).toBe(true);
    expect(take()).toEqual([
      ...["prepare 1", "full", "finish", "blocked: I/O error"],
      ...["settled one", "settled two", "kept one", "kept two", "takes again"],
    ]);
  });

  test("is waited for when nothing more could wait: no QoS 0 is lost because a message is large", () => {
    const { intake, accept } = makeIntake({ waitingBytesMax: 50_000 });
    accept("large", 60_000);
    intake.flush(0);
    accept("small", 10, 0);
    intake.flush(1);
    expect(take()).toEqual(["settled large", "kept large", "settled small", "kept small"]);
  });

  test("never lets an older note come after a newer one, nor settles one that is not kept", () => {
    const { intake, accept, journal } = makeIntake();
    const notes = (value: string | undefined) => new Map([["will", value]]);
    accept("one");
    intake.flush(0);
    const will = makeMessage({ topic: "will", payload: Buffer.alloc(LARGE), qos: 0 });
    intake.accept("a", will, undefined, notes(undefined));
    intake.note(notes("next"), () => events.push("settled next"));
    end?.();
    expect(take()).toEqual(["prepare 1", "settled one", "kept one", "ready"]);
    expect(journal.notes("").get("will")).toBeUndefined();
    intake.flush(1);
    end?.();
    expect(take()).toEqual(["prepare 1", "settled next", "kept will", "ready"]);
    expect(journal.notes("").get("will")).toBe("next");
  });

  test("keeps what it is at work on when the oldest is dropped", () => {
    const { intake, accept } = makeIntake({ waitingBytesMax: 100_000, qos0Overflow: "drop-oldest" });
    isFailing = true;
    accept("small", 10, 0);
    accept("one", LARGE, 0);
    isFailing = false;
    intake.flush(0);
    for (let n = 0; n < 5; n++) accept(`more/${n}`, 30_000, 0);
    expect(take()).toContain("lost overflow more/0");
    end?.();
    expect(take()).toEqual(expect.arrayContaining(["kept small", "kept one"]));
  });
});
