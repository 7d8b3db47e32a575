// The command `inspect`, the same for both programs: finds out what a path holds, explains it, and says where it is broken.
// Gives its output piece by piece, so that a file of any size takes the same memory.
import { readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { openBlockLogReadOnly } from "../store/open.ts";
import { ByteFile } from "./byte-file.ts";
import { Candidates } from "./candidates.ts";
import { isCapture, readCapture } from "./capture.ts";
import type { InspectEvent } from "./event.ts";
import { LinkInspector } from "./link-inspector.ts";
import { inspectLog } from "./log-inspector.ts";
import type { LinkKeys } from "./opener.ts";
import { findDatagram } from "./packet.ts";
import { toSafeJson } from "./safe-text.ts";
import { TextFormat } from "./text.ts";

export type InspectOptions = {
  readonly link: LinkKeys | undefined;
  readonly port: number | undefined;
  readonly withPayloads: boolean;
  readonly summaryOnly: boolean;
  readonly json: boolean;
};

/** Why a file could not be read, or not to its end: a sentence for a person. */
export type InspectFault = string;
type Events = Generator<InspectEvent, InspectFault | undefined>;

const SQLITE_MAGIC = 0x53514c69;
const LOG_NAMES = ["journal.db", "spool.db"];

/** Yields what to print; returns what went wrong. */
export function* inspectPath(
  path: string,
  options: InspectOptions,
): Generator<string, InspectFault | undefined> {
  const text = new TextFormat();
  try {
    const events = openEvents(path, options);
    for (;;) {
      const next = events.next();
      if (next.done) return next.value;
      if (options.summaryOnly && next.value.type !== "summary") continue;
      yield options.json ? `${toSafeJson(next.value)}\n` : text.format(next.value);
    }
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return said.startsWith("cannot ") ? said : `cannot read ${path}: ${said}`;
  }
}

function openEvents(path: string, options: InspectOptions): Events {
  if (statSync(path).isDirectory()) {
    const names = new Set(readdirSync(path));
    const name = LOG_NAMES.find((known) => names.has(known));
    if (name === undefined) throw new Error(`it holds no ${LOG_NAMES.join(" or ")}`);
    return inspectLogFile(join(path, name), options);
  }
  const file = new ByteFile(path);
  const magic = file.read(4)?.readUInt32BE(0);
  if (magic !== undefined && isCapture(magic)) return inspectCapture(path, file, magic, options);
  file.close();
  if (magic === SQLITE_MAGIC) return inspectLogFile(path, options);
  throw new Error("it is no capture (pcap or pcapng), journal or spool");
}

function* inspectLogFile(path: string, options: InspectOptions): Events {
  const log = openBlockLogReadOnly(dirname(path), basename(path));
  try {
    yield* inspectLog(log, options.withPayloads);
    return undefined;
  } finally {
    log.close();
  }
}

function* inspectCapture(path: string, file: ByteFile, magic: number, options: InspectOptions): Events {
  const inspector = new LinkInspector(options.link, options.withPayloads);
  const candidates = new Candidates(options.port);
  try {
    const packets = readCapture(file, magic);
    for (let number = 1; ; number++) {
      const next = packets.next();
      if (next.done) {
        yield* inspector.finish();
        return next.value === undefined ? undefined : `cannot read ${path} to its end: it ${next.value}`;
      }
      const { linkType, bytes, timeMs } = next.value;
      const found = findDatagram(linkType, bytes);
      if (typeof found === "string") inspector.summary.addOther(found);
      else if (!candidates.has(found)) inspector.summary.addOther("udp");
      else {
        const { source, destination, payload } = found;
        yield* inspector.inspect({ number, timeMs, source, destination, payload, bytes: found.bytes });
      }
    }
  } finally {
    file.close();
  }
}
