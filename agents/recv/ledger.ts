// The recv side's ledgers. Link: every sequence up to the highest that was sent is delivered, skipped by the sender
// under its reason, a gap, or still awaited. Target: accepted = forwarded + held + filtered(rule) + lost(reason).
import type { Counters } from "../../shared/counters.ts";
import type { Comparison } from "./link/comparison.ts";

export type LinkLedger = {
  /** Messages that came over the link; the newest may have a moment to go until they are in the spool, and in a target's ledger. */
  readonly accepted: number;
  /** Messages lost on the way: "gap", or "before-start" when they were sent before this agent first listened. */
  readonly lost: Record<string, number>;
  /** Sequences that the sender gave up and announced, by reason. */
  readonly skipped: Record<string, number>;
  /** Messages that the sender has written to the link and that are neither here nor given up yet. */
  readonly awaited: number;
  /** With the sender's own ledger, as its last whole heartbeat told it; undefined before that. */
  readonly comparison: Comparison | undefined;
};

export type TargetLedger = {
  readonly accepted: number;
  readonly forwarded: number;
  readonly held: number;
  readonly filtered: Record<string, number>;
  readonly lost: Record<string, number>;
};

export function linkLedger(
  counters: Counters,
  awaited: number,
  comparison: Comparison | undefined,
): LinkLedger {
  return {
    accepted: counters.get("link/accepted"),
    lost: counters.group("link/lost"),
    skipped: counters.group("link/skipped"),
    awaited,
    comparison,
  };
}

/** `accepted` is what the spool has taken since the target exists. */
export function targetLedger(counters: Counters, accepted: number): TargetLedger {
  const forwarded = counters.get("forwarded");
  const filtered = counters.group("filtered");
  const lost = counters.group("lost");
  const held = accepted - forwarded - counters.total("filtered") - counters.total("lost");
  return { accepted, forwarded, held, filtered, lost };
}
