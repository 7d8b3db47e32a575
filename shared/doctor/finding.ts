// What `doctor` finds: one line each, what was tried, how it went, and for a failure what to do.

export type Finding = {
  /** fine · warn: it works, with a but · fail: it will not work. */
  readonly level: "fine" | "warn" | "fail";
  /** What was tried, as the operator calls it: "path path-1", "target hq". */
  readonly subject: string;
  readonly sentence: string;
};

const MARKS = { fine: "ok  ", warn: "warn", fail: "FAIL" } as const;

export function formatFinding({ level, subject, sentence }: Finding): string {
  return `${MARKS[level]}  ${subject}: ${sentence}\n`;
}

/** The last line. */
export function formatVerdict(findings: readonly Finding[]): string {
  const count = (wanted: Finding["level"]) => findings.filter(({ level }) => level === wanted).length;
  const [fails, warns] = [count("fail"), count("warn")];
  if (fails > 0) return `${fails} of ${findings.length} checks failed\n`;
  return warns === 0
    ? `all ${findings.length} checks are fine\n`
    : `no check failed, ${warns} with a warning\n`;
}
