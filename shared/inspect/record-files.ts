// The datagrams of files of a directory path (`.tgd`), and of anything else that is a sequence of records: one file, or all of a
// directory in the order of their names. Says which bytes belong to no record, and which files have no end.
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { RecordDecoder } from "../framing/record.ts";
import { ByteFile } from "./byte-file.ts";
import type { InspectEvent } from "./event.ts";
import type { CapturedDatagram, LinkInspector } from "./link-inspector.ts";

const CHUNK_BYTES = 64 * 1024;
const SUFFIX = ".tgd";

/** The files of a directory that are of this kind, in order. */
export function listRecordFiles(directory: string): string[] {
  const names = readdirSync(directory).filter((name) => name.endsWith(SUFFIX));
  return names.sort().map((name) => join(directory, name));
}

/** Returns what is wrong with the files, in a sentence, when something is. */
export function* inspectRecordFiles(
  paths: readonly string[],
  inspector: LinkInspector,
): Generator<InspectEvent, string | undefined> {
  const endless: string[] = [];
  let number = 0;
  for (const path of paths) {
    const source = basename(path);
    const found: CapturedDatagram[] = [];
    const decoder = new RecordDecoder({
      datagram: (datagram) => {
        const whole = { payload: Buffer.from(datagram), bytes: datagram.length };
        found.push({ number: ++number, timeMs: undefined, source, destination: "", ...whole });
      },
      skipped: (reason, bytes) => inspector.summary.addOther(`bytes of no record (${reason})`, bytes),
    });
    const file = new ByteFile(path);
    try {
      for (let chunk = file.readSome(CHUNK_BYTES); chunk.length > 0; chunk = file.readSome(CHUNK_BYTES)) {
        decoder.push(chunk);
        for (const datagram of found.splice(0)) yield* inspector.inspect(datagram);
      }
    } finally {
      file.close();
    }
    if (!decoder.atEndMark) endless.push(path);
    decoder.end();
    for (const datagram of found.splice(0)) yield* inspector.inspect(datagram);
  }
  yield* inspector.finish();
  const [first] = endless;
  if (first === undefined) return undefined;
  const others = endless.length === 1 ? "" : `, and so have ${endless.length - 1} others`;
  return `cannot read ${first} to its end: it has no end mark${others}: it is cut short, or still being written`;
}
