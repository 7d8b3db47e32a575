import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Receiver } from "../../../../agents/recv/link/receiver.ts";
import { emptyLinkState } from "../../../../agents/recv/link/session.ts";
import { SendCore, type SendCoreOptions } from "../../../../agents/send/core.ts";
import { Pacer } from "../../../../agents/send/link/pacer.ts";
import { PathQueue } from "../../../../agents/send/link/path-queue.ts";
import { decodeContent } from "../../../../shared/framing/content.ts";
import type { Message } from "../../../../shared/message.ts";
import type { BlockLog } from "../../../../shared/store/block-log.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";
import { Workspace } from "../../../support/workspace.ts";
import { LINK_ID, LINK_KEY, makeMessage } from "../../shared/framing/samples.ts";

const OPTIONS: SendCoreOptions = {
  linkId: LINK_ID,
  linkKeys: [LINK_KEY],
  durability: "fsync",
  journalBytesMax: 16_777_216,
  datagramBytes: 1400,
  repairPercent: 0,
  repairSymbolsMin: 0,
  compress: false,
  heartbeatMs: 1000,
  repeatAfterMs: 0,
  blockBytes: 49_152,
  messageBytesMax: 100_000,
  waitingBytesMax: 33_554_432,
  qos0Overflow: "drop-newest",
  filters: [{ name: "quiet", drop: ["quiet/#"] }],
  priorities: [{ stream: 1, topics: ["alarm/#"] }],
  latestOnly: ["fast/#"],
};

let workspace: Workspace;
let wire: Buffer[] = [];
let linkOpen = true;
let events: string[] = [];
beforeEach(() => {
  workspace = new Workspace("send-core");
  wire = [];
  linkOpen = true;
  events = [];
});
afterEach(() => workspace.remove());

function makeCore(change: Partial<SendCoreOptions> = {}, log?: BlockLog, nowMs = 0) {
  const queue = new PathQueue({
    pacer: new Pacer(1000, 1400, 0),
    overheadBytes: 0,
    roomBytes: 3000,
    interleaveBlocks: 1,
    write: (datagrams) => {
      if (!linkOpen) return { written: 0 };
      wire.push(...datagrams);
      return { written: datagrams.length };
    },
    onError: () => {},
  });
  const options = { ...OPTIONS, ...change };
  const open = log ?? openBlockLog(workspace.path("journal"), "journal.db", options.durability);
  const paths = [{ name: "path-1", queue, bestEffort: false }];
  let next = 1n;
  const core = new SendCore(options, open, paths, moment(nowMs), () => next++, {
    waiting: () => {},
    ready: () => {},
    lost: (source, reason, topic) => events.push(`lost ${source} ${reason} ${topic}`),
    blocked: (why) => events.push(why === undefined ? "takes again" : `blocked: ${why}`),
    skipped: (reason, messages) => events.push(`skipped ${reason} ${messages}`),
  });
  let clock = nowMs;
  /** Lets everything out that can leave. */
  const drain = () => {
    for (let i = 0; i < 2000; i++) {
      core.fill(moment(clock));
      clock += 5;
      if (queue.pump(clock) === undefined && core.idle) break;
    }
  };
  return { core, queue, drain };
}

const moment = (ms: number) => ({ wallMs: ms, steadyMs: ms });
const message = (topic: string, text = "x", change: Partial<Message> = {}) =>
  makeMessage({ topic, payload: Buffer.from(text), acceptedMs: 0, ...change });

/** What a receiver makes of what is on the wire: "topic=payload", or the reason of a skip. */
function receive(): string[] {
  const out: string[] = [];
  const options = {
    linkId: LINK_ID,
    linkKeys: [LINK_KEY],
    patienceMs: 1000,
    assemblyBytesMax: 1e7,
    holdBytesMax: 1e7,
    contentBytesMax: 1e7,
  };
  const receiver = new Receiver(options, emptyLinkState(), {
    deliver: (_stream, { content, count, skip }) => {
      let at = 0;
      for (const frame of decodeContent(content, count) ?? []) {
        if (at >= skip) {
          if (frame.type === "message")
            out.push(`${frame.message.topic}=${Buffer.from(frame.message.payload)}`);
          else out.push(`${frame.reason}*${frame.count}`);
        }
        at += frame.type === "message" ? 1 : frame.count;
      }
    },
    recover: () => out.push("recovered"),
    gap: (_stream, { first, count }) => out.push(`gap ${first}+${count}`),
    heartbeat: () => {},
    journalChanged: () => {},
    sinceKnown: () => {},
    epochChanged: () => {},
    restored: () => {},
    refused: (reason) => out.push(`refused ${reason}`),
  });
  for (const datagram of wire) receiver.receive(datagram, 0, 0);
  receiver.tick(5000);
  return out;
}

/** A core with a path that keeps what it was given and one that copies it, as a stream and a UDP socket do. */
function makePair(kept: Buffer[], copied: Buffer[]) {
  const open = openBlockLog(workspace.path("pair"), "journal.db", "os");
  const paths = [kept, copied].map((out, index) => ({
    name: `path-${index + 1}`,
    bestEffort: false,
    queue: new PathQueue({
      pacer: new Pacer(10_000, 1400, 0),
      overheadBytes: 0,
      roomBytes: 100_000,
      interleaveBlocks: 1,
      copies: index === 1,
      write: (datagrams) => {
        out.push(...datagrams.map((datagram) => (index === 1 ? Buffer.from(datagram) : datagram)));
        return { written: datagrams.length };
      },
      onError: () => {},
    }),
  }));
  const output = { waiting: () => {}, lost: () => {}, blocked: () => {}, ready: () => {}, skipped: () => {} };
  return { paths, core: new SendCore(OPTIONS, open, paths, moment(0), () => 1n, output) };
}

const adds = ({ accepted, forwarded, held, filtered, lost }: SendCore["ledger"]) => {
  const sum = (record: Record<string, number>) => Object.values(record).reduce((total, n) => total + n, 0);
  return accepted === forwarded + held + sum(filtered) + sum(lost);
};

describe("SendCore", () => {
  test("leaves contents alone that wait for the link, however many come after them", () => {
    linkOpen = false;
    const { core, drain } = makeCore({ durability: "os" });
    const sent: string[] = [];
    for (let round = 0; round < 3; round++) {
      for (let turn = 0; turn < 5; turn++) {
        for (let n = 0; n < 45; n++) {
          const payload = `${round}/${turn}/${n} `.repeat(120);
          core.accept("a", message("plant/t", payload), () => {});
          sent.push(`plant/t=${payload}`);
        }
        core.flush(0);
      }
      linkOpen = true;
      drain();
      linkOpen = false;
    }
    expect(receive()).toEqual(sent);
  });

  test("settles a message only after the journal has it, and sends it once", () => {
    const { core, drain } = makeCore();
    let settled = 0;
    for (let i = 0; i < 100; i++) core.accept("a", message("plant/t", String(i)), () => settled++);
    expect(settled).toBe(0);
    expect(core.flush(0)).toBe(true);
    expect(settled).toBe(100);
    drain();
    expect(receive()).toEqual(Array.from({ length: 100 }, (_, i) => `plant/t=${i}`));
    expect(core.ledger).toEqual({ accepted: 100, forwarded: 100, held: 0, filtered: {}, lost: {} });
  });

  test("settles nothing while the journal refuses, keeps it all, and goes on when it takes again", () => {
    const log = openBlockLog(workspace.path("journal"), "journal.db", "memory");
    const write = log.write.bind(log);
    let broken = false;
    log.write = (work) => {
      if (broken) throw new Error("disk full");
      write(work);
    };
    const { core, drain } = makeCore({ durability: "memory" }, log);
    broken = true;
    let settled = 0;
    core.accept("a", message("plant/t", "kept"), () => settled++);
    expect([core.flush(0), core.flush(0), settled]).toEqual([false, false, 0]);
    expect(core.ledger.held).toBe(1);
    broken = false;
    expect([core.flush(0), settled]).toEqual([true, 1]);
    drain();
    expect(receive()).toEqual(["plant/t=kept"]);
    expect(events).toEqual(["blocked: disk full", "takes again"]);
  });

  test("filters, refuses what is too large, and the ledger adds up", () => {
    const { core, drain } = makeCore();
    let settled = 0;
    core.accept("a", message("quiet/x"), () => settled++);
    core.accept("a", message("plant/big", "y".repeat(100_001)), () => settled++);
    core.accept("a", message("plant/t"), () => settled++);
    expect(settled).toBe(0);
    core.flush(0);
    expect(settled).toBe(3);
    drain();
    expect(core.ledger).toEqual({
      accepted: 3,
      forwarded: 1,
      held: 0,
      filtered: { quiet: 1 },
      lost: { oversize: 1 },
    });
    expect(events).toEqual(["lost a oversize plant/big"]);
  });

  test("lets an urgent class overtake a backlog, and keeps the order within each", () => {
    const { core, drain } = makeCore({ blockBytes: 2000 });
    linkOpen = false;
    for (let i = 0; i < 200; i++) core.accept("a", message("bulk/t", `${i}`.padEnd(100, ".")), () => {});
    core.flush(0);
    core.fill(moment(0));
    for (let i = 0; i < 5; i++) core.accept("a", message("alarm/t", String(i)), () => {});
    core.flush(0);
    linkOpen = true;
    drain();
    const order = receive();
    expect(order.filter((text) => text.startsWith("alarm"))).toEqual(
      [0, 1, 2, 3, 4].map((i) => `alarm/t=${i}`),
    );
    expect(order.indexOf("alarm/t=4")).toBeLessThan(60);
    expect(
      order.filter((text) => text.startsWith("bulk")).map((text) => Number.parseInt(text.slice(7), 10)),
    ).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  test("sends only the latest of a topic that waits, and says what it left out", () => {
    const { core, drain } = makeCore({ blockBytes: 1024 });
    linkOpen = false;
    for (let i = 0; i < 300; i++) core.accept("a", message("fast/t", String(i)), () => {});
    core.flush(0);
    linkOpen = true;
    drain();
    const arrived = receive().filter((text) => text.startsWith("fast"));
    expect(arrived.at(-1)).toBe("fast/t=299");
    const conflated = core.ledger.lost.conflated ?? 0;
    expect(conflated).toBeGreaterThan(100);
    expect(arrived.length + conflated).toBe(300);
    expect(adds(core.ledger)).toBe(true);
  });

  test("gives up a message whose expiry passes while it waits, and says so", () => {
    const { core, drain } = makeCore({}, undefined, 0);
    linkOpen = false;
    core.accept("a", message("plant/t", "old", { properties: { messageExpirySeconds: 5 } }), () => {});
    core.accept("a", message("plant/t", "lasting"), () => {});
    core.flush(0);
    linkOpen = true;
    core.fill(moment(10_000));
    drain();
    expect(receive()).toEqual(["expired*1", "plant/t=lasting"]);
    expect(core.ledger).toEqual({ accepted: 2, forwarded: 1, held: 0, filtered: {}, lost: { expired: 1 } });
  });

  test("after a restart goes on where it was: nothing twice, nothing left out, greater epoch, same journal", () => {
    const first = makeCore();
    first.core.accept("a", message("plant/t", "1"), () => {});
    first.core.flush(0);
    first.drain();
    linkOpen = false;
    first.core.accept("a", message("plant/t", "2"), () => {});
    first.core.flush(0);
    const { journalId, epoch } = first.core.journal;
    first.core.close();
    linkOpen = true;
    const second = makeCore();
    expect(second.core.journal.journalId).toBe(journalId);
    expect(second.core.journal.epoch > epoch).toBe(true);
    second.core.accept("a", message("plant/t", "3"), () => {});
    second.core.flush(0);
    second.drain();
    expect(receive()).toEqual(["plant/t=1", "plant/t=2", "plant/t=3"]);
    expect(second.core.ledger).toEqual({ accepted: 3, forwarded: 3, held: 0, filtered: {}, lost: {} });
  });

  test("with durability os, an unclean stop leaves sequences out rather than using one twice, and says so", () => {
    const log = openBlockLog(workspace.path("journal"), "journal.db", "os");
    const first = makeCore({ durability: "os" }, log);
    first.core.accept("a", message("plant/t", "1"), () => {});
    first.core.flush(0);
    first.drain();
    log.close(); // the process dies: no clean end
    const second = makeCore({ durability: "os" });
    second.core.accept("a", message("plant/t", "2"), () => {});
    second.core.flush(0);
    second.drain();
    // What was sent and not noted as sent goes again; the receiver refuses it.
    const arrived = receive().filter((text) => !text.startsWith("refused"));
    expect(arrived[0]).toBe("plant/t=1");
    expect(arrived.at(-1)).toBe("plant/t=2");
    expect(arrived[1]).toMatch(/^void\*\d+$/);
    expect(arrived).toHaveLength(3);
  });

  test("sends again exactly the range that is asked for, after everything else", () => {
    const { core, drain } = makeCore({ blockBytes: 1024 });
    for (let i = 0; i < 50; i++) core.accept("a", message("plant/t", `${i}`.padEnd(90, ".")), () => {});
    core.flush(0);
    drain();
    const before = wire.length;
    expect(core.replay({ stream: 0, first: 0, end: 999 })).toBe(50);
    for (let i = 0; i < 200 && core.replaying > 0; i++) drain();
    expect(core.replaying).toBe(0);
    drain();
    expect(wire.length).toBeGreaterThan(before);
    expect(core.replay({ stream: 3, first: 0, end: 9 })).toBe(0);
    const again = receive();
    expect(again.filter((text) => text.startsWith("plant"))).toHaveLength(50);
  });

  test("settles in the order of arrival, also what was filtered in between", () => {
    const { core } = makeCore();
    const settled: number[] = [];
    for (const [i, topic] of ["plant/a", "alarm/b", "quiet/c", "plant/d", "quiet/e"].entries()) {
      core.accept("a", message(topic), () => settled.push(i));
    }
    expect(settled).toEqual([]);
    core.flush(0);
    expect(settled).toEqual([0, 1, 2, 3, 4]);
  });

  test("a full journal makes room by what was sent, and blocks when nothing was", () => {
    const { core, drain } = makeCore({ durability: "os", journalBytesMax: 50_000, messageBytesMax: 30_000 });
    for (let i = 0; i < 5; i++) {
      core.accept("a", message("plant/t", "z".repeat(20_000)), () => {});
      expect(core.flush(0)).toBe(true);
      drain();
    }
    linkOpen = false;
    let settled = 0;
    for (let i = 0; i < 5; i++) {
      core.accept("a", message("plant/t", "z".repeat(20_000)), () => settled++);
      core.flush(0);
    }
    expect(settled).toBeLessThan(4);
    expect(events[0]).toContain("full");
    expect(core.journal.bytes).toBeLessThanOrEqual(50_000);
    linkOpen = true;
    for (let i = 0; i < 10 && settled < 5; i++) {
      drain();
      core.flush(0);
    }
    expect(settled).toBe(5);
    expect(adds(core.ledger)).toBe(true);
  });

  test.each(["drop-newest", "drop-oldest"] as const)(
    "while the journal is full, QoS 0 beyond the waiting room is lost by %s, and nothing else is",
    (qos0Overflow) => {
      const limits = { journalBytesMax: 20_000, waitingBytesMax: 60_000, qos0Overflow };
      const { core, drain } = makeCore({ ...limits, blockBytes: 6000, latestOnly: ["fast/#"] });
      linkOpen = false;
      const settled: string[] = [];
      const take = (topic: string, qos: 0 | 1) => {
        const text = topic.padEnd(2000, ".");
        core.accept("a", message(topic, text, { qos }), () => settled.push(topic));
        core.flush(0);
      };
      // Every fourth is of QoS 1; they are settled in their order, whatever is dropped between them.
      for (let number = 0; number < 200; number++) take(`plant/${number}`, number % 4 === 0 ? 1 : 0);
      take("fast/a", 1);
      take("fast/a", 1);
      const { lost, held } = core.ledger;
      expect(adds(core.ledger)).toBe(true);
      expect(lost.overflow).toBeGreaterThan(100);
      expect(held + (lost.overflow ?? 0)).toBe(202);
      linkOpen = true;
      for (let turn = 0; turn < 30; turn++) {
        drain();
        core.flush(0);
      }
      expect(core.ledger).toMatchObject({ held: 0, lost: { overflow: lost.overflow ?? 0 } });
      expect(adds(core.ledger)).toBe(true);
      const numbers = receive()
        .flatMap((text) => /^plant\/(\d+)=/.exec(text)?.[1] ?? [])
        .map(Number);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      expect(numbers.filter((number) => number % 4 === 0)).toHaveLength(50);
      const unsure = numbers.filter((number) => number % 4 !== 0);
      expect(unsure).toHaveLength(150 - (lost.overflow ?? 0));
      // Behind the first few, which are in the journal.
      const survives = qos0Overflow === "drop-newest" ? 21 : 197;
      const isGone = qos0Overflow === "drop-newest" ? 197 : 21;
      expect([unsure.includes(survives), unsure.includes(isGone)]).toEqual([true, false]);
      const sure = settled.filter((topic) => Number(topic.split("/")[1]) % 4 === 0);
      expect(sure).toEqual(Array.from({ length: 50 }, (_, index) => `plant/${index * 4}`));
    },
  );
});

describe("SendCore with two paths", () => {
  test("makes blocks in memory of which a path that keeps its datagrams sees nothing", () => {
    const kept: Buffer[] = [];
    const copied: Buffer[] = [];
    const { core, paths } = makePair(kept, copied);
    let clock = 0;
    for (let round = 0; round < 40; round++) {
      core.accept("line", message(`plant/${round}`, "x".repeat(40_000)), () => {});
      core.flush(clock);
      // Now the one path is ahead, now the other.
      for (const step of [0, 1, 1, 0]) {
        core.fill(moment(clock));
        clock += 5;
        paths[(step + round) % 2]?.queue.pump(clock);
      }
    }
    while (!(core.idle && paths.every(({ queue }) => queue.empty))) {
      core.fill(moment(clock));
      clock += 5;
      for (const { queue } of paths) queue.pump(clock);
    }
    expect(kept.length).toBe(copied.length);
    expect(Buffer.concat(kept).equals(Buffer.concat(copied))).toBe(true);
    wire = kept;
    expect(receive().map((text) => text.split("=")[0])).toEqual(
      Array.from({ length: 40 }, (_, round) => `plant/${round}`),
    );
  });
});

describe("the agent's own messages", () => {
  test("come after everything else, older ones of a topic give way, and the ledger has them", () => {
    linkOpen = false;
    const { core, drain } = makeCore({ priorities: [{ stream: 1, topics: ["alarm/#", "$tidegate/#"] }] });
    core.acceptOwn(message("$tidegate/x", "old"));
    core.flush(0);
    core.accept("a", message("slow"), () => {});
    core.acceptOwn(message("$tidegate/x", "new"));
    core.accept("a", message("alarm/1"), () => {});
    core.flush(0);
    expect(core.ownWaiting).toBe(2);
    linkOpen = true;
    drain();
    expect(receive()).toEqual(["alarm/1=x", "slow=x", "conflated*1", "$tidegate/x=new"]);
    expect(core.ownWaiting).toBe(0);
    expect(core.ledger).toMatchObject({ accepted: 4, forwarded: 3, held: 0, lost: { conflated: 1 } });
  });

  test("have their own stream where no rule is configured, too", () => {
    const { core } = makeCore({ priorities: [], latestOnly: [], filters: [] });
    core.acceptOwn(message("$tidegate/x"));
    core.accept("a", message("slow"), () => {});
    core.flush(0);
    expect(core.journal.streams).toEqual([0, 15]);
  });

  test("are taken from nobody else: the topics are refused by name, unless a filter drops them first", () => {
    const { core } = makeCore({ filters: [{ name: "own", drop: ["$tidegate/y"] }] });
    core.accept("a", message("$tidegate/x"), () => {});
    core.accept("a", message("$tidegate/y"), () => {});
    expect(core.ledger).toMatchObject({ lost: { "reserved-topic": 1 }, filtered: { own: 1 } });
    expect(events).toEqual(["lost a reserved-topic $tidegate/x"]);
  });

  test("that have not left take an eighth of the journal at most, or one that is larger by itself", () => {
    linkOpen = false;
    const { core, drain } = makeCore({ durability: "os", journalBytesMax: 400_000 });
    const own = (name: string, bytes: number) =>
      core.acceptOwn(message(`$tidegate/${name}`, "x".repeat(bytes)));
    expect([own("a", 60_000), own("b", 10)]).toEqual([true, false]);
    core.flush(0);
    expect(own("b", 10)).toBe(false);
    linkOpen = true;
    drain();
    linkOpen = false;
    expect([own("c", 30_000), own("d", 19_000), own("e", 2000)]).toEqual([true, true, false]);
    core.flush(0);
    expect(own("e", 2000)).toBe(false);
    linkOpen = true;
    drain();
    expect(own("e", 2000)).toBe(true);
  });

  test("wait while the journal refuses", () => {
    const log = openBlockLog(workspace.path("journal"), "journal.db", "fsync");
    const { core } = makeCore({}, log);
    log.append = () => {
      throw new Error("the disk is full");
    };
    expect(core.acceptOwn(message("$tidegate/x"))).toBe(true);
    core.flush(0);
    expect(core.acceptOwn(message("$tidegate/x"))).toBe(false);
    expect(core.acceptOwn(message("$tidegate/x", "x".repeat(100_001)))).toBe(false);
  });
});
