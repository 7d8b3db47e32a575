// A small strict reader of the Prometheus text format, version 0.0.4: what a scraper would choke on is a problem here.

export type Metrics = {
  readonly types: ReadonlyMap<string, string>;
  readonly problems: readonly string[];
  /** The sample with exactly these labels. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
};

const COMMENT = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (NaN|[+-]?Inf|[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

export function parseMetrics(text: string): Metrics {
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  const problems: string[] = [];
  if (!text.endsWith("\n")) problems.push("the last line has no end");
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, keyword, owner = "", rest = ""] = COMMENT.exec(line) ?? [];
    if (keyword === "TYPE" && types.has(owner)) problems.push(`two types: ${line}`);
    if (keyword === "TYPE") types.set(owner, rest);
    if (keyword !== undefined) continue;
    const [, name = "", labels = "", number = ""] = SAMPLE.exec(line) ?? [];
    const pairs = parseLabels(labels);
    if (name === "" || pairs === undefined) {
      problems.push(`not a sample: ${line}`);
      continue;
    }
    const key = makeKey(name, pairs);
    if (samples.has(key)) problems.push(`twice: ${line}`);
    if (!types.has(name.replace(/_(bucket|sum|count)$/, "")) && !types.has(name))
      problems.push(`no type: ${line}`);
    samples.set(key, Number(number));
  }
  return {
    types,
    problems,
    value: (name, labels = {}) => samples.get(makeKey(name, Object.entries(labels))),
  };
}

function parseLabels(text: string): [string, string][] | undefined {
  const pairs: [string, string][] = [];
  for (LABEL.lastIndex = 0; LABEL.lastIndex < text.length; ) {
    const [, name = "", value = ""] = LABEL.exec(text) ?? [];
    if (name === "") return undefined;
    pairs.push([name, value]);
  }
  return pairs;
}

function makeKey(name: string, labels: readonly (readonly [string, string])[]): string {
  return JSON.stringify([name, [...labels].sort(([a], [b]) => (a < b ? -1 : 1))]);
}
