// A path's sink for tests: keeps what comes.
import type { Keeping, PathSink } from "../../../../../agents/recv/link/path-input.ts";
import type { Logger } from "../../../../../shared/log.ts";

const SILENT = {
  info: () => {},
  warn: () => {},
  error: () => {},
  debug: () => {},
  isLevelEnabled: () => false,
} as unknown as Logger;

export class TestSink implements PathSink {
  readonly log = SILENT;
  readonly datagrams: string[] = [];
  readonly counts: Record<string, number> = {};
  problem: string | undefined;
  keeping: Keeping = "kept";

  readonly datagram = (datagram: Buffer): void => {
    this.datagrams.push(datagram.toString());
  };

  readonly skipped = (reason: string, bytes: number): void => {
    this.counts[reason] = (this.counts[reason] ?? 0) + bytes;
  };

  readonly count = (what: string): void => {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  };

  readonly setProblem = (problem: string | undefined): void => {
    this.problem = problem;
  };

  readonly mark = (): number => this.datagrams.length;
  readonly keep = (_mark: number): Keeping => this.keeping;
}
