// Writes docs/configuration.md from the schemas that the agents check their files with, so that the manual cannot say
// anything else: every table, key, default and bound. `bun build/manual/configuration.ts` writes it, a test compares it.
import { writeFileSync } from "node:fs";
import * as z from "zod";
import { recvSchema } from "../../agents/recv/config.ts";
import { profileSchema } from "../../agents/recv/profile.ts";
import { sendSchema } from "../../agents/send/config.ts";

type Schema = {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
};

const HEAD = `# Configuration

Written by \`build/manual/configuration.ts\` from the schemas themselves: do not edit. Every key that both agents know is here,
with its default and its bounds. An unknown key, a value out of bounds and a file that is missing are told all at once by
\`tidegate-send check\` and \`tidegate-recv check\`, each as \`FILE:LINE:COLUMN: key: what is wrong; what is allowed\`.

Relative paths are relative to the file that names them. Files that hold secrets must be readable by their owner alone (mode 0600).
`;

export function renderConfiguration(): string {
  return [
    HEAD,
    renderFile("send.toml", "The send agent, on the plant side.", sendSchema),
    renderFile("recv.toml", "The recv agent, on the business side.", recvSchema),
    renderFile(
      "targets.d/NAME.toml",
      "The profile of one target; every file of the directory is one.",
      profileSchema,
    ),
  ].join("\n");
}

function renderFile(name: string, summary: string, schema: z.ZodType): string {
  const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Schema;
  const body = json.oneOf ? json.oneOf.map((variant) => renderVariant("", variant)) : [renderTable("", json)];
  return [`## ${name}\n`, `${summary}\n`, ...body].join("\n");
}

/** One of several tables that a \`type\` tells apart. */
function renderVariant(path: string, schema: Schema): string {
  const type = JSON.stringify(schema.properties?.type?.const ?? schema.properties?.type?.enum?.[0]);
  return renderTable(path, schema, `type = ${type}`);
}

function renderTable(path: string, schema: Schema, variant?: string): string {
  const rows: string[] = [];
  const inner: string[] = [];
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    const at = path === "" ? key : `${path}.${key}`;
    if (value.type === "object") {
      inner.push(`### [${at}]\n`, `${value.description ?? ""}\n`, renderTable(at, value));
    } else if (value.type === "array" && isTable(value.items)) {
      const tables = value.items?.oneOf ?? [value.items as Schema];
      const count = `${value.minItems ?? 0} to ${value.maxItems} of them.`;
      inner.push(`### [[${at}]]\n`, `${value.description ?? ""} ${count}\n`);
      const several = value.items?.oneOf !== undefined;
      for (const table of tables) inner.push(several ? renderVariant(at, table) : renderTable(at, table));
    } else rows.push(renderKey(key, value, schema.required?.includes(key) === true));
  }
  const title = variant === undefined ? "" : `**\`${variant}\`**\n\n`;
  const table =
    rows.length === 0 ? "" : `${title}| key | default | allowed | |\n|---|---|---|---|\n${rows.join("\n")}\n`;
  return [table, ...inner].join("\n");
}

function isTable(schema: Schema | undefined): boolean {
  return schema?.type === "object" || schema?.oneOf?.every((variant) => variant.type === "object") === true;
}

function renderKey(key: string, schema: Schema, isRequired: boolean): string {
  const value =
    schema.default === undefined ? (isRequired ? "required" : "") : `\`${JSON.stringify(schema.default)}\``;
  return `| \`${key}\` | ${value} | ${escapeCell(describeAllowed(schema))} | ${escapeCell(schema.description ?? "")} |`;
}

function describeAllowed(schema: Schema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.type === "boolean") return "true, false";
  if (schema.type === "integer" || schema.type === "number") return `${schema.minimum} to ${schema.maximum}`;
  if (schema.type === "array") return `list of ${schema.minItems ?? 0} to ${schema.maxItems}`;
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return [...new Set(either.map(describeAllowed))].join(" or ");
  return schema.type === "object" ? "table" : "text";
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

if (import.meta.main) {
  writeFileSync(new URL("../../docs/configuration.md", import.meta.url), renderConfiguration());
}
