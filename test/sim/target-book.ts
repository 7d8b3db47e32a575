// What one target has got, and whether it was right: the same bytes, once, in the order of its stream. A receiver that
// dies may publish again what its saved cursors do not cover; this book knows exactly which messages those are. So may
// one that is asked to send dead letters again, which come out of order.
import type { Message } from "../../shared/message.ts";
import type { Model, Published } from "./model.ts";

export type Settled = "forwarded" | "lost/refused";

type Delivery = {
  readonly published: Published;
  outcome: Settled | undefined;
  /** The version of the receiver's disk that knows of it. */
  saved: number | undefined;
};

export class TargetBook {
  readonly name: string;
  readonly #model: Model;
  /** Live messages wait for the backlog: the order of each stream holds. */
  readonly #isOrdered: boolean;
  /** True for a sequence that came after it had been given up: it has no place in the order any more. */
  readonly #isRecovered: (published: Published) => boolean;
  /** By the message's id: those of earlier runs that no start will bring again, and those of this run. */
  readonly #final = new Map<number, Delivery>();
  #recent = new Map<number, Delivery>();
  /** The same of dead letters, and the messages that may be published as one. */
  readonly #finalLetters = new Map<number, Delivery>();
  #recentLetters = new Map<number, Delivery>();
  readonly #again = new Set<number>();
  readonly #ever = new Set<number>();
  /** By stream: the highest sequence of this run, and of those of earlier runs that no start brings again. */
  #last = new Map<string, number>();
  #lastFinal = new Map<string, number>();
  /** Messages that it was given at any time. */
  readonly #given = new Set<number>();

  constructor(
    name: string,
    model: Model,
    isOrdered: boolean,
    isRecovered: (published: Published) => boolean,
  ) {
    this.name = name;
    this.#model = model;
    this.#isOrdered = isOrdered;
    this.#isRecovered = isRecovered;
  }

  /** Messages that the target has taken, counted once each since the spool began. */
  get count(): number {
    const ids = new Set<number>();
    for (const deliveries of [this.#final, this.#recent, this.#finalLetters, this.#recentLetters])
      for (const [id, { outcome }] of deliveries) if (outcome !== "lost/refused") ids.add(id);
    return ids.size;
  }

  has(id: number): boolean {
    return this.#ever.has(id);
  }

  /** The agent publishes; what is returned is to be called when the target has answered. */
  take(message: Message): (outcome: Settled) => void {
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
    const before = this.#final.get(id) ?? this.#recent.get(id);
    const delivery: Delivery = { published, outcome: undefined, saved: undefined };
    if (before === undefined) {
      this.#checkOrder(published);
      this.#recent.set(id, delivery);
    } else {
      if (before.outcome !== "lost/refused" || !this.#again.has(id) || this.#recentLetters.has(id))
        this.#model.violate(`${this.name} got message ${id} twice`);
      this.#recentLetters.set(id, delivery);
    }
    return (outcome) => {
      delivery.outcome = outcome;
      if (outcome === "forwarded") this.#ever.add(id);
    };
  }

  /** The operator has this dead letter sent again, if it is not on its way already. */
  requeue(message: Message): void {
    const id = this.#model.find(message.payload)?.id;
    if (id === undefined) return;
    this.#again.add(id);
    if (this.#recentLetters.get(id)?.outcome === "lost/refused") this.#recentLetters.delete(id);
  }

  #checkOrder(published: Published): void {
    const { place } = published;
    if (!this.#isOrdered || place === undefined || this.#isRecovered(published)) return;
    const name = `${place.journal}/${place.stream}`;
    // What it was given before, and did not acknowledge, comes again, though what came behind it may be settled.
    const isNew = !this.#given.has(published.id);
    this.#given.add(published.id);
    const before = this.#last.get(name) ?? -1;
    const last = isNew ? Math.max(before, this.#lastFinal.get(name) ?? -1) : before;
    if (place.sequence < last)
      this.#model.violate(
        `${this.name} got message ${published.id} (stream ${place.stream}, sequence ${place.sequence}) after sequence ${last}`,
      );
    this.#last.set(name, Math.max(before, place.sequence));
  }

  /** The cursors were saved: `isNeeded` tells of which messages the next start would publish. */
  saved(version: number, isNeeded: (row: number, index: number) => boolean): void {
    for (const delivery of this.#recent.values()) {
      const { row = 0, index = 0 } = delivery.published.spool ?? {};
      if (delivery.saved === undefined && !isNeeded(row, index)) delivery.saved = version;
    }
    for (const delivery of this.#recentLetters.values())
      if (delivery.outcome !== undefined) delivery.saved ??= version;
  }

  /** The receiver starts again, with a disk that knows of everything up to `version`. */
  restart(version: number): void {
    for (const deliveries of [this.#final, this.#finalLetters])
      for (const [id, { saved = 0 }] of deliveries) if (saved > version) deliveries.delete(id);
    keep(this.#recent, this.#final, version);
    keep(this.#recentLetters, this.#finalLetters, version);
    for (const [id, { outcome }] of this.#finalLetters) if (outcome === "forwarded") this.#again.delete(id);
    this.#recent = new Map();
    this.#recentLetters = new Map();
    this.#last = new Map();
    this.#lastFinal = new Map();
    for (const { published } of this.#final.values()) {
      const { place } = published;
      if (place === undefined || this.#isRecovered(published)) continue;
      const name = `${place.journal}/${place.stream}`;
      this.#lastFinal.set(name, Math.max(this.#lastFinal.get(name) ?? -1, place.sequence));
    }
  }
}

function keep(from: ReadonlyMap<number, Delivery>, to: Map<number, Delivery>, version: number): void {
  for (const [id, delivery] of from)
    if (delivery.saved !== undefined && delivery.saved <= version) to.set(id, delivery);
}

function isSame(a: Message, b: Message): boolean {
  if (a.topic !== b.topic || a.qos !== b.qos || a.retain !== b.retain || a.acceptedMs !== b.acceptedMs)
    return false;
  const { messageExpirySeconds: lifetime, ...others } = a.properties ?? {};
  const { messageExpirySeconds: left, ...same } = b.properties ?? {};
  if ((lifetime === undefined) !== (left === undefined) || (left ?? 0) > (lifetime ?? 0)) return false;
  return Buffer.compare(a.payload, b.payload) === 0 && JSON.stringify(others) === JSON.stringify(same);
}
