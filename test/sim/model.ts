// What an all-knowing observer has seen: every message that was published, where each is, and what may and may not
// happen to it. It looks at the agents from outside only: what they acknowledge, what is on their disks, what they
// publish. The first thing that breaks a promise is kept as the violation; the simulation ends there.
import { decodeContent } from "../../shared/framing/content.ts";
import type { Message } from "../../shared/message.ts";
import type { ReadRow } from "../../shared/store/block-log.ts";

export type Fate = "kept" | "filtered" | "oversize";

/** Where a message is in the sender's journal. `lost`: a disaster that the durability allows took it from there. */
export type Place = {
  readonly journal: bigint;
  readonly stream: number;
  readonly sequence: number;
  readonly version: number;
  lost: boolean;
};

export type Published = {
  readonly id: number;
  readonly message: Message;
  readonly fate: Fate;
  acknowledged: boolean;
  place: Place | undefined;
  /** Where it is in the receiver's spool, or was before it was released. */
  spool: { readonly row: number; readonly index: number; readonly version: number } | undefined;
};

type Lane = { readonly messages: Map<number, Published>; held: number[] };

export class Model {
  readonly messages: Published[] = [];
  violation: string | undefined;
  /** Messages taken in by the present run of the sender that are not in its journal yet. */
  readonly waiting = new Set<number>();
  /** Journal, stream and sequence to the message; and the sequences that messages have, in order. */
  readonly #lanes = new Map<bigint, Map<number, Lane>>();

  violate(what: string): void {
    this.violation ??= what;
  }

  /** The number that a message carries in the first bytes of its payload. */
  find(payload: Uint8Array): Published | undefined {
    if (payload.length < 4) return undefined;
    return this.messages[Buffer.from(payload.buffer, payload.byteOffset, 4).readUInt32BE(0)];
  }

  publish(published: Published): void {
    this.messages.push(published);
    if (published.fate === "kept") this.waiting.add(published.id);
  }

  /** The sender has told the publisher that the message is kept. */
  acknowledge(published: Published, durableVersion: number): void {
    if (published.acknowledged) this.violate(`message ${published.id} was acknowledged twice`);
    published.acknowledged = true;
    if (published.fate !== "kept") return;
    const { place } = published;
    if (place === undefined || place.version > durableVersion)
      this.violate(`message ${published.id} was acknowledged before it was kept`);
  }

  /** Rows that are in the sender's journal now. */
  journaled(journal: bigint, rows: readonly ReadRow[], version: number): void {
    for (const { stream, first, count, content } of rows) {
      const frames = decodeContent(content, count);
      if (frames === undefined) this.violate(`the journal took a content that does not parse`);
      let sequence = first;
      for (const frame of frames ?? []) {
        if (frame.type === "message") this.#place(journal, stream, sequence, version, frame.message);
        sequence += frame.type === "message" ? 1 : frame.count;
      }
    }
  }

  #place(journal: bigint, stream: number, sequence: number, version: number, message: Message): void {
    const published = this.find(message.payload);
    if (published === undefined) {
      this.violate("the journal took a message that nobody has published");
      return;
    }
    const lane = this.#lane(journal, stream);
    const other = lane.messages.get(sequence);
    if (other !== undefined)
      this.violate(`sequence ${sequence} of stream ${stream} names message ${other.id} and ${published.id}`);
    lane.messages.set(sequence, published);
    lane.held.push(sequence);
    published.place = { journal, stream, sequence, version, lost: false };
    this.waiting.delete(published.id);
  }

  /** Messages of a stream in the journal's books, from `sequence` on. */
  countFrom(journal: bigint, stream: number, sequence: number): number {
    const list = this.#lane(journal, stream).held;
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((list[middle] ?? 0) >= sequence) high = middle;
      else low = middle + 1;
    }
    return list.length - low;
  }

  /** What the sender's disk has lost: all that was written after `version`. */
  sendDiskLost(version: number): void {
    for (const { place } of this.messages) if (place && place.version > version) place.lost = true;
    for (const streams of this.#lanes.values()) {
      for (const lane of streams.values()) {
        lane.held = lane.held.filter((sequence) => lane.messages.get(sequence)?.place?.lost === false);
      }
    }
  }

  #lane(journal: bigint, stream: number): Lane {
    const streams = this.#lanes.get(journal) ?? new Map<number, Lane>();
    if (streams.size === 0) this.#lanes.set(journal, streams);
    const lane = streams.get(stream) ?? { messages: new Map<number, Published>(), held: [] };
    if (lane.messages.size === 0) streams.set(stream, lane);
    return lane;
  }

  /** Rows that are in the receiver's spool now. */
  spooled(rows: readonly ReadRow[], version: number): void {
    for (const { id: row, count, skip, content } of rows) {
      let at = 0;
      let index = 0;
      for (const frame of decodeContent(content, count) ?? []) {
        if (frame.type === "message" && at >= skip) this.#spool(frame.message, row, index++, version);
        at += frame.type === "message" ? 1 : frame.count;
      }
    }
  }

  #spool(message: Message, row: number, index: number, version: number): void {
    const published = this.find(message.payload);
    if (published === undefined) {
      this.violate("the spool took a message that nobody has published");
      return;
    }
    if (published.spool !== undefined) this.violate(`message ${published.id} came over the link twice`);
    if (published.place === undefined)
      this.violate(`message ${published.id} came over the link before it was in the journal`);
    published.spool = { row, index, version };
  }

  /** What the receiver's disk has lost: all that was written after `version`. */
  recvDiskLost(version: number): void {
    for (const published of this.messages) {
      if (published.spool && published.spool.version > version) published.spool = undefined;
    }
  }
}
