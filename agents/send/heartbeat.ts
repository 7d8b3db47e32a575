// Makes the heartbeat from the agent's figures: what the receiver shows as the sender's side.
import type { Counters } from "../../shared/counters.ts";
import type { Heartbeat, HeartbeatSection, HeartbeatStream } from "../../shared/framing/heartbeat.ts";
import type { Source } from "./ingress/source.ts";
import type { Journal } from "./journal.ts";
import type { SendLedger } from "./ledger.ts";
import type { PathCounters } from "./link/path-queue.ts";

export function makeHeartbeat(figures: {
  readonly nowMs: number;
  readonly uptimeMs: number;
  readonly intervalMs: number;
  readonly stopping: boolean;
  readonly journal: Journal;
  readonly ledger: SendLedger;
  readonly sources: readonly Source[];
  readonly paths: readonly { readonly name: string; readonly counters: PathCounters }[];
  readonly counters: Counters;
}): Heartbeat {
  const { journal, counters } = figures;
  const streams = journal.streams.map((stream): HeartbeatStream => {
    const next = journal.next(stream);
    const sent = journal.sent(stream);
    const oldest = Math.min(journal.oldest(stream) ?? next, next);
    return { stream, epochFirst: journal.epochFirst(stream), next, sent, oldest };
  });
  const sections: HeartbeatSection[] = [
    { type: "link", name: "", state: "none", counters: ledgerCounters(figures.ledger, counters) },
  ];
  for (const source of figures.sources) {
    const prefix = `source/${source.name}/`;
    const own = [...counters.entries()].filter(([name]) => name.startsWith(prefix));
    const section = new Map(own.map(([name, value]) => [name.slice(prefix.length), value]));
    sections.push({ type: "source", name: source.name, state: source.state, counters: section });
  }
  for (const { name, counters: path } of figures.paths) {
    sections.push({ type: "path", name, state: "none", counters: new Map(Object.entries(path)) });
  }
  const { nowMs, uptimeMs, intervalMs, stopping } = figures;
  return {
    clockMs: nowMs,
    uptimeMs: Math.floor(Math.max(0, uptimeMs)),
    intervalMs,
    stopping,
    streams,
    sections,
  };
}

/** The last two are for the receiver to compare its ledger with: what had a sequence and carries no message. */
function ledgerCounters(ledger: SendLedger, counters: Counters): Map<string, number> {
  const out = new Map([
    ["accepted", ledger.accepted],
    ["forwarded", ledger.forwarded],
    ["held", ledger.held],
    ["given_up", counters.total("link/lost")],
    ["void", counters.get("link/void")],
  ]);
  for (const [rule, count] of Object.entries(ledger.filtered)) out.set(`filtered/${rule}`, count);
  for (const [reason, count] of Object.entries(ledger.lost)) out.set(`lost/${reason}`, count);
  return out;
}
