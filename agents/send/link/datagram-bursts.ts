// Hands datagrams to the kernel in as few calls as it can: many in one call, and, where the kernel can cut them itself, those that
// lie one behind the other as one. Whatever the kernel will not cut goes out datagram by datagram.

/** What one call may be cut into [udp(7), UDP_MAX_SEGMENTS]. */
const SEGMENTS_MAX = 64;
/** What one call may hold: an IP packet, less the largest headers. */
const RUN_BYTES_MAX = 65_000;

export type Packet = Buffer | number | string;

export class DatagramBursts {
  readonly #sendMany: (packets: readonly Packet[]) => number;
  readonly #setSegmentBytes: (bytes: number) => boolean;
  #cuts: boolean;
  #segmentBytes = 0;

  /**
   * `sendMany` takes datagram, port and address in turns, says how many datagrams the kernel took, and throws what it
   * refused. `setSegmentBytes` has what is sent cut into datagrams of this size, 0 not; it is left out, or says false, where
   * that can not be.
   */
  constructor(
    sendMany: (packets: readonly Packet[]) => number,
    setSegmentBytes?: (bytes: number) => boolean,
  ) {
    this.#sendMany = sendMany;
    this.#setSegmentBytes = setSegmentBytes ?? (() => false);
    this.#cuts = setSegmentBytes !== undefined;
  }

  /** How many of the datagrams the kernel took. Throws when it refused the first. */
  send(datagrams: readonly Buffer[], port: number, address: string): number {
    let sent = 0;
    while (sent < datagrams.length) {
      const run = this.#cuts ? countRun(datagrams, sent) : 1;
      const end = run > 1 ? sent + run : this.#findEnd(datagrams, sent);
      try {
        sent += this.#sendPart(datagrams, sent, end, run > 1, port, address);
      } catch (error) {
        // What went before is gone: the next call will tell.
        if (sent === 0) throw error;
        break;
      }
      if (sent < end) break;
    }
    return sent;
  }

  #sendPart(
    datagrams: readonly Buffer[],
    begin: number,
    end: number,
    isRun: boolean,
    port: number,
    address: string,
  ): number {
    if (isRun && this.#cut(datagrams[begin]?.length ?? 0)) {
      try {
        return this.#sendMany([joinRun(datagrams, begin, end), port, address]) === 1 ? end - begin : 0;
      } catch {
        // Perhaps it can not be cut: without, it goes out, or tells why not.
      }
    }
    this.#cut(0);
    const packets: Packet[] = [];
    for (let index = begin; index < end; index++) packets.push(datagrams[index] as Buffer, port, address);
    const taken = this.#sendMany(packets);
    if (isRun && taken > 0) this.#cuts = false;
    return taken;
  }

  #cut(bytes: number): boolean {
    if (bytes === this.#segmentBytes) return true;
    if (!this.#setSegmentBytes(bytes)) return false;
    this.#segmentBytes = bytes;
    return true;
  }

  /** Where the next run begins, or the end. */
  #findEnd(datagrams: readonly Buffer[], from: number): number {
    if (!this.#cuts) return datagrams.length;
    let at = from + 1;
    while (at < datagrams.length && countRun(datagrams, at) === 1) at++;
    return at;
  }
}

/** How many datagrams from `from` on have one size and lie one behind the other. */
function countRun(datagrams: readonly Buffer[], from: number): number {
  const first = datagrams[from] as Buffer;
  const { buffer, byteOffset, length } = first;
  const most = Math.min(datagrams.length - from, SEGMENTS_MAX, Math.floor(RUN_BYTES_MAX / length));
  let count = 1;
  for (; count < most; count++) {
    const next = datagrams[from + count] as Buffer;
    const isBehind = next.byteOffset === byteOffset + count * length && next.buffer === buffer;
    if (!isBehind || next.length !== length) break;
  }
  return Math.max(1, count);
}

function joinRun(datagrams: readonly Buffer[], begin: number, end: number): Buffer {
  const first = datagrams[begin] as Buffer;
  return Buffer.from(first.buffer, first.byteOffset, first.length * (end - begin));
}
