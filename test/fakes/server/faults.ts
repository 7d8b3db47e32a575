// What a test makes go wrong at a fake. Counts are of what comes next; each is used up.

export class Faults {
  /** Refuses so many CONNECTs with this code, or without a word. */
  refuse: { times: number; code?: number; serverReference?: string } = { times: 0 };
  /** Closes the connection instead of answering the n-th PUBLISH from now; 0 closes at none. */
  closeAtPublish = 0;
  /** Closes the connection at every PUBLISH with this payload. */
  poison: string | undefined;
  /** Does nothing with so many PUBLISH packets: neither takes nor acknowledges them. */
  discardPublishes = 0;
  /** Takes so many PUBLISH packets but closes before it acknowledges. */
  loseAcknowledgements = 0;
  /** Every acknowledgement waits so long. */
  acknowledgeAfterMs = 0;
  /** While true, acknowledgements are kept until releaseAcknowledgements(). */
  holdAcknowledgements = false;
  readonly held: (() => void)[] = [];

  releaseAcknowledgements(): void {
    this.holdAcknowledgements = false;
    for (const release of this.held.splice(0)) release();
  }

  takeRefusal(): { code?: number; serverReference?: string } | undefined {
    if (this.refuse.times <= 0) return undefined;
    this.refuse.times -= 1;
    return this.refuse;
  }

  /** What happens to this PUBLISH. */
  takePublishFault(payload: Uint8Array): "close" | "discard" | "lose-acknowledgement" | undefined {
    if (this.poison !== undefined && Buffer.from(payload).equals(Buffer.from(this.poison))) return "close";
    if (this.closeAtPublish > 0) {
      this.closeAtPublish -= 1;
      if (this.closeAtPublish === 0) return "close";
    }
    if (this.discardPublishes > 0) {
      this.discardPublishes -= 1;
      return "discard";
    }
    if (this.loseAcknowledgements > 0) {
      this.loseAcknowledgements -= 1;
      return "lose-acknowledgement";
    }
    return undefined;
  }
}
