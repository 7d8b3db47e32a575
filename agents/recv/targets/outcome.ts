// What can become of a message on its way to a target, and what is remembered of it until the books have it.
import type { Message } from "../../../shared/message.ts";

/** Why a target loses or filters a message. */
export type TargetOutcome = "forwarded" | `filtered/${string}` | `lost/${string}`;

/** A message as it came, with the difference of the clocks at that time. */
export type Held = { readonly message: Message; readonly clockDifferenceMs: number };

/** What became of messages; `lost` is the one that was lost, with what was said. */
export type Settlement = {
  readonly outcome: TargetOutcome;
  readonly count: number;
  readonly lost?: { readonly held: Held; readonly detail: string };
};
