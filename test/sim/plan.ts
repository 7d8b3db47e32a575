// What one seed tries: the configuration of both agents, what is published, and which troubles there are. Each seed
// leaves most troubles out, so that the ones it has come deep enough to matter.
import type { TargetPlan } from "../../agents/recv/targets/plan.ts";
import type { Qos0Overflow } from "../../agents/send/intake-options.ts";
import type { Durability } from "../../shared/store/block-log.ts";
import { healthyPath, type PathFaults } from "./network.ts";
import type { Random } from "./random.ts";

export type Plan = {
  readonly seed: number;
  readonly safetyMs: number;
  readonly sealed: boolean;
  readonly send: {
    readonly durability: Durability;
    readonly journalBytesMax: number;
    readonly messageBytesMax: number;
    readonly waitingBytesMax: number;
    readonly qos0Overflow: Qos0Overflow;
    readonly blockBytes: number;
    readonly datagramBytes: number;
    readonly repairPercent: number;
    readonly repairSymbolsMin: number;
    readonly compress: boolean;
    readonly heartbeatMs: number;
    readonly lingerMs: number;
    readonly repeatAfterMs: number;
    readonly interleaveBlocks: number;
    /** Streams beside 0, the most urgent first. */
    readonly classes: number;
    readonly latestOnly: boolean;
    readonly filter: boolean;
  };
  readonly recv: {
    readonly durability: Durability;
    readonly patienceMs: number;
    readonly assemblyBytesMax: number;
    readonly holdBytesMax: number;
    readonly spoolBytesMax: number;
    readonly lettersBytesMax: number;
    readonly spoolAgeMs: number;
    readonly degradedAfterMs: number;
    readonly downAfterMs: number;
  };
  readonly paths: readonly {
    readonly mbitPerSecond: number;
    readonly bestEffort: boolean;
    readonly faults: PathFaults;
  }[];
  readonly targets: readonly {
    readonly window: number;
    readonly latencyMs: number;
    readonly stallEveryMs: number;
    /** Of the messages, how many the target refuses. */
    readonly refusing: number;
    readonly plan: TargetPlan;
  }[];
  /** A path that never comes back, so that the others must do; undefined: all do. */
  readonly deadPath: number | undefined;
  readonly load: {
    readonly meanMs: number;
    readonly burst: number;
    readonly bytes: number;
    readonly largeBytes: number;
    readonly expiring: number;
  };
  /** Mean time between two of a kind; 0: never. */
  readonly troubles: Readonly<Record<Trouble, number>>;
};

export const TROUBLES = [
  "send/stop",
  "send/kill",
  "send/die-writing",
  "send/power",
  "send/disk-lost",
  "send/disk-full",
  "send/disk-failing",
  "send/disk-rot",
  "send/clock",
  "recv/stop",
  "recv/kill",
  "recv/die-writing",
  "recv/power",
  "recv/disk-lost",
  "recv/disk-full",
  "recv/disk-failing",
  "recv/disk-rot",
  "recv/clock",
  "recv/requeue",
  "keys",
  "path/dark",
  "path/refusing",
  "attack",
  "replay",
  "load/burst",
] as const;
export type Trouble = (typeof TROUBLES)[number];

/** How much rarer than every quarter minute. */
const RARE: Partial<Record<Trouble, number>> = { "send/disk-lost": 3, "recv/disk-lost": 3 };

export function makePlan(seed: number, random: Random, safetyMs: number): Plan {
  const datagramBytes = random.pick([200, 300, 600, 1400]);
  const messageBytesMax = random.pick([2_000, 20_000, 60_000]);
  const paths = Array.from({ length: random.pick([1, 1, 2, 2, 3]) }, () => ({
    mbitPerSecond: random.pick([0.05, 0.2, 1, 10, 100]),
    bestEffort: random.chance(0.2),
    faults: makePathFaults(random),
  }));
  const calm = random.chance(0.1);
  const bytes = random.magnitude(10, 1500);
  // Several times too much for the slowest path, but not so much that it takes hours to catch up.
  const slowest = Math.min(...paths.map(({ mbitPerSecond }) => mbitPerSecond));
  const meanMs = Math.max(random.magnitude(30, 1500), (bytes + 500) / (slowest * 125));
  return {
    seed,
    safetyMs,
    sealed: random.chance(0.85),
    send: {
      durability: random.pick(["fsync", "fsync", "os", "os", "memory"]),
      journalBytesMax: random.pick([messageBytesMax + 40_000, 300_000, 4_000_000]),
      messageBytesMax,
      // Never reached: what a publisher of QoS 0 loses is not in the model.
      waitingBytesMax: 2 ** 30,
      qos0Overflow: "drop-newest",
      blockBytes: random.magnitude(datagramBytes - 100, 12_000),
      datagramBytes,
      repairPercent: random.pick([0, 10, 50, 100]),
      repairSymbolsMin: random.pick([0, 1, 1, 2]),
      compress: random.chance(0.5),
      heartbeatMs: random.pick([250, 500, 1000]),
      lingerMs: random.pick([0, 1, 20, 500]),
      repeatAfterMs: random.chance(0.4) ? random.between(1, 15) * 1000 : 0,
      interleaveBlocks: random.pick([1, 1, 2, 8]),
      classes: random.pick([0, 1, 2]),
      latestOnly: random.chance(0.3),
      filter: random.chance(0.3),
    },
    recv: {
      durability: random.pick(["fsync", "os", "os", "os", "memory"]),
      patienceMs: random.magnitude(100, 3000),
      assemblyBytesMax: random.pick([messageBytesMax + 60_000, 1_000_000]),
      holdBytesMax: random.pick([messageBytesMax + 20_000, 1_000_000]),
      spoolBytesMax: random.pick([messageBytesMax + 2_000, messageBytesMax + 20_000, 10_000_000]),
      lettersBytesMax: random.pick([messageBytesMax + 1000, 10_000_000]),
      spoolAgeMs: random.chance(0.1) ? random.between(3, 15) * 1000 : 0,
      degradedAfterMs: 2500,
      downAfterMs: 5000,
    },
    paths,
    targets: Array.from({ length: random.pick([1, 1, 2]) }, () => ({
      window: random.pick([1, 5, 100]),
      latencyMs: random.pick([0, 1, 30, 300]),
      stallEveryMs: random.chance(0.4) ? random.between(5, 40) * 1000 : 0,
      refusing: random.chance(0.3) ? random.pick([0.01, 0.2, 1]) : 0,
      plan: makeTargetPlan(random),
    })),
    deadPath: paths.length > 1 && random.chance(0.3) ? random.below(paths.length) : undefined,
    load: {
      meanMs,
      burst: random.pick([0, 10, 60]),
      bytes,
      largeBytes: random.chance(0.4) ? messageBytesMax : 0,
      expiring: random.chance(0.3) ? 0.3 : 0,
    },
    troubles: makeTroubles(random, calm),
  };
}

function makeTargetPlan(random: Random): TargetPlan {
  const backlog = random.pick(["oldest-first", "newest-first"] as const);
  return {
    backlog,
    drainPerSecond: random.pick([0, 0, 5, 100]),
    // Seconds: as long as the troubles last.
    retentionHours: random.chance(0.2) ? random.between(2, 15) / 3600 : 0,
    overflow: backlog === "oldest-first" && random.chance(0.5) ? "drop-newest" : "drop-oldest",
  };
}

function makePathFaults(random: Random): PathFaults {
  const often = (chance: number, least: number, most: number) =>
    random.chance(chance) ? least + random.fraction() * (most - least) : 0;
  return {
    ...healthyPath(random.pick([0, 1, 10, 200])),
    loss: often(0.5, 0.001, 0.3),
    burst: often(0.4, 0.001, 0.02),
    burstLength: random.magnitude(2, 60),
    duplicate: often(0.3, 0.01, 0.3),
    flip: often(0.3, 0.001, 0.1),
    cut: often(0.2, 0.001, 0.05),
    jitterMs: often(0.4, 1, 100),
    late: often(0.3, 0.001, 0.1),
    lateMs: random.magnitude(10, 6000),
  };
}

function makeTroubles(random: Random, calm: boolean): Record<Trouble, number> {
  const density = calm ? 0 : random.pick([0.1, 0.25, 0.5]);
  const entries = TROUBLES.map((trouble): [Trouble, number] => {
    const often = random.chance(density) ? random.magnitude(4_000, 60_000) * (RARE[trouble] ?? 1) : 0;
    return [trouble, often];
  });
  return Object.fromEntries(entries) as Record<Trouble, number>;
}
