// What one target has got, and whether it was right: the same bytes, once, in the order of its stream. A receiver that
// dies may publish again what its saved cursor does not cover; this book knows exactly which messages those are.
import type { Message } from "../../shared/message.ts";
import type { Model, Published } from "./model.ts";

type Delivery = {
  readonly published: Published;
  settled: boolean;
  /** The version of the receiver's disk that knows of it. */
  saved: number | undefined;
};

export class TargetBook {
  readonly name: string;
  readonly #model: Model;
  /** True for a sequence that came after it had been given up: it has no place in the order any more. */
  readonly #isRecovered: (published: Published) => boolean;
  readonly #final = new Map<number, Delivery>();
  readonly #ever = new Set<number>();
  #recent = new Map<number, Delivery>();
  #last = new Map<string, number>();

  constructor(name: string, model: Model, isRecovered: (published: Published) => boolean) {
    this.name = name;
    this.#model = model;
    this.#isRecovered = isRecovered;
  }

  /** Messages that the target has, counted once each since the spool began. */
  get count(): number {
    return this.#final.size + this.#recent.size;
  }

  has(id: number): boolean {
    return this.#ever.has(id);
  }

  /** The agent publishes; what is returned is to be called when the target has acknowledged. */
  take(message: Message): () => void {
    const published = this.#model.find(message.payload);
    if (published === undefined || !isSame(published.message, message)) {
      this.#model.violate(`${this.name} got a message that nobody has published like that`);
      return () => {};
    }
    const { id } = published;
    if (published.fate !== "kept")
      this.#model.violate(`${this.name} got message ${id}, which was ${published.fate}`);
    if (published.spool === undefined)
      this.#model.violate(`${this.name} got message ${id}, which is not in the spool`);
    if (this.#final.has(id) || this.#recent.has(id))
      this.#model.violate(`${this.name} got message ${id} twice`);
    this.#checkOrder(published);
    const delivery: Delivery = { published, settled: false, saved: undefined };
    this.#recent.set(id, delivery);
    this.#ever.add(id);
    return () => {
      delivery.settled = true;
    };
  }

  #checkOrder(published: Published): void {
    const { place } = published;
    if (place === undefined || this.#isRecovered(published)) return;
    const name = `${place.journal}/${place.stream}`;
    const last = this.#last.get(name) ?? -1;
    if (place.sequence < last)
      this.#model.violate(
        `${this.name} got message ${published.id} (stream ${place.stream}, sequence ${place.sequence}) after sequence ${last}`,
      );
    this.#last.set(name, Math.max(last, place.sequence));
  }

  /** The cursors were saved; rows below `firstRow` are gone from the spool. */
  saved(version: number, firstRow: number): void {
    for (const delivery of this.#recent.values()) {
      if (!delivery.settled && (delivery.published.spool?.row ?? 0) >= firstRow) return;
      delivery.saved ??= version;
    }
  }

  /** The receiver starts again, with a disk that knows of everything up to `version`. */
  restart(version: number): void {
    for (const [id, delivery] of this.#final) if ((delivery.saved ?? 0) > version) this.#final.delete(id);
    for (const [id, delivery] of this.#recent) {
      if (delivery.saved !== undefined && delivery.saved <= version) this.#final.set(id, delivery);
    }
    this.#recent = new Map();
    this.#last = new Map();
    for (const { published } of this.#final.values()) {
      const { place } = published;
      if (place === undefined || this.#isRecovered(published)) continue;
      const name = `${place.journal}/${place.stream}`;
      this.#last.set(name, Math.max(this.#last.get(name) ?? -1, place.sequence));
    }
  }
}

function isSame(a: Message, b: Message): boolean {
  if (a.topic !== b.topic || a.qos !== b.qos || a.retain !== b.retain || a.acceptedMs !== b.acceptedMs)
    return false;
  const { messageExpirySeconds: lifetime, ...others } = a.properties ?? {};
  const { messageExpirySeconds: left, ...same } = b.properties ?? {};
  if ((lifetime === undefined) !== (left === undefined) || (left ?? 0) > (lifetime ?? 0)) return false;
  return Buffer.compare(a.payload, b.payload) === 0 && JSON.stringify(others) === JSON.stringify(same);
}
