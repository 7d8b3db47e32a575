// Bytes of the agent's own messages that wait in the journal. Pure; as long as what waits, which its user bounds in number too.
// Of what an earlier run has left it knows nothing: that was within the same bound.

export class OwnWaiting {
  readonly #bytesMax: number;
  /** Sizes of those that may wait, the oldest first, and the sequence behind the last of them. */
  #sizes: number[] = [];
  #end: number | undefined;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether there is room for one of this size; `sent` is the sequence that leaves next. One goes however large, by itself. */
  hasRoom(bytes: number, sent: number): boolean {
    const waiting = Math.max(0, (this.#end ?? sent) - sent);
    const left = this.#sizes.splice(0, Math.max(0, this.#sizes.length - waiting));
    for (const size of left) this.#bytes -= size;
    return this.#sizes.length === 0 || this.#bytes + bytes <= this.#bytesMax;
  }

  /** It was accepted; `next` is the sequence that the first one of this run gets. */
  add(bytes: number, next: number): void {
    this.#end = (this.#end ?? next) + 1;
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }
}
