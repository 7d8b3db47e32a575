// What the intake is told by the configuration, and what it shares with the link.
import type { ContentPool } from "./content-pool.ts";

/** Which messages of QoS 0 are lost when too much waits for the journal. */
export type Qos0Overflow = "drop-oldest" | "drop-newest";

export type IntakeOptions = {
  /** Whoever gets a content gives it back in the end. */
  readonly pool: ContentPool;
  /** Content bytes after which a block is closed. */
  readonly blockBytes: number;
  readonly messageBytesMax: number;
  /** Bytes that may wait for the journal before QoS 0 is lost, and which of it then is. */
  readonly waitingBytesMax: number;
  readonly qos0Overflow: Qos0Overflow;
  readonly filters: readonly { readonly name: string; readonly drop: readonly string[] }[];
  /** The stream of the topics that match; the first that matches counts. All others have stream 0. */
  readonly priorities: readonly { readonly stream: number; readonly topics: readonly string[] }[];
  /** Topics of which only the latest value matters while messages wait for the link. */
  readonly latestOnly: readonly string[];
};
