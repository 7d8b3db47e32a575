// What can become of a message at a target, as the ledger names it.
import type { Message } from "../../../shared/message.ts";

/** Why a target loses or filters a message. */
export type TargetOutcome = "forwarded" | `filtered/${string}` | `lost/${string}`;

/** A message as this target is to publish it, or what becomes of it instead; `detail` is for people. */
export type Judgement =
  | { readonly publish: Message }
  | { readonly outcome: TargetOutcome; readonly detail?: string };

/** A message as it came, with the difference of the clocks at that time. */
export type Held = { readonly message: Message; readonly clockDifferenceMs: number };
