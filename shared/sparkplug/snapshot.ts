// A birth snapshot: what the send agent sends across beside the ordinary messages, so that a receiver that starts late, or has
// missed something, knows every metric by name, type and current value. It is the birth of an edge node or device as
// it would be told now, a Sparkplug payload that any decoder reads, with one more field that says which life it tells of.
// Streams have no order among each other: who merges goes by the life (bdSeq and timestamp of the NBIRTH, timestamp
// of the DBIRTH) and by the timestamp of each metric, never by arrival.
import { type EdgeNode, renderBirth } from "./birth.ts";
import { encodeBytesField, encodeVarintField, FieldReader, joinBytes, WIRE } from "./fields.ts";
import { PAYLOAD_FIELD, type Payload } from "./payload.ts";
import { checkIdentifier } from "./topic.ts";

/** The product's own topics: no source may publish there. */
export const OWN_TOPICS = "$tidegate/";
export const BIRTH_TOPICS = `${OWN_TOPICS}sparkplug/birth/`;
/** In the range that sparkplug_b.proto leaves to extensions of Payload. */
export const SNAPSHOT_FIELD = 74_433;

const VERSION = 1;
const FIELD = {
  version: 1,
  isOnline: 2,
  isNodeOnline: 3,
  bdSeq: 4,
  nodeBirthTimestamp: 5,
  birthTimestamp: 6,
  takenMs: 7,
  seq: 8,
  isComplete: 9,
} as const;

export type SnapshotTopic = {
  readonly group: string;
  readonly node: string;
  readonly device: string | undefined;
};

/** Which life a snapshot tells of. */
export type SnapshotMark = {
  /** Of the edge node, or of the device with it. */
  readonly isOnline: boolean;
  readonly isNodeOnline: boolean;
  /** Of the NBIRTH; undefined when that had none. */
  readonly bdSeq: bigint | undefined;
  /** Timestamp of the NBIRTH. */
  readonly nodeBirthTimestamp: bigint;
  /** Timestamp of the birth that is told: of a device its DBIRTH, else that of the NBIRTH. */
  readonly birthTimestamp: bigint;
  /** When the snapshot was taken: milliseconds since 1970 on the send agent's clock. */
  readonly takenMs: bigint;
  /** The seq of the last message of the edge node before it. */
  readonly seq: number | undefined;
  /** False when messages of this life were missed: values may be older than those of the edge node. */
  readonly isComplete: boolean;
};

export type SnapshotFault = "no-mark" | "mark" | "mark-version";

export function formatSnapshotTopic({ group, node, device }: SnapshotTopic): string {
  return device === undefined
    ? `${BIRTH_TOPICS}${group}/${node}`
    : `${BIRTH_TOPICS}${group}/${node}/${device}`;
}

/** undefined when it is the topic of no snapshot. */
export function parseSnapshotTopic(topic: string): SnapshotTopic | undefined {
  if (!topic.startsWith(BIRTH_TOPICS)) return undefined;
  const levels = topic.slice(BIRTH_TOPICS.length).split("/");
  const [group, node, device] = levels;
  if (group === undefined || node === undefined || levels.length > 3) return undefined;
  if (levels.some((level) => checkIdentifier(level) !== undefined)) return undefined;
  return { group, node, device };
}

/** The snapshot of the edge node, or of one of its devices; undefined before its birth. */
export function takeSnapshot(
  edge: EdgeNode,
  device: string | undefined,
  nowMs: number,
): Uint8Array | undefined {
  const node = edge.life;
  const life = device === undefined ? node : edge.devices.get(device);
  if (node === undefined || life === undefined) return undefined;
  const mark = encodeMark({
    isOnline: life.isOnline,
    isNodeOnline: node.isOnline,
    bdSeq: edge.bdSeq,
    nodeBirthTimestamp: node.timestamp,
    birthTimestamp: life.timestamp,
    takenMs: BigInt(Math.trunc(nowMs)),
    seq: edge.seq,
    isComplete: edge.isComplete,
  });
  return joinBytes([renderBirth(life), encodeBytesField(SNAPSHOT_FIELD, mark)]);
}

/** The snapshot of an edge node of which nothing is known but its last life, and that it is dead now. */
export function tellDeath(bdSeq: bigint | undefined, nodeBirthTimestamp: bigint, nowMs: number): Uint8Array {
  const mark = encodeMark({
    isOnline: false,
    isNodeOnline: false,
    bdSeq,
    nodeBirthTimestamp,
    birthTimestamp: nodeBirthTimestamp,
    takenMs: BigInt(Math.trunc(nowMs)),
    seq: undefined,
    isComplete: false,
  });
  return joinBytes([
    encodeVarintField(PAYLOAD_FIELD.timestamp, nodeBirthTimestamp),
    encodeBytesField(SNAPSHOT_FIELD, mark),
  ]);
}

function encodeMark(mark: SnapshotMark): Uint8Array {
  const optional = (field: number, value: bigint | number | undefined) =>
    value === undefined ? [] : [encodeVarintField(field, value)];
  return joinBytes([
    encodeVarintField(FIELD.version, VERSION),
    encodeVarintField(FIELD.isOnline, mark.isOnline ? 1 : 0),
    encodeVarintField(FIELD.isNodeOnline, mark.isNodeOnline ? 1 : 0),
    ...optional(FIELD.bdSeq, mark.bdSeq),
    encodeVarintField(FIELD.nodeBirthTimestamp, mark.nodeBirthTimestamp),
    encodeVarintField(FIELD.birthTimestamp, mark.birthTimestamp),
    encodeVarintField(FIELD.takenMs, mark.takenMs),
    ...optional(FIELD.seq, mark.seq),
    encodeVarintField(FIELD.isComplete, mark.isComplete ? 1 : 0),
  ]);
}

/** Which life a snapshot's payload tells of, or why it does not say. */
export function readMark({ bytes, spans }: Payload): SnapshotMark | SnapshotFault {
  const span = spans.findLast(({ number }) => number === SNAPSHOT_FIELD);
  if (span === undefined) return "no-mark";
  const outer = new FieldReader(bytes, span.start, span.end);
  if (!outer.next() || outer.wireType !== WIRE.bytes) return "mark";
  const reader = new FieldReader(bytes, outer.valueStart, outer.valueEnd);
  const values = new Map<number, bigint>();
  while (reader.next()) if (reader.wireType === WIRE.varint) values.set(reader.number, reader.unsigned);
  if (reader.fault !== undefined) return "mark";
  if (values.get(FIELD.version) !== BigInt(VERSION)) return "mark-version";
  const nodeBirthTimestamp = values.get(FIELD.nodeBirthTimestamp);
  const birthTimestamp = values.get(FIELD.birthTimestamp);
  const takenMs = values.get(FIELD.takenMs);
  const seq = values.get(FIELD.seq);
  if (nodeBirthTimestamp === undefined || birthTimestamp === undefined || takenMs === undefined)
    return "mark";
  if (seq !== undefined && seq > 255n) return "mark";
  return {
    isOnline: values.get(FIELD.isOnline) === 1n,
    isNodeOnline: values.get(FIELD.isNodeOnline) === 1n,
    bdSeq: values.get(FIELD.bdSeq),
    nodeBirthTimestamp,
    birthTimestamp,
    takenMs,
    seq: seq === undefined ? undefined : Number(seq),
    isComplete: values.get(FIELD.isComplete) === 1n,
  };
}
