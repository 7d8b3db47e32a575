// An edge node of the far side as far as it is known here: its births with current values, when they were accepted over there,
// and which of them a gap has made doubtful. Times named ...Ms are of the send agent's clock, the only one that orders what it
// accepted; timestamps are of the edge node's own.
import { EdgeNode, type Life } from "../../../../shared/sparkplug/birth.ts";

/** The edge node itself among its parts, beside its devices. */
export const NODE_PART = "";

/** What is kept of a node beside its births. */
export type NodeMemo = {
  readonly newestMs: number;
  readonly newestTimestamp: string;
  readonly bornMs: number;
  readonly takenMs: number;
  readonly doubts: readonly (readonly [part: string, sinceMs: number])[];
  /** bdSeq of our last NBIRTH that no NDEATH has followed; null: the hosts hold it for dead. */
  readonly publishedBdSeq: number | null;
  readonly lostSeen: number;
  readonly suspect: number;
  /** Absent in what older versions kept. */
  readonly snapshotMs?: number;
};

export class KnownNode {
  readonly edge: EdgeNode;
  /** The newest message of it that was taken. */
  newestMs = 0;
  newestTimestamp = 0n;
  /** The birth of its present life; of one that a snapshot told, when that was taken. */
  bornMs = 0;
  /** The newest snapshot that told something new. */
  takenMs = 0;
  /** The last snapshot of the node itself that came in order; 0: none since the clock over there was last set back. */
  snapshotMs = 0;
  /** What a snapshot said of the seq, until a message says it. */
  anchor: { takenMs: number; readonly seq: number } | undefined;
  /** Parts whose metrics may have got other aliases in a gap, and when that was noticed. */
  readonly doubts = new Map<string, number>();
  publishedBdSeq: number | undefined;
  /** What had been lost on the way here, of all messages, when this was last looked at; and how much of it may have been of this node. */
  lostSeen = 0;
  suspect = 0;
  /** What was accepted later came behind all of it. */
  suspectUntilMs = Number.POSITIVE_INFINITY;
  /** How much of that was suspected when the last snapshot came. */
  suspectBefore = 0;

  constructor(
    readonly group: string,
    readonly node: string,
  ) {
    this.edge = new EdgeNode(group, node);
  }

  get key(): string {
    return nodeKey(this.group, this.node);
  }

  get isOnline(): boolean {
    return this.edge.isOnline;
  }

  get memo(): NodeMemo {
    return {
      newestMs: this.newestMs,
      newestTimestamp: String(this.newestTimestamp),
      bornMs: this.bornMs,
      takenMs: this.takenMs,
      doubts: [...this.doubts],
      publishedBdSeq: this.publishedBdSeq ?? null,
      lostSeen: this.lostSeen,
      suspect: this.suspect,
      snapshotMs: this.snapshotMs,
    };
  }

  set memo(memo: NodeMemo) {
    this.newestMs = memo.newestMs;
    this.newestTimestamp = BigInt(memo.newestTimestamp);
    this.bornMs = memo.bornMs;
    this.takenMs = memo.takenMs;
    for (const [part, sinceMs] of memo.doubts) this.doubts.set(part, sinceMs);
    this.publishedBdSeq = memo.publishedBdSeq ?? undefined;
    this.lostSeen = memo.lostSeen;
    this.suspect = memo.suspect;
    this.snapshotMs = memo.snapshotMs ?? 0;
  }

  life(part: string): Life | undefined {
    return part === NODE_PART ? this.edge.life : this.edge.devices.get(part);
  }

  /**
   * The clock over there was set back to this time: all that is known was before it, whatever it showed then. What comes
   * from now on compares with the new time.
   */
  setBack(nowMs: number): void {
    const beforeMs = nowMs - 1;
    const earlier = (timeMs: number) => Math.min(timeMs, beforeMs);
    this.newestMs = earlier(this.newestMs);
    this.bornMs = earlier(this.bornMs);
    this.takenMs = earlier(this.takenMs);
    this.snapshotMs = 0;
    if (this.anchor !== undefined) this.anchor.takenMs = earlier(this.anchor.takenMs);
    for (const [part, sinceMs] of this.doubts) this.doubts.set(part, earlier(sinceMs));
    const { life, devices } = this.edge;
    for (const each of [life, ...devices.values()])
      if (each !== undefined) each.sinceMs = earlier(each.sinceMs);
  }

  /** `isInOrder`: then an edge node whose clock was set back is followed there. */
  noteMessage(acceptedMs: number, timestamp: bigint | undefined, isInOrder: boolean): void {
    if (isInOrder && timestamp !== undefined) this.newestTimestamp = timestamp;
    this.newestMs = Math.max(this.newestMs, acceptedMs);
    if (timestamp !== undefined && timestamp > this.newestTimestamp) this.newestTimestamp = timestamp;
  }

  /** Something of it was missed: births may have been among it. */
  noteGap(acceptedMs: number): void {
    this.edge.isComplete = false;
    this.doubts.set(NODE_PART, acceptedMs);
    for (const device of this.edge.devices.keys()) this.doubts.set(device, acceptedMs);
  }
}

/** No identifier has a slash. */
export function nodeKey(group: string, node: string): string {
  return `${group}/${node}`;
}
