// What a Sparkplug target shows of itself beside its ledger: none of it came over the link as a message, or it is how the messages
// were told. Counts since the agent was started.

/** Why births are published again. */
export type BirthReason = "connected" | "asked" | "gap" | "snapshot" | "link-up";

export type SparkplugFigures = {
  readonly nodes: {
    /** Followed, alive on the far side, and born here. */
    readonly known: number;
    readonly online: number;
    readonly born: number;
    readonly devices: number;
    readonly metrics: number;
    /** Parts whose aliases a gap has put in doubt. */
    readonly inDoubt: number;
    /** Nodes that went to make room. */
    readonly evicted: number;
  };
  readonly stateBytes: number;
  /** True while all are published as dead because the link is down. */
  readonly isSilent: boolean;
  readonly connections: number;
  /** Messages that wait for a birth or a snapshot. */
  readonly held: number;
  readonly gaps: number;
  readonly snapshots: number;
  readonly published: {
    readonly births: number;
    readonly deviceBirths: number;
    readonly data: number;
    readonly deaths: number;
    readonly deviceDeaths: number;
    readonly certificates: number;
  };
  /** Births that are not the far side's own, by the reason. */
  readonly rebirths: Readonly<Partial<Record<BirthReason, number>>>;
  readonly commands: {
    readonly answered: number;
    /** By reason; none of them goes anywhere. */
    readonly refused: Readonly<Record<string, number>>;
  };
  /** Payloads that no Sparkplug decoder could read, by reason. */
  readonly malformed: Readonly<Record<string, number>>;
};
