// Says which build this is. The values are put in when an agent is compiled (build/stamp.mjs); code that
// runs from its sources has none and says "source" and "unknown".

declare const STAMPED_VERSION: string | undefined;
declare const STAMPED_COMMIT: string | undefined;
declare const STAMPED_DATE: string | undefined;

/** As in package.json, or "source". */
export const BUILD_VERSION: string = typeof STAMPED_VERSION === "string" ? STAMPED_VERSION : "source";

/** Twelve hex digits, "-changed" behind them when the sources differed from that commit, or "unknown". */
export const BUILD_COMMIT: string = typeof STAMPED_COMMIT === "string" ? STAMPED_COMMIT : "unknown";

/** When that commit was made (ISO 8601, UTC), or "unknown". */
export const BUILD_DATE: string = typeof STAMPED_DATE === "string" ? STAMPED_DATE : "unknown";
