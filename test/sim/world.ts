// What both hosts of a simulation share: the plan, time, chance, the network, the model, the trace, and the keys.
import type { Model } from "./model.ts";
import type { FakeNetwork } from "./network.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { Trace } from "./trace.ts";

export type World = {
  readonly plan: Plan;
  readonly schedule: Schedule;
  readonly network: FakeNetwork;
  readonly model: Model;
  readonly trace: Trace;
  /** True once all trouble is over. */
  calm: boolean;
  /** The journal that the sender has now, or will have when it starts again. */
  liveJournal: () => bigint | undefined;
  fork(): Random;
};

export const LINK_ID = "simulated";
/** Both wall clocks begin here, milliseconds since 1970. */
export const START_MS = Date.UTC(2030, 0, 1);
export const FILTER = { name: "keep-in", drop: ["drop/#"] };
export const CLASS_TOPICS = ["c0/#", "c1/#", "c2/#"];
export const LATEST_TOPICS = ["+/latest/#"];

const OLD_KEY = Buffer.alloc(32, 1);
const NEW_KEY = Buffer.alloc(32, 2);

/** Keys of a host in stage 0 (old), 1 (both) or 2 (new) of a rotation; the link holds while stages differ by one. */
export function keysOf(sealed: boolean, stage: number): readonly Uint8Array[] {
  if (!sealed) return [];
  return [[OLD_KEY], [OLD_KEY, NEW_KEY], [NEW_KEY]][stage] ?? [];
}

/** Runs work of a host while its present run lasts; what the work throws decides what becomes of the run. */
export type Guard = (work: () => void) => void;
