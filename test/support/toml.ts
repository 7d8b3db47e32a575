// Writes the TOML of a test's configuration from plain values: keys first, then tables, then lists of tables.
// Refuses nothing: what a test wants to be wrong is written as it says.

export type TomlValue = string | number | boolean | readonly TomlValue[] | TomlTable;
export type TomlTable = { readonly [key: string]: TomlValue | undefined };

export function toToml(table: TomlTable, path: readonly string[] = []): string {
  const plain: string[] = [];
  const nested: string[] = [];
  for (const [key, value] of Object.entries(table)) {
    if (value === undefined) continue;
    const at = [...path, key];
    if (isTable(value)) nested.push(`\n[${at.join(".")}]\n${toToml(value, at)}`);
    else if (isListOfTables(value))
      nested.push(...value.map((entry) => `\n[[${at.join(".")}]]\n${toToml(entry, at)}`));
    else plain.push(`${key} = ${inline(value)}\n`);
  }
  return plain.join("") + nested.join("");
}

/** The keys of `over` stand in for those of `base`, in tables within tables, too; lists are replaced whole. */
export function mergeToml(base: TomlTable, over: TomlTable): TomlTable {
  const merged: { [key: string]: TomlValue | undefined } = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    merged[key] = isTable(before) && isTable(value) ? mergeToml(before, value) : value;
  }
  return merged;
}

function isTable(value: TomlValue | undefined): value is TomlTable {
  return typeof value === "object" && !Array.isArray(value);
}

// Lists that mix strings and tables (topics) are written inline.
function isListOfTables(value: TomlValue): value is readonly TomlTable[] {
  return Array.isArray(value) && value.length > 0 && value.every(isTable);
}

function inline(value: TomlValue): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (!isTable(value)) return JSON.stringify(value);
  const pairs = Object.entries(value).map(([key, entry]) => `${key} = ${inline(entry ?? "")}`);
  return `{ ${pairs.join(", ")} }`;
}
