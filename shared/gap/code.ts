// Gap codes: a range of lost sequences as a few groups of letters and digits that a person can read over the telephone
// and type. The receiver prints it, `tidegate-send replay --gap` takes it. Crockford's base32 (no I, L, O, U; those are
// read as 1, 1, 0 and refused), with a checksum over everything and a tag of the journal, so that a code with a typing
// error, or for another journal, is refused.
import { crc32 } from "node:zlib";
import { ByteReader, ByteWriter } from "../framing/bytes.ts";

export type GapRange = {
  /** First 2 bytes of the journal id, as a number. */
  readonly journalTag: number;
  readonly stream: number;
  readonly first: number;
  readonly count: number;
};

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHECK_BYTES = 2;
const GROUP = 4;

export function tagJournal(journalId: bigint): number {
  return Number(journalId >> 48n);
}

/** The code, in groups of four with dashes between them. */
export function encodeGapCode(range: GapRange): string {
  const writer = new ByteWriter(32);
  writer.u16(range.journalTag);
  writer.u8(range.stream);
  writer.varint(range.first);
  writer.varint(range.count);
  const body = writer.take();
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  const text = encodeBase32(Buffer.concat([body, check.subarray(0, CHECK_BYTES)]));
  return text.match(new RegExp(`.{1,${GROUP}}`, "g"))?.join("-") ?? text;
}

/** The range, or what is wrong with the code, as a sentence that follows it. */
export function decodeGapCode(text: string): GapRange | string {
  const plain = text.toUpperCase().replaceAll(/[-\s]/g, "").replaceAll(/[IL]/g, "1").replaceAll("O", "0");
  const wrong = [...plain].find((character) => !ALPHABET.includes(character));
  if (wrong !== undefined) return `has the character "${wrong}", which no gap code has`;
  const bytes = decodeBase32(plain);
  if (bytes === undefined || bytes.length < CHECK_BYTES + 5) return "is too short or cut";
  const body = bytes.subarray(0, bytes.length - CHECK_BYTES);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  if (!check.subarray(0, CHECK_BYTES).equals(bytes.subarray(body.length)))
    return "has a typing error: its checksum does not match";
  const reader = new ByteReader(body);
  const range = {
    journalTag: reader.u16(),
    stream: reader.u8(),
    first: reader.varint(),
    count: reader.varint(),
  };
  return reader.finished && range.count > 0 ? range : "names no range of sequences";
}

function encodeBase32(bytes: Buffer): string {
  let out = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += ALPHABET[(value >>> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? out + ALPHABET[(value << (5 - bits)) & 31] : out;
}

function decodeBase32(text: string): Buffer | undefined {
  const out: number[] = [];
  let bits = 0;
  let value = 0;
  for (const character of text) {
    value = (value << 5) | ALPHABET.indexOf(character);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.push((value >>> bits) & 255);
    }
    value &= (1 << bits) - 1;
  }
  return value === 0 ? Buffer.from(out) : undefined;
}
