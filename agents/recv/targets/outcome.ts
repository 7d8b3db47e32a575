// What can become of a message at a target, as the ledger names it.
import type { Message } from "../../../shared/message.ts";

/** Why a target loses or filters a message. */
export type TargetOutcome = "forwarded" | `filtered/${string}` | `lost/${string}`;

/** A message as a target is to publish it. */
export type Outgoing = Message & {
  /** The topic that it stays in order with, when a mark was put behind its own. */
  readonly lane?: string;
  /** The parts that come after it, when it is the first of several; together they are one message. */
  readonly rest?: readonly Outgoing[];
};

/** A message as this target is to publish it, or what becomes of it instead; `detail` is for people. */
export type Judgement =
  | { readonly publish: Outgoing }
  | { readonly outcome: TargetOutcome; readonly detail?: string };

/** Which message of the spool it is, by content and place in it, and whether it came behind later ones of its stream. */
export type Origin = { readonly id: number; readonly index: number; readonly isLate: boolean };

/** A message as it came, with the difference of the clocks at that time. */
export type Held = { readonly message: Message; readonly clockDifferenceMs: number };
