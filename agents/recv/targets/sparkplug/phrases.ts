// What an edge node says in our voice [Sparkplug 3.0, 6.4]: births with our bdSeq and seq, data with our seq, deaths. What the far
// side said stays byte by byte, but for those numbers.
import { BD_SEQ, type Life, REBIRTH } from "../../../../shared/sparkplug/birth.ts";
import { FieldReader } from "../../../../shared/sparkplug/fields.ts";
import { METRIC_FIELD, type Metric, type Payload } from "../../../../shared/sparkplug/payload.ts";
import {
  encodeMetric,
  encodePayload,
  rewritePayload,
  setHistorical,
  setLong,
} from "../../../../shared/sparkplug/rewrite.ts";
import { readText } from "../../../../shared/sparkplug/shape.ts";
import type { MetricFate } from "./follower.ts";

/** The birth as it came. */
export function phraseBirth(payload: Payload, bdSeq: number): Uint8Array {
  return rewritePayload(payload, {
    seq: 0,
    metrics: ({ raw, name }) => (name === BD_SEQ ? setLong(raw, BigInt(bdSeq)) : raw),
    moreMetrics: missing(
      payload.metrics.map(({ name }) => name),
      bdSeq,
      payload.timestamp ?? 0n,
    ),
  });
}

/** The birth again, with the current values. */
export function phraseRebirth(life: Life, bdSeq: number, nowMs: number): Uint8Array {
  const timestamp = BigInt(Math.trunc(nowMs));
  const metrics = life.table.render();
  const names = metrics.map(readName);
  return rewritePayload(life.frame, {
    seq: 0,
    timestamp,
    moreMetrics: [
      ...metrics.map((raw, index) => (names[index] === BD_SEQ ? setLong(raw, BigInt(bdSeq)) : raw)),
      ...missing(names, bdSeq, timestamp),
    ],
  });
}

export function phraseDeviceRebirth(life: Life, seq: number, nowMs: number): Uint8Array {
  const timestamp = BigInt(Math.trunc(nowMs));
  return rewritePayload(life.frame, { seq, timestamp, moreMetrics: life.table.render() });
}

/** A payload as it came, with our seq. */
export function phraseSame(payload: Payload, seq: number): Uint8Array {
  return rewritePayload(payload, { seq });
}

export function phraseData(payload: Payload, seq: number, fates: readonly MetricFate[]): Uint8Array {
  if (fates.every((fate) => fate === "as-is")) return phraseSame(payload, seq);
  return rewritePayload(payload, {
    seq,
    metrics: ({ raw }, index) => {
      const fate = fates[index];
      return fate === "unresolved" ? null : fate === "history" ? setHistorical(raw) : raw;
    },
  });
}

/** Values that a snapshot knew newer, as DATA tells them: by alias where there is one [tck-id-payloads-alias-data-cmd-requirement]. */
export function phraseValues(metrics: readonly Metric[], seq: number, nowMs: number): Uint8Array {
  return encodePayload(BigInt(Math.trunc(nowMs)), metrics.map(withoutName), seq);
}

/** Without seq, and with nothing but bdSeq [tck-id-topics-ndeath-payload, tck-id-payloads-ndeath-seq]. */
export function phraseDeath(bdSeq: number, nowMs: number): Uint8Array {
  const timestamp = BigInt(Math.trunc(nowMs));
  return encodePayload(
    timestamp,
    [encodeMetric({ name: BD_SEQ, timestamp, value: BigInt(bdSeq) })],
    undefined,
  );
}

export function phraseDeviceDeath(seq: number, nowMs: number): Uint8Array {
  return encodePayload(BigInt(Math.trunc(nowMs)), [], seq);
}

/** Every NBIRTH has these two [tck-id-topics-nbirth-bdseq-included, tck-id-topics-nbirth-rebirth-metric]. */
function missing(names: readonly (string | undefined)[], bdSeq: number, timestamp: bigint): Uint8Array[] {
  const more: Uint8Array[] = [];
  if (!names.includes(BD_SEQ)) more.push(encodeMetric({ name: BD_SEQ, timestamp, value: BigInt(bdSeq) }));
  if (!names.includes(REBIRTH)) more.push(encodeMetric({ name: REBIRTH, timestamp, value: false }));
  return more;
}

function readName(raw: Uint8Array): string | undefined {
  const reader = new FieldReader(raw);
  while (reader.next())
    if (reader.number === METRIC_FIELD.name) return readText(raw, reader.valueStart, reader.valueEnd);
  return undefined;
}

function withoutName({ raw, alias }: Metric): Uint8Array {
  if (alias === undefined) return raw;
  const pieces: Uint8Array[] = [];
  const reader = new FieldReader(raw);
  while (reader.next())
    if (reader.number !== METRIC_FIELD.name && reader.number !== METRIC_FIELD.datatype)
      pieces.push(reader.raw);
  return Buffer.concat(pieces);
}
