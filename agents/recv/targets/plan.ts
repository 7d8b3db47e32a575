// What a profile says of the messages that a target could not have at once: in which order and how fast the backlog
// goes, what grows too old in it, and what is given up when the spool is full.

export type TargetPlan = {
  /** newest-first: what comes now goes at once, and the backlog behind it; oldest-first keeps the order of all. */
  readonly backlog: "oldest-first" | "newest-first";
  /** Messages of the backlog that are published in a second; 0 = as many as the target takes. */
  readonly drainPerSecond: number;
  /** Messages that have been here for longer are lost; 0 = no limit. */
  readonly retentionHours: number;
  readonly overflow: "drop-oldest" | "drop-newest";
};

export const PLAIN_PLAN: TargetPlan = {
  backlog: "oldest-first",
  drainPerSecond: 0,
  retentionHours: 0,
  overflow: "drop-oldest",
};
