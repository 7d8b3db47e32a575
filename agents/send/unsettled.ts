// Sources that wait to hear that a message is settled: kept, filtered or lost by name, and the journal knows it.

/** What a message went into; shared by all that went into it. */
export type Keepable = { readonly kept: boolean };

/** In the order in which messages came, whatever became of each [MQTT-4.6.0-2]. */
export class Unsettled {
  #waiting: { readonly settle: () => void; readonly content: Keepable }[] = [];

  add(settle: () => void, content: Keepable): void {
    this.#waiting.push({ settle, content });
  }

  /** Settles the first ones, up to one whose content is not kept yet. */
  settleKept(): void {
    const waiting = this.#waiting.findIndex(({ content }) => !content.kept);
    const settled = waiting < 0 ? this.#waiting : this.#waiting.slice(0, waiting);
    this.#waiting = waiting < 0 ? [] : this.#waiting.slice(waiting);
    for (const { settle } of settled) settle();
  }
}
