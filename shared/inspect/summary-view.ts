// The last thing that inspect says: what a file holds as a whole.
import type { Range } from "./ranges.ts";

export type BlockSummary = {
  /** Lowest and highest block number seen. */
  readonly first: number;
  readonly last: number;
  /** Blocks of which something was seen. */
  readonly seen: number;
  readonly whole: number;
  /** Symbols that were computed from the others. */
  readonly restoredSymbols: number;
  /** Symbols of the blocks seen that are not in the file. */
  readonly lostSymbols: number;
  readonly unfinished: number;
  /** Numbers between the first and the last of which nothing was seen. */
  readonly unseen: number;
  /** Symbols lost in a block, to the number of blocks that lost so many. */
  readonly lossPerBlock: { readonly [symbols: string]: number };
};

export type SummaryView = {
  readonly type: "summary";
  /** What the file is: then `datagrams` or `rows` counts. */
  readonly of: "capture" | "log";
  readonly datagrams: number;
  /** Rows of a journal or spool. */
  readonly rows: number;
  /** `opened`, or why not, to the number of datagrams or rows. */
  readonly outcomes: { readonly [outcome: string]: number };
  /** What else is in the file, by what it is. */
  readonly others: { readonly [what: string]: number };
  readonly runs: readonly {
    readonly linkTag: string;
    readonly journalId: string;
    readonly epoch: string;
    readonly keyIds: readonly string[];
    readonly firstTime: string | null;
    readonly lastTime: string | null;
    readonly datagrams: number;
    readonly bytes: number;
    readonly messageBlocks: BlockSummary | null;
    readonly heartbeatBlocks: BlockSummary | null;
  }[];
  readonly runsNotListed: number;
  readonly streams: readonly {
    readonly journalId: string;
    readonly stream: number;
    readonly messages: number;
    readonly payloadBytes: number;
    readonly skipped: { readonly [reason: string]: number };
    readonly malformed: number;
    readonly repeated: number;
    readonly ranges: readonly Range[];
    readonly holes: readonly Range[];
    readonly holesNotListed: number;
  }[];
};
