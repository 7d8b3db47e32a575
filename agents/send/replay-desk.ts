// What the running agent does with requests of the `replay` command: asks its core to send ranges again.
import { join } from "node:path";
import * as z from "zod";
import { type Answer, RequestDesk } from "../../shared/admin/request-desk.ts";
import type { Logger } from "../../shared/log.ts";
import type { SendCore } from "./core.ts";

const whole = z.int().min(0);

/** Sequences of a stream, or times: what was written to the journal between them, in every stream. */
const replayRequest = z.union([
  z.strictObject({ stream: z.int().min(0).max(255), first: whole, end: whole }),
  z.strictObject({ sinceMs: whole, untilMs: whole }),
]);
export type ReplayRequest = z.infer<typeof replayRequest>;

/** `sequences` will be sent again; `missing` are not in the journal any more, or were never sent. */
export type ReplayResult = { readonly sequences: number; readonly missing: number };

export function replayDirectory(journalDirectory: string): string {
  return join(journalDirectory, "replay");
}

export function openReplayDesk(journalDirectory: string, core: SendCore, log: Logger) {
  return new RequestDesk(replayDirectory(journalDirectory), replayRequest, log, (request) =>
    replay(core, request),
  );
}

function replay(core: SendCore, request: ReplayRequest): Answer<ReplayResult> {
  const { journal } = core;
  const ranges =
    "stream" in request
      ? [request]
      : journal.streams.flatMap((stream) => {
          const range = journal.sequencesBetween(stream, request.sinceMs, request.untilMs);
          return range === undefined ? [] : [{ stream, ...range }];
        });
  let sequences = 0;
  let missing = 0;
  for (const range of ranges) {
    const found = core.replay(range);
    if (found === undefined) return { error: "too many ranges wait to be sent again already" };
    sequences += found;
    missing += range.end - range.first - found;
  }
  return { sequences, missing };
}
