// The command `gaps`: the ranges that were lost and may still come, each with its time, the topics around it and the
// code that `tidegate-send replay --gap` takes. Reads the spool's file, whether the agent runs or not.
import { formatCount } from "../../shared/admin/text.ts";
import { encodeGapCode, tagJournal } from "../../shared/gap/code.ts";
import { openBlockLogReadOnly } from "../../shared/store/open.ts";
import type { OpenGap } from "./link/gaps.ts";
import { readGaps } from "./spool.ts";

export type ListedGap = {
  readonly code: string;
  readonly stream: number;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** When it was declared, ISO 8601. */
  readonly time: string;
  readonly reason: string;
  readonly topicBefore: string | null;
  readonly topicAfter: string | null;
};

/** Throws an Error with a sentence for a person when the spool cannot be read. */
export function listGaps(spoolDirectory: string): ListedGap[] {
  const log = openBlockLogReadOnly(spoolDirectory, "spool.db");
  try {
    const journalId = BigInt(`0x${log.value("link.journal_id") ?? "0"}`);
    return readGaps(log)
      .sort((a, b) => a.atMs - b.atMs || a.stream - b.stream || a.first - b.first)
      .map((gap) => describeGap(gap, journalId));
  } finally {
    log.close();
  }
}

function describeGap(
  { stream, first, end, atMs, reason, before, after }: OpenGap,
  journalId: bigint,
): ListedGap {
  const count = end - first;
  return {
    code: encodeGapCode({ journalTag: tagJournal(journalId), stream, first, count }),
    stream,
    first,
    last: end - 1,
    count,
    time: new Date(atMs).toISOString(),
    reason,
    topicBefore: before ?? null,
    topicAfter: after ?? null,
  };
}

export function formatGaps(gaps: readonly ListedGap[]): string {
  if (gaps.length === 0) return "no gaps\n";
  const blocks = gaps.map((gap) => {
    const what = gap.reason === "before-start" ? "sent before this agent first listened" : "lost on the link";
    const messages = `${formatCount(gap.count)} message${gap.count === 1 ? "" : "s"}`;
    return [
      `${gap.code}\n`,
      `  ${messages}, ${what}, noticed ${gap.time}\n`,
      `  stream ${gap.stream}, sequences ${gap.first} to ${gap.last}\n`,
      gap.topicBefore === null ? "" : `  behind  ${gap.topicBefore}\n`,
      gap.topicAfter === null ? "" : `  before  ${gap.topicAfter}\n`,
    ].join("");
  });
  const codes = gaps.map(({ code }) => code).slice(0, 5);
  return `${blocks.join("")}\nOn the send side: tidegate-send replay --config FILE --gap ${codes.join(",")}\n`;
}
