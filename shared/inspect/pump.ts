// Writes pieces of text to a stream no faster than it takes them, so that a slow reader costs no memory. A reader that goes away
// (`… | head`) ends it without a word.
import type { Writable } from "node:stream";

const BATCH_CHARACTERS = 64 * 1024;

/** What the pieces returned; undefined when the reader went away. */
export async function pump<Result>(
  pieces: Generator<string, Result>,
  out: Writable,
): Promise<Result | undefined> {
  let isGone = false;
  let wake = () => {};
  out.on("error", () => {
    isGone = true;
    wake();
  });
  out.on("drain", () => wake());
  let batch = "";
  for (;;) {
    const next = pieces.next();
    if (!next.done) batch += next.value;
    if (batch !== "" && (next.done || batch.length >= BATCH_CHARACTERS)) {
      const text = batch;
      batch = "";
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (out.write(text)) resolve();
      });
    }
    if (isGone) return undefined;
    if (next.done) return next.value;
  }
}
