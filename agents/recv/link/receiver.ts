// The receiving end of the link, whole and pure: datagrams and time in, contents in order out.
//
//   datagram ─► header ─► session (journal, epoch, key) ─► open ─► assembly ─► block ─► parts ─► order ─► deliver
//                                                              └─► heartbeat
//
// Whatever is refused is counted under its reason and changes nothing. No byte ever goes back.
import { FecCodec } from "../../../shared/fec/codec.ts";
import { decodeBlock } from "../../../shared/framing/block.ts";
import { decodeHeader, type Header, KIND_HEARTBEAT, KIND_MESSAGES } from "../../../shared/framing/header.ts";
import { decodeHeartbeat, type Heartbeat } from "../../../shared/framing/heartbeat.ts";
import type { Refusal } from "../../../shared/framing/reasons.ts";
import { openDatagram } from "../../../shared/framing/seal.ts";
import { type Assembled, Assembly } from "./assembly.ts";
import type { Filled } from "./gaps.ts";
import { type Delivery, type Gap, StreamOrder } from "./order.ts";
import { type Joined, PartJoiner } from "./parts.ts";
import { KeyRing, type LinkState, RETIRED_MAX, STREAMS_MAX } from "./session.ts";

export type ReceiverOptions = {
  readonly linkId: string;
  /** The live keys, 32 bytes each; none when datagrams carry a checksum only. */
  readonly linkKeys: readonly Uint8Array[];
  readonly patienceMs: number;
  readonly assemblyBytesMax: number;
  readonly holdBytesMax: number;
  /** Largest content of one block or of joined parts, compressed or not. */
  readonly contentBytesMax: number;
};

/** Why sequences are missing: lost on the way, or sent before this receiver first heard of the journal. */
export type GapReason = "gap" | "before-start";

export type ReceiverOutput = {
  deliver(stream: number, delivery: Delivery): void;
  /** Sequences `range.first` up to `range.end` of the content were in an open gap, and are here after all. */
  recover(stream: number, joined: Joined, range: Filled): void;
  gap(stream: number, gap: Gap, reason: GapReason): void;
  /**
   * `block` is the number of its block in this epoch. One that is `late` was passed by a brief one: what it says of
   * sources and paths is the newest there is, all else is not.
   */
  heartbeat(heartbeat: Heartbeat, block: number, late: boolean): void;
  /** A sender's journal that was not known; `retired` is the one it replaces. */
  journalChanged(journalId: bigint, retired: bigint | undefined): void;
  /** What had been sent before this receiver listened is known now. */
  sinceKnown(): void;
  /** The sender was started again, on the same journal. */
  epochChanged(epoch: bigint): void;
  /** Symbols that were lost on the way and computed from the others. */
  restored(symbols: number): void;
  refused(reason: Refusal, path: number, count: number): void;
};

/**
 * An unfinished block that the link has moved past gives up when it has got no symbol for so long, parts that would fill a
 * gap when they have got no other. Longer than any patience: what comes late still fills a gap, a slow path takes seconds
 * for a symbol and minutes for a part, and memory has bounds of its own.
 */
const SYMBOL_WAIT_MS = 60_000;
const PART_WAIT_MS = 600_000;

type Stream = { readonly order: StreamOrder; parts: PartJoiner };

export class Receiver {
  readonly #options: ReceiverOptions;
  readonly #output: ReceiverOutput;
  readonly #state: LinkState;
  readonly #keys: KeyRing;
  readonly #codec = FecCodec.shared();
  readonly #streams = new Map<number, Stream>();
  #assemblies: Record<number, Assembly>;
  #heartbeatBlock = 0;
  /** The same of the newest heartbeat with sections. */
  #sectionsBlock = 0;
  /** The header read last. */
  #last: Header | undefined;
  /** Of the headers of the run that is followed. */
  #run: Header["run"];
  #arrivals = 0;

  constructor(options: ReceiverOptions, state: LinkState, output: ReceiverOutput) {
    this.#options = options;
    this.#state = state;
    this.#output = output;
    this.#keys = new KeyRing(options.linkId, options.linkKeys);
    this.#assemblies = this.#newAssemblies();
    for (const stream of state.expected.keys()) this.#stream(stream);
  }

  /** What must be kept so that nothing is delivered twice; up to date after every call. */
  get state(): LinkState {
    for (const [number, stream] of this.#streams) this.#state.expected.set(number, stream.order.expected);
    return this.#state;
  }

  /** Takes other live keys, at once. */
  setKeys(linkKeys: readonly Uint8Array[]): void {
    this.#keys.setKeys(linkKeys);
  }

  /** Bytes that wait for something: symbols, parts and contents behind holes. */
  get waitingBytes(): number {
    let sum = 0;
    for (const assembly of Object.values(this.#assemblies)) sum += assembly.bytes;
    for (const stream of this.#streams.values()) sum += stream.order.heldBytes + stream.parts.bytes;
    return sum;
  }

  /** Datagrams that have come. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** True when nothing of the first so many datagrams waits in memory for what is still to come. */
  isSettled(arrivals: number): boolean {
    const waits = (oldest: number | undefined) => oldest !== undefined && oldest <= arrivals;
    if (waits(this.#assemblies[KIND_MESSAGES]?.oldest)) return false;
    for (const { order, parts } of this.#streams.values())
      if (waits(order.oldest) || waits(parts.oldest)) return false;
    return true;
  }

  /** Takes one datagram that came on path number `path`. */
  receive(datagram: Buffer, path: number, nowMs: number): void {
    this.#arrivals++;
    const refusal = this.#take(datagram, nowMs);
    if (refusal !== undefined) this.#output.refused(refusal, path, 1);
  }

  /** To be called every few milliseconds: gives up what has waited too long. */
  tick(nowMs: number): void {
    for (const assembly of Object.values(this.#assemblies)) assembly.evictPassed(nowMs, SYMBOL_WAIT_MS);
    for (const [number, stream] of this.#streams) {
      stream.order.tick(nowMs);
      const { expected } = stream.order;
      const judge = (first: number, end: number) =>
        end > expected ? "awaited" : this.#state.gaps.wants(number, first, end) ? "late" : "over";
      this.#noteEvictedParts(stream.parts.evict(nowMs - PART_WAIT_MS, judge));
    }
  }

  #noteEvictedParts(contents: number): void {
    if (contents > 0) this.#output.refused("part-evicted", -1, contents);
  }

  #take(datagram: Buffer, nowMs: number): Refusal | undefined {
    const header = decodeHeader(datagram, this.#last);
    if (typeof header === "string") return header;
    this.#last = header;
    if (header.stream >= STREAMS_MAX) return "header";
    const key = this.#keys.find(header);
    if (typeof key === "string") return key;
    const known = this.#known(header);
    if (known !== "current" && known !== "new") return known;
    const assembly = this.#assemblies[header.kind];
    const useless = known === "current" ? assembly?.judge(header.block) : undefined;
    if (useless !== undefined) return useless;
    const symbol = openDatagram(datagram, key.key);
    if (symbol === undefined) return "tag";
    if (known === "new") this.#adopt(header);
    const block = this.#assemblies[header.kind]?.add(header, symbol, nowMs, this.#arrivals);
    if (block === undefined || typeof block === "string") return block;
    return header.kind === KIND_HEARTBEAT
      ? this.#takeHeartbeat(header.block, block.bytes, nowMs)
      : this.#takeMessages(block, nowMs);
  }

  #takeMessages({ stream: number, bytes, since }: Assembled, nowMs: number): Refusal | undefined {
    const block = decodeBlock(bytes);
    if (block === undefined) return "block-malformed";
    const stream = this.#stream(number);
    // What comes late although it was sent before shows that what lies behind it might have come, too.
    if (!this.#state.isSinceKnown || this.#state.since.has(number)) this.#noteSince(number, block.first);
    const end = block.first + block.count;
    const isWanted = end > stream.order.expected || this.#state.gaps.wants(number, block.first, end);
    if (!isWanted) return "sequence-delivered";
    const joined = stream.parts.add(block, nowMs, since, (contents) => this.#noteEvictedParts(contents));
    if (joined === undefined || typeof joined === "string") return joined;
    const recovered = this.#state.gaps.fill(number, joined.first, end);
    for (const range of recovered) this.#output.recover(number, joined, range);
    return stream.order.add(joined, nowMs) || recovered.length > 0 ? undefined : "sequence-delivered";
  }

  #takeHeartbeat(number: number, bytes: Uint8Array, nowMs: number): Refusal | undefined {
    // One that was longer on its way than its successor has nothing new to say, unless that one was brief.
    if (number < this.#sectionsBlock) return "surplus";
    const block = decodeBlock(bytes);
    const whole =
      block !== undefined && !block.compressed && block.parts === 1 && block.first === 0 && block.count === 1;
    const heartbeat = whole ? decodeHeartbeat(block.piece) : undefined;
    if (heartbeat === undefined) return "heartbeat-malformed";
    if (heartbeat.streams.some((entry) => entry.stream >= STREAMS_MAX)) return "heartbeat-malformed";
    const isBrief = heartbeat.sections.length === 0;
    const isLate = number < this.#heartbeatBlock;
    if (isLate && isBrief) return "surplus";
    if (!isBrief) this.#sectionsBlock = number;
    if (isLate) {
      this.#output.heartbeat(heartbeat, number, true);
      return undefined;
    }
    for (const entry of heartbeat.streams) this.#stream(entry.stream).order.noteSent(entry.sent, nowMs);
    if (!this.#state.isSinceKnown) {
      for (const { stream, sent } of heartbeat.streams) this.#noteSince(stream, sent);
      this.#state.isSinceKnown = true;
      this.#output.sinceKnown();
    }
    this.#heartbeatBlock = number;
    this.#output.heartbeat(heartbeat, number, false);
    return undefined;
  }

  /** Whether the datagram is of the run we follow, of one that replaces it, or of one that is over. */
  #known(header: Header): "current" | "new" | Refusal {
    const state = this.#state;
    if (header.run !== undefined && header.run === this.#run) return "current";
    if (header.journalId === state.journalId) {
      if (header.epoch === state.epoch) {
        this.#run = header.run;
        return "current";
      }
      return header.epoch < state.epoch ? "epoch-old" : "new";
    }
    return state.retired.has(header.journalId) ? "journal-retired" : "new";
  }

  /** Follows a new run. The datagram that names it was authenticated with a live key. */
  #adopt(header: Header): void {
    const state = this.#state;
    this.#run = undefined;
    this.#heartbeatBlock = 0;
    this.#sectionsBlock = 0;
    this.#assemblies = this.#newAssemblies();
    if (header.journalId === state.journalId) {
      state.epoch = header.epoch;
      for (const stream of this.#streams.values()) stream.parts = this.#newParts();
      this.#output.epochChanged(header.epoch);
      return;
    }
    for (const stream of this.#streams.values()) stream.order.flush();
    const retired = state.journalId;
    if (retired !== undefined) this.#retire(retired);
    state.journalId = header.journalId;
    state.epoch = header.epoch;
    state.expected.clear();
    state.since.clear();
    // Whoever followed another journal before was listening when this one began, or should have been.
    state.isSinceKnown = retired !== undefined;
    state.ledgerBase = undefined;
    state.gaps.clear();
    this.#streams.clear();
    this.#output.journalChanged(header.journalId, retired);
  }

  #retire(journalId: bigint): void {
    const { retired } = this.#state;
    retired.add(journalId);
    for (const oldest of retired) {
      if (retired.size <= RETIRED_MAX) return;
      retired.delete(oldest);
    }
  }

  #stream(number: number): Stream {
    const known = this.#streams.get(number);
    if (known !== undefined) return known;
    const { patienceMs, holdBytesMax } = this.#options;
    const order = new StreamOrder(this.#state.expected.get(number) ?? 0, patienceMs, holdBytesMax, {
      deliver: (delivery) => this.#output.deliver(number, delivery),
      gap: (gap) => this.#noteGap(number, gap),
    });
    const stream = { order, parts: this.#newParts() };
    this.#streams.set(number, stream);
    return stream;
  }

  /** The lowest sequence heard of counts. */
  #noteSince(stream: number, sequence: number): void {
    const { since } = this.#state;
    since.set(stream, Math.min(since.get(stream) ?? sequence, sequence));
  }

  /** What was sent before we listened is no loss of the link's. */
  #noteGap(stream: number, { first, count }: Gap): void {
    const since = this.#state.since.get(stream) ?? 0;
    const before = Math.min(count, Math.max(0, since - first));
    if (before > 0) this.#output.gap(stream, { first, count: before }, "before-start");
    if (before < count) this.#output.gap(stream, { first: first + before, count: count - before }, "gap");
  }

  #newParts(): PartJoiner {
    return new PartJoiner(this.#options.contentBytesMax, this.#options.assemblyBytesMax);
  }

  #newAssemblies(): Record<number, Assembly> {
    const evicted = (count: number) => this.#output.refused("block-evicted", -1, count);
    const restored = (symbols: number) => this.#output.restored(symbols);
    const make = () => new Assembly(this.#codec, this.#options.assemblyBytesMax, evicted, restored);
    return { [KIND_MESSAGES]: make(), [KIND_HEARTBEAT]: make() };
  }
}
