// The parts of the agents' /api/status that the demonstration shows. What an agent leaves out counts as
// nothing, so that a screen can be drawn at any time.

export type Reasons = Readonly<Record<string, number>>;

export type Ledger = {
  readonly accepted: number;
  readonly forwarded: number;
  readonly held: number;
  readonly filtered: Reasons;
  readonly lost: Reasons;
};

export type SendStatus = {
  readonly version?: string;
  readonly linkId?: string;
  readonly state?: string;
  readonly ledger?: Partial<Ledger>;
  readonly link?: {
    readonly epoch?: number;
    readonly paths?: readonly { readonly datagrams?: number; readonly bytes?: number }[];
  };
};

export type RecvStatus = {
  readonly version?: string;
  readonly linkId?: string;
  readonly link?: { readonly state?: string };
  readonly ledger?: Partial<Ledger> & { readonly comparison?: { readonly difference: number } | null };
  readonly targets?: readonly {
    readonly name?: string;
    readonly state?: string;
    readonly ledger?: Partial<Ledger>;
  }[];
};

export function readLedger(ledger: Partial<Ledger> | undefined): Ledger {
  return {
    accepted: ledger?.accepted ?? 0,
    forwarded: ledger?.forwarded ?? 0,
    held: ledger?.held ?? 0,
    filtered: ledger?.filtered ?? {},
    lost: ledger?.lost ?? {},
  };
}

/** All of it, whatever the reason. */
export function sum(reasons: Reasons): number {
  return Object.values(reasons).reduce((total, count) => total + count, 0);
}

/** e.g. "no-debug 420, other 3". */
export function listReasons(reasons: Reasons): string {
  const named = Object.entries(reasons).filter(([, count]) => count > 0);
  return named.map(([reason, count]) => `${reason} ${count.toLocaleString("en")}`).join(", ");
}
