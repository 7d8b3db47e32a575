// What a path of any type gives the agent, and what the agent gives it.
import type { RecordFault } from "../../../shared/framing/record.ts";
import type { Logger } from "../../../shared/log.ts";

export type PathSink = {
  readonly log: Logger;
  /** A view that is valid during the call only. */
  datagram(datagram: Buffer): void;
  /** Bytes of a stream or file that belong to no record. */
  skipped(reason: RecordFault, bytes: number): void;
  /** Things that are worth a counter, e.g. "connections" or "files". */
  count(what: string): void;
  /** What keeps the path from reading, as a sentence for a person; undefined when it reads. */
  setProblem(problem: string | undefined): void;
  /** A mark behind what was given so far. */
  mark(): number;
  /** Puts what was given so far into the spool, and says how far that goes for what was given before the mark. */
  keep(mark: number): Keeping;
};

/** `waiting`: some of it is in memory, for what is still to come. `refused`: the spool takes nothing. */
export type Keeping = "kept" | "waiting" | "refused";

export type PathInput = {
  /** What is bound, listened on, read or looked at. */
  readonly address: string;
  /** Of a UDP socket: the receive buffer that the kernel granted (its own bookkeeping counted, so about twice the payload). */
  readonly receiveBufferBytes?: number;
  close(): Promise<void> | void;
};
