// A fault of the configuration: where it is, what is wrong, what is allowed. All faults are collected and
// printed together, because an operator who mends one at a time needs a run for each.

export type Fault = {
  /** As the operator named it, so that the line can be clicked or pasted. */
  readonly file: string;
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;
  readonly key: string;
  readonly problem: string;
  readonly allowed?: string;
};

/** What is wrong with a value, before its place in a file is known. */
export type Problem = { readonly problem: string; readonly allowed: string };

/** `FILE:LINE:COLUMN: key: what is wrong; what is allowed` */
export function formatFault(fault: Fault): string {
  const allowed = fault.allowed === undefined ? "" : `; ${fault.allowed}`;
  return `${fault.file}:${fault.line}:${fault.column}: ${fault.key}: ${fault.problem}${allowed}`;
}

/** Sorted by file (in the order in which the files were first named), line, column; repeated lines dropped. */
export function sortFaults(faults: readonly Fault[], files: readonly string[] = []): Fault[] {
  const order = new Map<string, number>();
  for (const file of [...files, ...faults.map((fault) => fault.file)]) {
    if (!order.has(file)) order.set(file, order.size);
  }
  const unique = new Map(faults.map((fault) => [formatFault(fault), fault]));
  return [...unique.values()].sort(
    (a, b) =>
      (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) ||
      a.line - b.line ||
      a.column - b.column ||
      (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
  );
}
