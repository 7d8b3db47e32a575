// What a path of any type can do: take datagrams, now or not, and end.
import type { WriteResult } from "./path-queue.ts";

export type PathWriter = {
  /** Takes what there is room for at this moment; never waits. What was taken leaves by itself. */
  write(datagrams: readonly Buffer[]): WriteResult;
  /** Tells the sender's run, before the first datagram. */
  begin?(epoch: bigint): void;
  /** Lets what was taken leave, within reason, and ends. */
  close(): Promise<void> | void;
};
