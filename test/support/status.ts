// What the tests read of /api/status and how they judge it. Written from the documentation, not from the code:
// a field that is renamed must break a test.

export type Ledger = {
  readonly accepted: number;
  readonly forwarded: number;
  readonly held: number;
  readonly filtered: Readonly<Record<string, number>>;
  readonly lost: Readonly<Record<string, number>>;
};

export type SendStatus = {
  readonly agent: "send";
  readonly state: string;
  readonly problem: string | null;
  readonly sources: readonly {
    readonly name: string;
    readonly state: string;
    readonly problem: string | null;
    readonly accepted: number;
    readonly kept: number;
    readonly lost: Readonly<Record<string, number>>;
  }[];
  readonly ledger: Ledger;
  readonly link: {
    readonly journalId: string;
    readonly epoch: string;
    /** Sequences that wait to be sent again on request. */
    readonly replaying: number;
    readonly paths: readonly { readonly datagrams: number; readonly problem: string | null }[];
  };
};

export type RecvStatus = {
  readonly agent: "recv";
  readonly state: string;
  readonly problem: string | null;
  readonly link: {
    readonly state: string;
    readonly senderRestarts: number;
    readonly journalId: string | null;
    readonly surplusDatagrams: number;
    /** Symbols that were lost on the way and computed from the others. */
    readonly restoredSymbols: number;
    /** Messages that came after they had been booked as lost. */
    readonly recovered: number;
    readonly gaps: { readonly count: number; readonly sequences: number };
    readonly waitingBytes: number;
    readonly refused: Readonly<Record<string, number>>;
    readonly paths: readonly {
      readonly name: string;
      readonly address: string;
      readonly datagrams: number;
      readonly refused: Readonly<Record<string, number>>;
    }[];
  };
  readonly sender: { readonly stopping: boolean } | null;
  readonly ledger: {
    readonly accepted: number;
    readonly lost: Readonly<Record<string, number>>;
    readonly skipped: Readonly<Record<string, number>>;
    readonly awaited: number;
    /** With the sender's ledger, as its last heartbeat told it; null before the first. */
    readonly comparison: {
      readonly forwarded: number;
      readonly givenUp: number;
      readonly difference: number;
    } | null;
  };
  readonly targets: readonly {
    readonly name: string;
    readonly state: string;
    readonly problem: string | null;
    readonly connections: number;
    readonly ledger: Ledger;
    readonly reduced: { readonly compressed: number; readonly split: number };
  }[];
};

export function sum(record: Readonly<Record<string, number>>): number {
  return Object.values(record).reduce((total, count) => total + count, 0);
}

/** What is missing in a ledger: 0 when every message it accepted is accounted for. */
export function unaccounted({ accepted, forwarded, held, filtered, lost }: Ledger): number {
  return accepted - forwarded - held - sum(filtered) - sum(lost);
}

/**
 * Whether the spool has taken all that came over the link, and no target holds any of it: what is between the two is held by nobody.
 * Of targets that were there from the beginning.
 */
export function isDelivered({ ledger, targets }: RecvStatus): boolean {
  return targets.every((target) => target.ledger.accepted === ledger.accepted && target.ledger.held === 0);
}
