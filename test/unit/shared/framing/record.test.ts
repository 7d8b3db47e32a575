import { describe, expect, test } from "bun:test";
import { encodeRecordHeader, RecordDecoder, type RecordFault } from "../../../../shared/framing/record.ts";

class Taken {
  readonly datagrams: string[] = [];
  readonly skipped: Partial<Record<RecordFault, number>> = {};
  readonly decoder = new RecordDecoder({
    datagram: (datagram) => this.datagrams.push(datagram.toString("latin1")),
    skipped: (reason, bytes) => {
      expect(bytes).toBeGreaterThan(0);
      this.skipped[reason] = (this.skipped[reason] ?? 0) + bytes;
    },
  });

  /** All at once, or in pieces of that many bytes. */
  push(bytes: Buffer, pieceBytes = bytes.length || 1): this {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      // Each piece is overwritten afterwards, as a reused read buffer would be.
      const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
      this.decoder.push(piece);
      piece.fill(0x54);
    }
    return this;
  }
}

function record(datagram: string): Buffer {
  return Buffer.concat([encodeRecordHeader(datagram.length), Buffer.from(datagram, "latin1")]);
}

/** A small generator, so that a failure can be repeated from its seed. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function makeDatagrams(random: (below: number) => number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const body = Array.from({ length: 1 + random(60) }, () => String.fromCharCode(random(256)));
    return `${index}:${body.join("")}`;
  });
}

const END_MARK = encodeRecordHeader(0);

test("encodeRecordHeader() writes magic, length and complement, big-endian", () => {
  expect(encodeRecordHeader(0x0578).toString("hex")).toBe("544744310578fa87");
  expect(END_MARK.toString("hex")).toBe("544744310000ffff");
});

describe("RecordDecoder", () => {
  test("gives every datagram of a stream cut at every size of pieces", () => {
    const datagrams = ["a", "TGD1", "b".repeat(3000), "T", "TG", "c"];
    const stream = Buffer.concat(datagrams.map(record));
    for (let size = 1; size < 40; size++) {
      const taken = new Taken().push(stream, size);
      expect(taken.datagrams).toEqual(datagrams);
      expect(taken.skipped).toEqual({});
      expect(taken.decoder.pendingBytes).toBe(0);
    }
  });

  test("gives a datagram as soon as its last byte is here", () => {
    const taken = new Taken().push(record("x"));
    expect(taken.datagrams).toEqual(["x"]);
  });

  test("takes the largest datagram and refuses a length that none has", () => {
    const largest = "z".repeat(65_507);
    const tooLong = encodeRecordHeader(65_508);
    const taken = new Taken().push(Buffer.concat([record(largest), tooLong, record("after")]), 1000);
    expect(taken.datagrams).toEqual([largest, "after"]);
    expect(taken.skipped).toEqual({ length: 8 });
  });

  test("finds the next record after garbage of every length", () => {
    for (let length = 1; length < 40; length++) {
      const garbage = Buffer.alloc(length, "TGD");
      const taken = new Taken().push(Buffer.concat([record("a"), garbage, record("b")]), 3);
      expect(taken.datagrams).toEqual(["a", "b"]);
      expect(taken.skipped.garbage).toBe(length);
    }
  });

  test("loses one record to any one lost byte", () => {
    const datagrams = ["first record", "TGD1 second", "third", "fourth"];
    const stream = Buffer.concat(datagrams.map(record));
    for (let at = 0; at < stream.length; at++) {
      const damaged = Buffer.concat([stream.subarray(0, at), stream.subarray(at + 1)]);
      const taken = new Taken().push(damaged, 5);
      taken.decoder.end();
      const whole = datagrams.filter((datagram) => taken.datagrams.includes(datagram));
      expect(whole.length).toBeGreaterThanOrEqual(datagrams.length - 1);
    }
  });

  test("loses one record to any one flipped bit", () => {
    const datagrams = ["first record", "TGD1 second", "third", "fourth"];
    const stream = Buffer.concat(datagrams.map(record));
    for (let bit = 0; bit < stream.length * 8; bit++) {
      const damaged = Buffer.from(stream);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const taken = new Taken().push(damaged, 7);
      taken.decoder.end();
      const whole = datagrams.filter((datagram) => taken.datagrams.includes(datagram));
      expect(whole.length).toBeGreaterThanOrEqual(datagrams.length - 1);
    }
  });

  test("finds the records that a false length had swallowed", () => {
    const falseLength = encodeRecordHeader(2000);
    const inner = Array.from({ length: 20 }, (_, index) => `record ${index}`);
    const taken = new Taken();
    taken.push(Buffer.concat([falseLength, ...inner.map(record)]));
    expect(taken.datagrams).toEqual([]);
    taken.decoder.end();
    expect(taken.datagrams).toEqual(inner);
    expect(taken.skipped).toEqual({ cut: 8 });
  });

  test("tells the end mark from a stream that was cut", () => {
    const file = Buffer.concat([record("a"), record("b"), END_MARK]);
    for (let end = 0; end <= file.length; end++) {
      const taken = new Taken().push(file.subarray(0, end), 4);
      expect(taken.decoder.atEndMark).toBe(end === file.length);
    }
    expect(new Taken().push(file).datagrams).toEqual(["a", "b"]);
    const more = new Taken().push(Buffer.concat([file, record("c")]));
    expect(more.decoder.atEndMark).toBe(false);
    expect(more.datagrams).toEqual(["a", "b", "c"]);
  });

  test("accounts for every byte of a stream damaged at random", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = makeRandom(seed);
      const datagrams = makeDatagrams(random, 60);
      const pieces = datagrams.map(record);
      let touched = 0;
      const damaged = pieces.map((piece) => {
        if (random(6) !== 0) return piece;
        touched++;
        const from = random(piece.length);
        const to = Math.min(piece.length, from + 1 + random(8));
        if (random(2) === 0) return Buffer.concat([piece.subarray(0, from), piece.subarray(to)]);
        return Buffer.concat([
          piece.subarray(0, from),
          Buffer.alloc(to - from, random(256)),
          piece.subarray(to),
        ]);
      });
      const stream = Buffer.concat(damaged);
      const taken = new Taken().push(stream, 1 + random(200));
      taken.decoder.end();
      const whole = datagrams.filter((datagram) => taken.datagrams.includes(datagram));
      expect({ seed, lost: datagrams.length - whole.length <= touched }).toEqual({ seed, lost: true });
      const skipped = Object.values(taken.skipped).reduce((sum, bytes) => sum + bytes, 0);
      expect(skipped).toBeLessThanOrEqual(stream.length);
    }
  });

  test("holds little and looks at little twice, whatever comes", () => {
    const random = makeRandom(7);
    let emitted = 0;
    let input = 0;
    const decoder = new RecordDecoder({
      datagram: (datagram) => {
        emitted += datagram.length;
      },
      skipped: () => {},
    });
    // A beginning every 8 bytes, each of which claims the longest datagram.
    const flood = Buffer.concat(Array.from({ length: 8192 }, () => encodeRecordHeader(65_507)));
    for (let round = 0; round < 60; round++) {
      const chunk = random(4) === 0 ? Buffer.alloc(1 + random(70_000), random(256)) : flood;
      decoder.push(chunk);
      input += chunk.length;
      expect(decoder.pendingBytes).toBeLessThanOrEqual(65_515);
    }
    expect(emitted).toBeLessThan(6 * input + 1_000_000);
  });
});
