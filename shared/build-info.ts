// Says which build this is. The values are put in when an agent is compiled (build/stamp.mjs); code that
// runs from its sources has none and says "source" and "unknown".

declare const STAMPED_VERSION: string | undefined;
declare const STAMPED_COMMIT: string | undefined;
declare const STAMPED_DATE: string | undefined;

export type BuildInfo = {
  /** As in package.json, or "source". */
  readonly version: string;
  /** Twelve hex digits, "-changed" behind them when the sources differed from that commit, or "unknown". */
  readonly commit: string;
  /** When that commit was made (ISO 8601, UTC), or "unknown". */
  readonly date: string;
};

export const BUILD_INFO: BuildInfo = {
  version: typeof STAMPED_VERSION === "string" ? STAMPED_VERSION : "source",
  commit: typeof STAMPED_COMMIT === "string" ? STAMPED_COMMIT : "unknown",
  date: typeof STAMPED_DATE === "string" ? STAMPED_DATE : "unknown",
};
