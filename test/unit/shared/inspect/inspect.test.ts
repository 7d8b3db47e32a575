// What inspect says of whole files: captures with the golden vectors and with loss, journals, and files that are none.
import { afterAll, describe, expect, test } from "bun:test";
import { splitContent } from "../../../../shared/framing/block.ts";
import { ContentWriter } from "../../../../shared/framing/content.ts";
import { KIND_MESSAGES } from "../../../../shared/framing/header.ts";
import { encodeHeartbeat } from "../../../../shared/framing/heartbeat.ts";
import { type InspectOptions, inspectPath } from "../../../../shared/inspect/inspect.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";
import { CAPSULES, encodeRecord, ipv4, PORT, writePcap } from "../../../interop/wire/pcap.ts";
import { Workspace } from "../../../support/workspace.ts";
import golden from "../../../vectors/wire.json";
import { HEARTBEAT, LINK_ID, LINK_KEY, MESSAGES, makeEncoder, makeMessage } from "../framing/samples.ts";

const workspace = new Workspace("inspect");
afterAll(() => workspace.remove());

const link = { linkId: LINK_ID, linkKeys: [LINK_KEY] };
const PLAIN: InspectOptions = { link, port: undefined, withPayloads: false, summaryOnly: false, json: true };

type Line = { readonly type: string; readonly [key: string]: unknown };

function inspect(
  path: string,
  options: Partial<InspectOptions> = {},
): { lines: Line[]; fault: string | undefined } {
  const { text, fault } = inspectText(path, { ...options, json: true });
  return {
    lines: text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
    fault,
  };
}

function inspectText(path: string, options: Partial<InspectOptions> = {}) {
  const pieces = inspectPath(path, { ...PLAIN, json: false, ...options });
  let text = "";
  for (;;) {
    const next = pieces.next();
    if (next.done) return { text, fault: next.value };
    text += next.value;
  }
}

function capture(datagrams: readonly Buffer[]): string {
  return workspace.write(
    "link.pcap",
    writePcap(
      101,
      datagrams.map((datagram) => ipv4(datagram)),
    ),
  );
}

function encodeMessages(texts: readonly string[], options = {}): Buffer[][] {
  const encoder = makeEncoder({ datagramBytes: 200, repairSymbolsMin: 1, ...options });
  return texts.map((text, first) => {
    const writer = new ContentWriter();
    writer.addMessage(makeMessage({ payload: Buffer.from(text) }));
    return splitContent(first, 1, writer.take(), 20_000).flatMap((block) =>
      encoder.encode(KIND_MESSAGES, 0, block),
    );
  });
}

const only = (lines: readonly Line[], type: string) => lines.filter((line) => line.type === type);

describe("inspectPath()", () => {
  for (const vector of golden.vectors) {
    test(`explains the golden vector "${vector.name}"`, () => {
      const keys = ("linkKeys" in vector ? vector.linkKeys : [golden.linkKey]) as string[];
      const datagrams = vector.datagrams.map((hex) => Buffer.from(hex, "hex"));
      const linkKeys = keys.map((key) => Buffer.from(key, "hex"));
      const { lines, fault } = inspect(capture(datagrams), { link: { ...link, linkKeys }, port: PORT });
      expect(fault).toBeUndefined();
      expect(only(lines, "datagram")).toHaveLength(datagrams.length);
      if (vector.class !== "accepted") return;
      // The same messages as the receiver's, whatever their order; heartbeats, too, that others have overtaken.
      const outcome = vector.outcome as { frames?: { topic?: string }[]; heartbeat?: object }[];
      const topics = outcome
        .flatMap(({ frames }) => frames ?? [])
        .flatMap(({ topic }) => (topic ? [topic] : []));
      const seen = only(lines, "message").map(({ topic }) => String(topic));
      expect([...new Set(seen)].sort()).toEqual([...new Set(topics)].sort());
      const taken = outcome.filter(({ heartbeat }) => heartbeat).length;
      expect(only(lines, "heartbeat").length).toBeGreaterThanOrEqual(taken);
    });
  }

  test("reads headers alone without a configuration", () => {
    const { lines } = inspect(capture(encodeMessages(["a"]).flat()), { link: undefined });
    const [first] = only(lines, "datagram");
    expect(first).toMatchObject({ outcome: "no-key", header: { keyId: "28af", block: 0, sourceSymbols: 1 } });
    expect(only(lines, "message")).toEqual([]);
    expect(lines.at(-1)).toMatchObject({
      outcomes: { "no-key": 2 },
      runs: [{ messageBlocks: { whole: 1 } }],
    });
  });

  test("opens what is not sealed without a configuration", () => {
    const { lines } = inspect(capture(encodeMessages(["a"], { linkKeys: [] }).flat()), { link: undefined });
    expect(only(lines, "message")).toHaveLength(1);
  });

  test("tells which blocks lack what, what was restored, and which sequences are missing", () => {
    const [a = [], b = [], c = [], d = []] = encodeMessages(["a", "b".repeat(300), "c".repeat(300), "d"]);
    expect(b).toHaveLength(4);
    const { lines } = inspect(capture([...a, ...b.slice(1), ...c.slice(0, 2), ...d]));
    expect(only(lines, "block").filter(({ outcome }) => outcome === "unfinished")).toMatchObject([
      { block: 2, have: 2, sourceSymbols: 3 },
    ]);
    expect(lines.at(-1)).toMatchObject({
      runs: [
        {
          messageBlocks: {
            seen: 4,
            whole: 3,
            unfinished: 1,
            restoredSymbols: 1,
            lossPerBlock: { 0: 2, 1: 1, 2: 1 },
          },
        },
      ],
      streams: [
        {
          messages: 3,
          ranges: [
            { first: 0, last: 1 },
            { first: 3, last: 3 },
          ],
          holes: [{ first: 2, last: 2 }],
        },
      ],
    });
    const { text } = inspectText(workspace.path("link.pcap"));
    expect(text).toContain("is never whole: 2 of its 3+1 symbols are here, 3 are needed");
    expect(text).toContain("missing: 2\n");
  });

  test("shows payloads and user properties only when asked", () => {
    const writer = new ContentWriter();
    for (const message of MESSAGES) writer.addMessage(message);
    const [block] = splitContent(0, MESSAGES.length, writer.take(), 20_000);
    const path = capture(block ? makeEncoder().encode(KIND_MESSAGES, 0, block) : []);
    for (const text of [inspectText(path).text, inspectText(path, { json: true }).text]) {
      expect(text).not.toContain("21.5");
      expect(text).not.toContain("7b2276");
      expect(text).not.toContain("°C");
    }
    expect(inspectText(path, { withPayloads: true }).text).toContain('"{\\"value\\":21.5}"');
    const shown = only(inspect(path, { withPayloads: true }).lines, "message");
    expect(shown[3]).toMatchObject({
      payload: "7b2276616c7565223a32312e357d",
      properties: { contentType: "application/json" },
    });
  });

  test("shows heartbeats in full", () => {
    const path = capture(makeEncoder().encodeHeartbeat(encodeHeartbeat(HEARTBEAT)));
    const { text } = inspectText(path);
    expect(text).toContain("stream 0: next 250, sent 240, oldest held 17, this run from 100");
    expect(text).toContain('source "line-broker" connected: accepted 250, lost/oversize 1');
  });

  test("lets no control character of a topic or a name through", () => {
    const evil = "a\u001b]0;x\u0007\u202e\u009b31m";
    const writer = new ContentWriter();
    writer.addMessage(makeMessage({ topic: evil }));
    const [block] = splitContent(0, 1, writer.take(), 20_000);
    const section = { type: "source", name: evil, state: "none", counters: new Map([[evil, 1]]) } as const;
    const beat = encodeHeartbeat({ ...HEARTBEAT, sections: [section] });
    const encoder = makeEncoder();
    const path = capture([
      ...(block ? encoder.encode(KIND_MESSAGES, 0, block) : []),
      ...encoder.encodeHeartbeat(beat),
    ]);
    for (const json of [false, true]) {
      const { text } = inspectText(path, { json });
      // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what must not be there
      expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    }
  });

  test("explains what is damaged on the way to a port that has had a datagram, and counts all else", () => {
    const [good = Buffer.alloc(0)] = encodeMessages(["a"])[0] ?? [];
    const bad = Buffer.from(good);
    bad[0] = 9;
    const { lines } = inspect(capture([bad, good, bad]));
    expect(only(lines, "datagram").map(({ outcome }) => outcome)).toEqual(["opened", "version"]);
    expect(lines.at(-1)).toMatchObject({ others: { udp: 1 } });
    expect(only(inspect(workspace.path("link.pcap"), { port: PORT }).lines, "datagram")).toHaveLength(3);
    expect(only(inspect(workspace.path("link.pcap"), { port: PORT + 1 }).lines, "datagram")).toEqual([]);
  });

  test("says of a datagram that was captured in part that it is cut", () => {
    const [datagram = Buffer.alloc(0)] = encodeMessages(["a"])[0] ?? [];
    const path = workspace.write("cut.pcap", writePcap(101, [ipv4(datagram).subarray(0, 100)]));
    expect(only(inspect(path).lines, "datagram")).toMatchObject([{ outcome: "cut", bytes: datagram.length }]);
  });

  test("gives a summary and a reason for a capture that ends too soon", () => {
    const whole = writePcap(
      1,
      encodeMessages(["a"])
        .flat()
        .map(CAPSULES["Ethernet, IPv4"]?.wrap ?? ipv4),
    );
    const path = workspace.write("cut.pcap", whole.subarray(0, whole.length - 3));
    const { lines, fault } = inspect(path);
    expect(lines.at(-1)).toMatchObject({ type: "summary", datagrams: 1 });
    expect(fault).toMatch(/^cannot read .*cut\.pcap to its end: it is cut short in packet 2, at byte \d+$/);
  });

  test("explains a journal, and rows that the disk has altered", () => {
    const directory = workspace.path("journal");
    const log = openBlockLog(directory, "journal.db", "os");
    const writer = new ContentWriter();
    writer.addMessage(makeMessage());
    writer.addSkip(2, "expired");
    const content = writer.take();
    const row = { stream: 3, count: 3, skip: 0, timeMs: 1_700_000_000_000, clockDifferenceMs: 0 };
    log.write(() => {
      log.append({ ...row, first: 7, content });
      log.append({ ...row, first: 20, content: Buffer.from("nonsense") });
      log.setValue("journal_id", "0123456789abcdef");
    });
    const { lines, fault } = inspect(directory);
    log.close();
    expect(fault).toBeUndefined();
    expect(lines).toMatchObject([
      { type: "value", name: "journal_id", value: "0123456789abcdef" },
      { type: "value", name: "log.bytes", value: `${content.length + "nonsense".length}` },
      { type: "value", name: "log.last_id", value: "2" },
      { type: "value", name: "open", value: "1" },
      { type: "row", stream: 3, first: 7, count: 3, time: "2023-11-14T22:13:20.000Z", outcome: "content" },
      { type: "message", sequence: 7, payloadBytes: 14 },
      { type: "skip", first: 8, count: 2, reason: "expired" },
      { type: "row", first: 20, outcome: "malformed" },
      {
        type: "summary",
        of: "log",
        rows: 2,
        streams: [{ stream: 3, messages: 1, malformed: 3, holes: [{ first: 10, last: 19 }] }],
      },
    ]);
    expect(inspectText(directory).text).toContain("missing: 10 to 19 (10)");
  });

  test("explains the files of a directory path in their order, garbage between records, and an end that is missing", () => {
    const [a = [], b = []] = encodeMessages(["a", "b"]);
    const end = encodeRecord(Buffer.alloc(0));
    const file = (datagrams: readonly Buffer[]) => Buffer.concat(datagrams.map(encodeRecord));
    workspace.write(
      "outbox/plant-7_65123456deadbeef_0000000001.tgd",
      Buffer.concat([file(b), Buffer.from("nonsense"), file(b)]),
    );
    const first = workspace.write(
      "outbox/plant-7_65123456deadbeef_0000000000.tgd",
      Buffer.concat([file(a), end]),
    );
    const { lines, fault } = inspect(workspace.path("outbox"));
    expect(only(lines, "datagram").map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(only(lines, "message").map(({ sequence }) => sequence)).toEqual([0, 1]);
    expect(lines.at(-1)).toMatchObject({ others: { "bytes of no record (garbage)": 8 } });
    expect(fault).toMatch(
      /0000000001\.tgd to its end: it has no end mark: it is cut short, or still being written$/,
    );
    expect(inspect(first).fault).toBeUndefined();
    expect(inspectText(workspace.path("outbox")).text).toContain("8 bytes of no record (garbage)");
  });

  test("says why it cannot read what is no capture, journal or spool", () => {
    expect(inspect(workspace.path("nowhere")).fault).toMatch(/^cannot read .*nowhere: ENOENT/);
    expect(inspect(workspace.directory).fault).toMatch(
      /holds no journal\.db, no spool\.db and no \.tgd file$/,
    );
    for (const content of ["", "abc", "#!/bin/sh\n", "SQLite format 3\0garbage"]) {
      expect(inspect(workspace.write("file", content)).fault).toMatch(/^cannot read /);
    }
  });
});
