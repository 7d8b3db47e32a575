// Tests of shared/sparkplug/birth.ts, book.ts, snapshot.ts and inflate.ts: births, data and deaths in their turn, what is missed is
// named, snapshots tell the whole, and everything stays within its bounds.
import { describe, expect, test } from "bun:test";
import { deflateSync, gzipSync } from "node:zlib";
import { EdgeNode, weighNode } from "../../../../shared/sparkplug/birth.ts";
import { Book } from "../../../../shared/sparkplug/book.ts";
import { openPayload } from "../../../../shared/sparkplug/inflate.ts";
import {
  formatSnapshotTopic,
  parseSnapshotTopic,
  readMark,
  takeSnapshot,
} from "../../../../shared/sparkplug/snapshot.ts";
import { type EdgeTopic, parseTopic } from "../../../../shared/sparkplug/topic.ts";
import { decode, encode, parse } from "./samples.ts";

type Json = Record<string, unknown>;

const bytes = (seq: number | undefined, timestamp: number, ...metrics: Json[]) =>
  encode({ timestamp, metrics, ...(seq === undefined ? {} : { seq }) } as never);
const payload = (seq: number | undefined, timestamp: number, ...metrics: Json[]) =>
  parse(bytes(seq, timestamp, ...metrics));
const topic = (text: string) => parseTopic(text) as EdgeTopic;
const N = (type: string) => topic(`spBv1.0/g/${type}/n`);
const D = (type: string, device = "d") => topic(`spBv1.0/g/${type}/n/${device}`);
const bdSeq = (value: number) => ({ name: "bdSeq", timestamp: 1, datatype: 4, longValue: value });
const speed = { name: "speed", alias: 1, timestamp: 10, datatype: 10, doubleValue: 1.5 };
const level = { name: "level", alias: 2, timestamp: 10, datatype: 3, intValue: 7 };
const nbirth = (seq = 0, life = 4) => payload(seq, 100, bdSeq(life), speed);

function born(): EdgeNode {
  const edge = new EdgeNode("g", "n");
  edge.take(N("NBIRTH"), nbirth(), 1000);
  edge.take(D("DBIRTH"), payload(1, 101, level), 1001);
  return edge;
}
const snapshot = (edge: EdgeNode, device?: string) => {
  const taken = takeSnapshot(edge, device, 5000);
  if (taken === undefined) throw new Error("there is no snapshot");
  return taken;
};

describe("EdgeNode", () => {
  test("follows births, data and deaths of node and devices", () => {
    const edge = born();
    expect(edge.isOnline).toBe(true);
    expect(edge.bdSeq).toBe(4n);
    const data = edge.take(N("NDATA"), payload(2, 102, { alias: 1, timestamp: 102, doubleValue: 2.5 }), 1002);
    expect(data).toEqual({ kind: "data", trouble: undefined, historical: 0 });
    expect(edge.take(D("DDATA"), payload(3, 103, { alias: 2, intValue: 8 }), 1003).kind).toBe("device-data");
    expect(edge.take(D("DDEATH"), payload(4, 104), 1004).kind).toBe("device-death");
    expect(edge.devices.get("d")?.isOnline).toBe(false);
    expect(edge.take(N("NDEATH"), payload(undefined, 0, bdSeq(3)), 1005).kind).toBe("stale-death");
    expect(edge.isOnline).toBe(true);
    expect(edge.take(N("NDEATH"), payload(undefined, 0, bdSeq(4)), 1006).kind).toBe("death");
    expect(edge.isOnline).toBe(false);
    expect(edge.take(N("NDEATH"), payload(undefined, 0, bdSeq(4)), 1007).kind).toBe("none");
  });

  test("a death takes the devices along, and a birth leaves them to be born again", () => {
    const edge = born();
    edge.take(N("NBIRTH"), nbirth(0, 5), 2000);
    expect(edge.devices.get("d")?.isOnline).toBe(false);
    expect(edge.take(D("DDATA"), payload(1, 2, { alias: 2 }), 2001).trouble).toBe("data-before-birth");
    edge.take(D("DBIRTH"), payload(2, 3, level), 2002);
    expect(edge.devices.get("d")?.isOnline).toBe(true);
    edge.take(N("NDEATH"), payload(undefined, 0, bdSeq(5)), 2003);
    expect(edge.devices.get("d")?.isOnline).toBe(false);
    expect(edge.take(N("NDATA"), payload(3, 4, { alias: 1 }), 2004).trouble).toBe("data-before-birth");
  });

  test("seq goes from 255 to 0 without a gap, for three rounds", () => {
    const edge = born();
    for (let count = 2; count < 3 * 256; count++) {
      const { trouble } = edge.take(
        N("NDATA"),
        payload(count % 256, count, { alias: 1, doubleValue: 1 }),
        count,
      );
      expect(trouble).toBeUndefined();
    }
    expect(edge.isComplete).toBe(true);
  });

  test.each([3, 5, 0, 255])("names a gap when seq %d comes where 2 should, once", (seq) => {
    const edge = born();
    expect(edge.take(N("NDATA"), payload(seq, 200, { alias: 1, doubleValue: 9 }), 1).trouble).toBe(
      "sequence-gap",
    );
    expect(edge.isComplete).toBe(false);
    expect(
      edge.take(N("NDATA"), payload((seq + 1) % 256, 201, { alias: 1, doubleValue: 9 }), 1).trouble,
    ).toBeUndefined();
    expect(edge.isComplete).toBe(false);
    edge.take(N("NBIRTH"), nbirth(), 2);
    expect(edge.isComplete).toBe(true);
  });

  test("a message that comes twice is no gap and changes nothing", () => {
    const edge = born();
    edge.take(N("NDATA"), payload(2, 200, { alias: 1, doubleValue: 9 }), 1);
    expect(edge.take(N("NDATA"), payload(2, 200, { alias: 1, doubleValue: 9 }), 1).kind).toBe("repeat");
    expect(edge.take(N("NDATA"), payload(3, 200, { alias: 1, doubleValue: 9 }), 1).trouble).toBeUndefined();
  });

  test("names an alias that no birth has told, and takes a new birth's aliases in place of the old", () => {
    const edge = born();
    expect(edge.take(N("NDATA"), payload(2, 200, { alias: 99, doubleValue: 9 }), 1).trouble).toBe(
      "unknown-metric",
    );
    edge.take(N("NBIRTH"), payload(0, 300, bdSeq(4), { ...speed, alias: 99 }, { ...level, alias: 1 }), 2);
    edge.take(
      N("NDATA"),
      payload(
        1,
        301,
        { alias: 99, timestamp: 301, doubleValue: 4.5 },
        { alias: 1, timestamp: 301, intValue: 3 },
      ),
      3,
    );
    const metrics = decode(snapshot(edge)).metrics as Json[];
    expect(metrics.slice(1)).toEqual([
      { ...speed, alias: "99", timestamp: "301", doubleValue: 4.5 },
      { ...level, alias: "1", timestamp: "301", intValue: 3 },
    ]);
  });

  test("counts history and lets it change nothing", () => {
    const edge = born();
    const event = edge.take(
      N("NDATA"),
      payload(2, 9, { alias: 1, timestamp: 5, isHistorical: true, doubleValue: 0 }),
      1,
    );
    expect(event.historical).toBe(1);
    expect((decode(snapshot(edge)).metrics as Json[])[1]).toEqual({ ...speed, alias: "1", timestamp: "10" });
  });
});

describe("takeSnapshot()", () => {
  test("tells the birth with current values and the life it is of", () => {
    const edge = born();
    edge.take(D("DDATA"), payload(2, 103, { alias: 2, timestamp: 103, intValue: 8 }), 1003);
    const parsed = parse(snapshot(edge, "d"));
    expect(parsed.timestamp).toBe(101n);
    expect(readMark(parsed)).toEqual({
      isOnline: true,
      isNodeOnline: true,
      bdSeq: 4n,
      nodeBirthTimestamp: 100n,
      birthTimestamp: 101n,
      takenMs: 5000n,
      seq: 2,
      isComplete: true,
    });
    expect(decode(snapshot(edge, "d")).metrics).toEqual([
      { ...level, alias: "2", timestamp: "103", intValue: 8 },
    ]);
  });

  test("tells that a node or a device is dead", () => {
    const edge = born();
    edge.take(D("DDEATH"), payload(2, 104), 1004);
    expect(readMark(parse(snapshot(edge, "d")))).toMatchObject({ isOnline: false, isNodeOnline: true });
    edge.take(N("NDEATH"), payload(undefined, 0, bdSeq(4)), 1005);
    expect(readMark(parse(snapshot(edge)))).toMatchObject({ isOnline: false, isNodeOnline: false });
  });

  test("keeps what a birth holds bit by bit, templates, data sets, properties and extensions among it", () => {
    const rich = encode({
      timestamp: 100,
      metrics: [
        bdSeq(1),
        {
          name: "set",
          datatype: 16,
          timestamp: 5,
          datasetValue: {
            numOfColumns: 1,
            columns: ["c"],
            types: [3],
            rows: [{ elements: [{ intValue: 1 }] }],
          },
        },
        {
          name: "motor",
          datatype: 19,
          timestamp: 5,
          templateValue: { templateRef: "m", isDefinition: false, metrics: [{ name: "rpm", intValue: 4 }] },
        },
        { name: "none", datatype: 12, timestamp: 5, isNull: true },
        { name: "old", datatype: 12, timestamp: 5, isHistorical: true, isTransient: true, stringValue: "s" },
        {
          name: "props",
          datatype: 3,
          timestamp: 5,
          intValue: 0xffffffff,
          properties: { keys: ["Quality"], values: [{ type: 3, intValue: 0 }] },
        },
      ],
      seq: 0,
      uuid: "schema",
      body: Buffer.from([1, 2]),
    } as never);
    const extended = Uint8Array.from([...rich, 0x9a, 0x06, 2, 0xca, 0xfe]);
    const edge = new EdgeNode("g", "n");
    edge.take(N("NBIRTH"), parse(extended), 1);
    const told = parse(snapshot(edge));
    expect(told.metrics.map(({ raw }) => Buffer.from(raw).toString("hex"))).toEqual(
      parse(extended).metrics.map(({ raw }) => Buffer.from(raw).toString("hex")),
    );
    expect(Buffer.from(snapshot(edge)).includes(Uint8Array.from([0x9a, 0x06, 2, 0xca, 0xfe]))).toBe(true);
    expect(told.uuid).toBe("schema");
    expect([...(told.body ?? [])]).toEqual([1, 2]);
    expect(told.seq).toBe(0);
  });

  test("readMark() refuses payloads without a mark, and marks that are none", () => {
    expect(readMark(nbirth())).toBe("no-mark");
    const marked = (mark: number[]) => parse(Uint8Array.from([0x8a, 0xac, 0x24, mark.length, ...mark]));
    expect(readMark(marked([8, 2]))).toBe("mark-version");
    expect(readMark(marked([8, 1]))).toBe("mark");
    expect(readMark(marked([8]))).toBe("mark");
  });

  test("topics there and back", () => {
    for (const device of [undefined, "d x"]) {
      const one = { group: "g", node: "n", device };
      expect(parseSnapshotTopic(formatSnapshotTopic(one))).toEqual(one);
    }
    for (const text of [
      "$tidegate/sparkplug/birth/g",
      "$tidegate/sparkplug/birth/g/n/d/e",
      "$tidegate/x",
      "g/n",
    ])
      expect(parseSnapshotTopic(text)).toBeUndefined();
  });
});

describe("Book", () => {
  const limits = { nodesMax: 3, metricsMax: 4, bytesMax: 100_000 };
  const birthOf = (book: Book, node: string, atMs: number, ...metrics: Json[]) =>
    book.take(topic(`spBv1.0/g/NBIRTH/${node}`), payload(0, 1, bdSeq(1), ...metrics), atMs);

  test("asks for a birth when data comes from who is unknown, and not when a death does", () => {
    const book = new Book(limits);
    expect(book.take(N("NDATA"), payload(5, 1, { alias: 1 }), 1).event.trouble).toBe("data-before-birth");
    expect(book.take(N("NDEATH"), payload(undefined, 1, bdSeq(1)), 1).event.trouble).toBeUndefined();
    expect(book.take(N("NCMD"), payload(undefined, 1), 1).event.trouble).toBeUndefined();
    expect(book.size).toBe(0);
  });

  test("at its limit lets go of who has been dead for longest, and takes nobody while all live", () => {
    const book = new Book(limits);
    for (const [index, node] of ["a", "b", "c"].entries()) birthOf(book, node, index);
    expect(birthOf(book, "d", 9).refusal).toBe("nodes-max");
    expect(book.find("g", "d")).toBeUndefined();
    book.take(topic("spBv1.0/g/NDEATH/b"), payload(undefined, 1, bdSeq(1)), 20);
    book.take(topic("spBv1.0/g/NDEATH/a"), payload(undefined, 1, bdSeq(1)), 30);
    expect(birthOf(book, "d", 40).refusal).toBeUndefined();
    expect([book.find("g", "a")?.node, book.find("g", "b")?.node, book.evicted]).toEqual(["a", undefined, 1]);
  });

  test("follows nobody with too many metrics or bytes, and counts the bytes of all exactly", () => {
    const book = new Book({ ...limits, bytesMax: 20_000 });
    expect(birthOf(book, "a", 1, speed, level, { name: "c" }).refusal).toBeUndefined();
    expect(birthOf(book, "a", 1, speed, level, { name: "c" }, { name: "e" }).refusal).toBe("metrics-max");
    expect(book.bytes).toBe(0);
    birthOf(book, "a", 1, speed);
    const before = book.bytes;
    const large = { name: "speed", stringValue: "x".repeat(30_000) };
    expect(book.take(topic("spBv1.0/g/NDATA/a"), payload(1, 2, large), 2).refusal).toBe("bytes-max");
    expect(book.bytes).toBe(0);
    birthOf(book, "a", 1, speed);
    expect(book.bytes).toBe(before);
  });

  test("500 edge nodes of 100 metrics stay within 64 MiB while every metric changes ten times", () => {
    const book = new Book({ nodesMax: 1000, metricsMax: 1000, bytesMax: 64 * 1024 * 1024 });
    const metrics = Array.from({ length: 100 }, (_, index) => ({
      name: `area/line/machine/metric ${index}`,
      alias: index,
      timestamp: 1,
      datatype: 10,
      doubleValue: index,
    }));
    const birth = payload(0, 1, bdSeq(1), ...metrics);
    const update = metrics.map(({ alias }) => ({ alias, timestamp: 2, doubleValue: 0.5 }));
    for (let node = 0; node < 500; node++) book.take(topic(`spBv1.0/g/NBIRTH/n${node}`), birth, 1);
    for (let round = 1; round <= 10; round++) {
      const data = payload(round, round, ...update);
      for (let node = 0; node < 500; node++)
        expect(book.take(topic(`spBv1.0/g/NDATA/n${node}`), data, round).event.trouble).toBeUndefined();
    }
    expect(book.size).toBe(500);
    expect(book.bytes).toBeLessThan(40 * 1024 * 1024);
  });
});

describe("EdgeNode.bytes", () => {
  test("is what it holds, however often it is told and changed", () => {
    const edge = born();
    const text = "x".repeat(1000);
    for (let seq = 2; seq < 200; seq++) {
      const change = { alias: 2, timestamp: 100 + seq, stringValue: text };
      edge.take(D("DDATA"), payload(seq, 100 + seq, change), 1000 + seq);
      expect(edge.bytes).toBe(weighNode(edge));
      snapshot(edge, "d");
    }
    edge.take(D("DBIRTH"), payload(200, 400, level), 2000);
    edge.take(N("NBIRTH"), nbirth(), 2001);
    expect(edge.bytes).toBe(weighNode(edge));
  });
});

describe("openPayload()", () => {
  const compressed = (body: Uint8Array, algorithm: string | undefined) =>
    encode({
      uuid: "SPBV1.0_COMPRESSED",
      body,
      metrics: algorithm === undefined ? [] : [{ name: "algorithm", datatype: 12, stringValue: algorithm }],
    } as never);

  test("opens DEFLATE and GZIP, and refuses the rest by name", () => {
    const plain = bytes(3, 4, speed);
    const open = (value: Uint8Array) => {
      const opened = openPayload(value);
      return typeof opened === "string" ? opened : opened.seq;
    };
    expect(open(compressed(deflateSync(plain), "DEFLATE"))).toBe(3);
    expect(open(compressed(gzipSync(plain), "gzip"))).toBe(3);
    expect(open(compressed(deflateSync(plain), undefined))).toBe(3);
    expect(open(compressed(deflateSync(plain), "LZ4"))).toBe("compression-algorithm");
    expect(open(compressed(plain, "GZIP"))).toBe("compression");
    expect(open(compressed(deflateSync(Buffer.alloc(70_000_000)), "DEFLATE"))).toBe("compression");
    expect(open(plain)).toBe(3);
  });

  test("refuses what grows a hundredfold, and takes what grows as births do", () => {
    const many = Array.from({ length: 20_000 }, (_, index) => ({
      ...speed,
      name: `area/line ${index}`,
      alias: index,
    }));
    const birth = bytes(0, 1, ...many);
    const opened = openPayload(compressed(deflateSync(birth), undefined));
    expect(typeof opened === "string" ? opened : opened.metrics.length).toBe(20_000);
    expect(openPayload(compressed(deflateSync(Buffer.alloc(8_000_000)), undefined))).toBe("compression");
  });
});
