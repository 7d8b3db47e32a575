// The sender's ledger, as its last whole heartbeat told it, against the receiver's own. Every sequence that was written to the
// link is one that the sender books as forwarded, as given up or as void, and one that the receiver books as arrived, lost,
// skipped or still awaited: the difference of the two is zero, whatever the link does and whoever is restarted. Pure.
import type { Counters } from "../../../shared/counters.ts";
import type { Heartbeat } from "../../../shared/framing/heartbeat.ts";
import type { LinkState } from "./session.ts";

export type Comparison = {
  /** Messages that the sender says it has written to the link. */
  readonly forwarded: number;
  /** Sequences that it gave up after it had given them: no message comes for them. */
  readonly givenUp: number;
  /** What the sender's ledger has more than this one; 0 when they agree. */
  readonly difference: number;
};

/**
 * Undefined for a brief heartbeat, and one of an older sender. The first one of a journal tells where the two ledgers
 * began: what they have of earlier journals is not compared.
 */
export function compareLedgers(
  heartbeat: Heartbeat,
  counters: Counters,
  state: LinkState,
): Comparison | undefined {
  const own = heartbeat.sections.find(({ type }) => type === "link")?.counters;
  const forwarded = own?.get("forwarded");
  const givenUp = own?.get("given_up");
  const empty = own?.get("void");
  if (forwarded === undefined || givenUp === undefined || empty === undefined) return undefined;
  // Less than nothing when the heartbeat was overtaken by what was sent after it.
  let awaited = 0;
  for (const { sent } of heartbeat.streams) awaited += sent;
  for (const expected of state.expected.values()) awaited -= expected;
  const here =
    counters.get("link/accepted") + counters.total("link/lost") + counters.total("link/skipped") + awaited;
  const ahead = forwarded + givenUp + empty - here;
  state.ledgerBase ??= ahead;
  return { forwarded, givenUp: givenUp + empty, difference: ahead - state.ledgerBase };
}
