// Cuts the bytes that a client sends into MQTT control packets [MQTT5 2.1], in place where a packet lies whole in one
// chunk; an idle connection holds nothing. Refuses: a first packet that is not CONNECT, a remaining length over four bytes
// (or, in MQTT 5, longer than needed [MQTT-1.5.5-1]), packets that only a server sends, wrong fixed header flags, packets that are
// too large, and more unfinished packets than the budget that all connections share has room for.
import type { ProtocolVersion } from "./connect-packet.ts";
import { breach, type Flaw, malformed } from "./flaw.ts";
import { REASON } from "./reason-code.ts";

export const TYPE = {
  connect: 1,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14,
  auth: 15,
} as const;

/** The flags each packet type must have; undefined: a server never receives it [MQTT5 2.1.3]. PUBLISH has its own. */
const REQUIRED_FLAGS: readonly (number | undefined)[] = [
  ...[undefined, 0, undefined, 0, 0, 0, 2, 0],
  ...[2, undefined, 2, undefined, 0, undefined, 0, 0],
];
/** Client id, user name, password, will: what a CONNECT can hold in earnest. */
const CONNECT_BYTES_MAX = 262_144;
const CONTROL_BYTES_MAX = 262_144;
/** Topic length, topic, packet id: what tells an operator which message was too large. */
const HEAD_BYTES_MAX = 2 + 65_535 + 2;
const FIRST_BYTES = 1024;

/** hold: nothing more is taken until resume() · stop: nothing more is taken, ever. */
export type Verdict = undefined | "hold" | "stop";

export type ClientPackets = {
  /** A whole packet is bytes[start, end), its variable header begins at bodyStart. The bytes are lent for the call. */
  onPacket(bytes: Buffer, start: number, bodyStart: number, end: number): Verdict;
  /**
   * A PUBLISH over the maximum has gone by, or, in MQTT 5, has begun: its first byte, the first bytes of its body as far
   * as they are known, and its size.
   */
  onOversize(firstByte: number, head: Buffer, packetBytes: number): Verdict;
  onFlaw(flaw: Flaw): void;
};

/** What all unfinished packets together may hold. */
export class PartialBudget {
  #bytes = 0;
  constructor(readonly bytesMax: number) {}
  get bytes(): number {
    return this.#bytes;
  }
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }
  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }
}

type Header = { readonly bodyBytes: number; readonly headerBytes: number };
type Skip = { left: number; readonly firstByte: number; readonly bytes: number; head: Buffer };
const EMPTY = Buffer.alloc(0);

export class ClientStream {
  readonly #sink: ClientPackets;
  readonly #budget: PartialBudget;
  readonly #publishBytesMax: number;
  /** Set by the owner once CONNECT has come. */
  version: ProtocolVersion | undefined;
  /** The beginning of a packet that is not whole yet, `#filled` bytes of it. */
  #partial: Buffer | undefined;
  #filled = 0;
  /** Of an oversize PUBLISH that is being passed over. */
  #skip: Skip | undefined;
  #held: Buffer | undefined;
  #isStopped = false;

  constructor(sink: ClientPackets, budget: PartialBudget, publishBytesMax: number) {
    this.#sink = sink;
    this.#budget = budget;
    this.#publishBytesMax = publishBytesMax;
  }

  /** True while resume() is waited for. */
  get isHeld(): boolean {
    return this.#held !== undefined;
  }

  push(chunk: Buffer): void {
    if (this.#isStopped) return;
    if (this.#held !== undefined) {
      this.#held = Buffer.concat([this.#held, chunk]);
      return;
    }
    let at = 0;
    while (at < chunk.length && !this.#isStopped) {
      const next = this.#step(chunk, at);
      if (typeof next !== "number") {
        this.stop();
        this.#sink.onFlaw(next);
        return;
      }
      at = next;
      if (this.isHeld) {
        this.#held = Buffer.from(chunk.subarray(at));
        return;
      }
    }
  }

  resume(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined && held.length > 0) this.push(held);
  }

  /** Lets go of all it holds. */
  stop(): void {
    this.#isStopped = true;
    this.#held = undefined;
    this.#dropPartial();
  }

  /** Takes one packet or what there is of it; where to go on. */
  #step(chunk: Buffer, at: number): number | Flaw {
    if (this.#skip !== undefined) return this.#pass(this.#skip, chunk, at);
    if (this.#partial !== undefined) return this.#complete(chunk, at);
    const header = this.#measure(chunk, at, chunk.length);
    if (header === undefined) return this.#stash(chunk, at, chunk.length);
    if ("why" in header) return header;
    const end = at + header.headerBytes + header.bodyBytes;
    if (this.#isOversize(chunk[at] as number, header)) return this.#refuseOversize(chunk, at, header);
    if (end > chunk.length) return this.#stash(chunk, at, chunk.length);
    this.#judge(this.#sink.onPacket(chunk, at, at + header.headerBytes, end));
    return end;
  }

  /** Adds to the unfinished packet. Its header may be unfinished, too: then it takes one byte at a time. */
  #complete(chunk: Buffer, at: number): number | Flaw {
    const partial = this.#partial as Buffer;
    const header = this.#measure(partial, 0, this.#filled);
    if (header === undefined) {
      const next = this.#stash(chunk, at, at + 1);
      if (typeof next !== "number") return next;
      const known = this.#measure(this.#partial as Buffer, 0, this.#filled);
      if (known === undefined) return next;
      if ("why" in known) return known;
      const bytes = this.#partial as Buffer;
      if (this.#isOversize(bytes[0] as number, known)) {
        const refused = this.#refuseOversize(bytes, 0, known);
        this.#dropPartial();
        return typeof refused === "number" ? next : refused;
      }
      return known.bodyBytes === 0 ? this.#deliver(known, next) : next;
    }
    if ("why" in header) return header;
    const missing = header.headerBytes + header.bodyBytes - this.#filled;
    const next = this.#stash(chunk, at, Math.min(chunk.length, at + missing), this.#filled + missing);
    if (typeof next !== "number" || next - at < missing) return next;
    return this.#deliver(header, next);
  }

  #deliver(header: Header, next: number): number {
    const packet = this.#partial as Buffer;
    this.#dropPartial();
    const end = header.headerBytes + header.bodyBytes;
    this.#judge(this.#sink.onPacket(packet, 0, header.headerBytes, end));
    return next;
  }

  /** Copies chunk[from, to) behind what is there; memory grows with what has come, not with what was announced. */
  #stash(chunk: Buffer, from: number, to: number, packetBytes?: number): number | Flaw {
    const needed = this.#filled + to - from;
    const partial = this.#partial;
    if (partial === undefined || partial.length < needed) {
      const grown = Math.max(needed, Math.min(packetBytes ?? FIRST_BYTES, needed * 2), FIRST_BYTES);
      if (!this.#budget.take(grown - (partial?.length ?? 0)))
        return { code: REASON.quotaExceeded, why: "too many packets are unfinished at a time" };
      const bigger = Buffer.allocUnsafe(grown);
      partial?.copy(bigger, 0, 0, this.#filled);
      this.#partial = bigger;
    }
    chunk.copy(this.#partial as Buffer, this.#filled, from, to);
    this.#filled = needed;
    return to;
  }

  #dropPartial(): void {
    if (this.#partial !== undefined) this.#budget.giveBack(this.#partial.length);
    this.#partial = undefined;
    this.#filled = 0;
  }

  #judge(verdict: Verdict): void {
    if (verdict === "stop") this.stop();
    else if (verdict === "hold") this.#held = EMPTY;
  }

  /** Reads a fixed header: its sizes, what is wrong with it, undefined when bytes are missing. */
  #measure(bytes: Buffer, start: number, end: number): Header | Flaw | undefined {
    const first = bytes[start] as number;
    const type = first >> 4;
    if (type === TYPE.publish && this.version !== undefined) {
      if ((first & 0x06) === 0x06) return malformed("PUBLISH has QoS 3"); // [MQTT-3.3.1-4]
      if ((first & 0x0e) === 0x08) return malformed("PUBLISH of QoS 0 has the DUP flag"); // [MQTT-3.3.1-2]
    } else {
      const flaw = this.#checkType(first, type);
      if (flaw !== undefined) return flaw;
    }
    let bodyBytes = 0;
    for (let i = 0; i < 4; i++) {
      if (start + 1 + i >= end) return undefined;
      const byte = bytes[start + 1 + i] as number;
      bodyBytes += (byte & 0x7f) * 128 ** i;
      if (byte >= 0x80) continue;
      if (byte === 0 && i > 0 && this.version === 5)
        return malformed("the remaining length is longer than needed");
      const bytesMax = type === TYPE.connect ? CONNECT_BYTES_MAX : CONTROL_BYTES_MAX;
      if (type !== TYPE.publish && bodyBytes > bytesMax)
        return { code: REASON.packetTooLarge, why: `packet type ${type} has ${bodyBytes} bytes` };
      return { bodyBytes, headerBytes: 2 + i };
    }
    return malformed("the remaining length is over four bytes");
  }

  #checkType(first: number, type: number): Flaw | undefined {
    if (this.version === undefined && type !== TYPE.connect)
      return breach(`the first packet has the type ${type}, must be CONNECT`); // [MQTT-3.1.0-1]
    const flags = type === TYPE.auth && this.version !== 5 ? undefined : REQUIRED_FLAGS[type];
    if (flags === undefined)
      return type === 0 || (type === TYPE.auth && this.version !== 5)
        ? malformed(`packet type ${type} does not exist`)
        : breach(`packet type ${type} is not for a server`);
    // MQTT 3.1 has no fixed flags: SUBSCRIBE, UNSUBSCRIBE and PUBREL of QoS 1, perhaps sent again.
    if (this.version === 3 || (first & 0x0f) === flags) return undefined;
    return malformed(`packet type ${type} has the flags ${first & 0x0f}, must be ${flags}`);
  }

  #isOversize(firstByte: number, { bodyBytes, headerBytes }: Header): boolean {
    return firstByte >> 4 === TYPE.publish && bodyBytes + headerBytes > this.#publishBytesMax;
  }

  #refuseOversize(bytes: Buffer, at: number, header: Header): number {
    const firstByte = bytes[at] as number;
    const packetBytes = header.headerBytes + header.bodyBytes;
    // An MQTT 5 client was told the maximum: it need not be listened to any longer [MQTT-3.2.2-15].
    if (this.version === 5) this.#judge(this.#sink.onOversize(firstByte, EMPTY, packetBytes));
    else this.#skip = { left: header.bodyBytes, firstByte, bytes: packetBytes, head: EMPTY };
    return at + header.headerBytes;
  }

  #pass(skip: Skip, chunk: Buffer, at: number): number {
    const taken = Math.min(skip.left, chunk.length - at);
    const wanted = Math.min(taken, HEAD_BYTES_MAX - skip.head.length);
    if (wanted > 0) skip.head = Buffer.concat([skip.head, chunk.subarray(at, at + wanted)]);
    skip.left -= taken;
    if (skip.left === 0) {
      this.#skip = undefined;
      this.#judge(this.#sink.onOversize(skip.firstByte, skip.head, skip.bytes));
    }
    return at + taken;
  }
}
