// What every type of target gives the agent beyond publishing. One file per `type` implements it.
import type { TargetLink } from "./runner.ts";
import type { SparkplugFigures } from "./sparkplug/figures.ts";

export type TargetState = TargetLink["state"];

export type Target = TargetLink & {
  readonly name: string;
  readonly type: string;
  /** Where it goes, without secrets, e.g. "mqtts://broker.hq.example:8883". */
  readonly address: string;
  /** What is wrong, in a sentence, while it is not connected. */
  readonly problem: string | undefined;
  /** When our certificate ends, milliseconds since 1970; undefined without one. */
  readonly certificateEndMs?: number | undefined;
  /** What it has told its broker of the link; undefined when the profile wants no status. */
  readonly status?: { readonly published: number; readonly lost: number } | undefined;
  /** Messages delivered since the start of the agent that were too large as they were, by what was done to them. */
  readonly reduced?: { readonly compressed: number; readonly split: number } | undefined;
  /** How edge nodes are doing there; undefined of other types. */
  readonly sparkplug?: SparkplugFigures | undefined;
  /** Called when it may take messages again: connected, or room in its window. */
  onReady: () => void;
  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick?(steadyMs: number): void;
  /** Disconnects, within `graceMs`. */
  close(graceMs: number): Promise<void>;
};
