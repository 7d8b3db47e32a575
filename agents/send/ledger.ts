// The send side's ledger: accepted = forwarded + held + filtered(rule) + lost(reason), per source and in all.
import type { Counters } from "../../shared/counters.ts";
import type { Source } from "./ingress/source.ts";

export type SourceLedger = {
  readonly name: string;
  readonly state: Source["state"];
  readonly problem: string | undefined;
  readonly accepted: number;
  /** In the journal, sent or not: from here on it is the link's. */
  readonly kept: number;
  readonly filtered: Record<string, number>;
  readonly lost: Record<string, number>;
};

export type SendLedger = {
  readonly accepted: number;
  /** Written to the link at least once. */
  readonly forwarded: number;
  /** Waiting for the journal or for the link. */
  readonly held: number;
  readonly filtered: Record<string, number>;
  readonly lost: Record<string, number>;
};

export function sourceLedger(source: Source, counters: Counters): SourceLedger {
  const { name, state, problem } = source;
  const prefix = `source/${name}`;
  return {
    name,
    state,
    problem,
    accepted: counters.get(`${prefix}/accepted`),
    kept: counters.get(`${prefix}/kept`),
    filtered: counters.group(`${prefix}/filtered`),
    lost: counters.group(`${prefix}/lost`),
  };
}

/**
 * The ledger over every source that ever was, removed ones too: what they handed over may still be on its way.
 * `unsent` is the number of messages in the journal that have not left, `waiting` of those that are not in it yet.
 */
export function sendLedger(counters: Counters, unsent: number, waiting: number): SendLedger {
  const sums = { accepted: 0, kept: 0 };
  const filtered: Record<string, number> = {};
  const lost: Record<string, number> = {};
  for (const [name, value] of counters.entries()) {
    const [kind, owner, figure, label] = name.split("/");
    if (kind === "link" && owner === "lost" && figure) lost[figure] = (lost[figure] ?? 0) + value;
    if (kind !== "source") continue;
    if (figure === "accepted" || figure === "kept") sums[figure] += value;
    else if (figure === "filtered" && label) filtered[label] = (filtered[label] ?? 0) + value;
    else if (figure === "lost" && label) lost[label] = (lost[label] ?? 0) + value;
  }
  // What was given up after it was kept is neither waiting nor forwarded.
  const forwarded = sums.kept - unsent - counters.total("link/lost");
  return { accepted: sums.accepted + waiting, forwarded, held: unsent + waiting, filtered, lost };
}
