// Says which build this is. The values are put in when an agent is compiled (build/stamp.mjs); code that
// runs from its sources has none and says "source".

declare const BUILD_VERSION: string | undefined;
declare const BUILD_COMMIT: string | undefined;
declare const BUILD_DATE: string | undefined;

export type BuildInfo = {
  /** As in package.json. */
  readonly version: string;
  /** Twelve hex digits, "-changed" behind them when the sources differed from that commit, or "unknown". */
  readonly commit: string;
  /** When that commit was made (ISO 8601, UTC), or "unknown". */
  readonly date: string;
};

export const BUILD_INFO: BuildInfo = {
  version: typeof BUILD_VERSION === "string" ? BUILD_VERSION : "source",
  commit: typeof BUILD_COMMIT === "string" ? BUILD_COMMIT : "unknown",
  date: typeof BUILD_DATE === "string" ? BUILD_DATE : "unknown",
};
