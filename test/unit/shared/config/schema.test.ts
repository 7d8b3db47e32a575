import { expect, test } from "bun:test";
import * as z from "zod";
import { recvSchema } from "../../../../agents/recv/config.ts";
import { profileSchema } from "../../../../agents/recv/profile.ts";
import { sendSchema } from "../../../../agents/send/config.ts";

type Node = {
  readonly description?: string;
  readonly type?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly maxItems?: number;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly additionalProperties?: unknown;
};

const SCHEMAS: [name: string, schema: z.ZodType][] = [
  ["send.toml", sendSchema],
  ["recv.toml", recvSchema],
  ["profile", profileSchema],
];

/** Every key of the schema with its path, those of nested tables and lists included. */
function listKeys(node: Node, path: string): [path: string, node: Node][] {
  const inner = [node.items, ...(node.anyOf ?? []), ...(node.oneOf ?? [])].flatMap((child) =>
    child === undefined ? [] : listKeys(child, path),
  );
  const own = Object.entries(node.properties ?? {}).flatMap(([key, child]): [string, Node][] => [
    [`${path}.${key}`, child],
    ...listKeys(child, `${path}.${key}`),
  ]);
  return [...inner, ...own];
}

test.each(SCHEMAS)("the schema of %s describes every key in a sentence", (name, schema) => {
  const keys = listKeys(z.toJSONSchema(schema, { io: "input" }) as Node, name);
  expect(keys.length).toBeGreaterThan(20);
  expect(keys.filter(([, node]) => !/^.{8,}\.$/.test(node.description ?? "")).map(([path]) => path)).toEqual(
    [],
  );
});

test.each(SCHEMAS)("the schema of %s bounds every number and every list", (name, schema) => {
  const keys = listKeys(z.toJSONSchema(schema, { io: "input" }) as Node, name);
  const unbounded = keys.filter(
    ([, node]) =>
      ((node.type === "integer" || node.type === "number") &&
        !("enum" in node) &&
        !(node.minimum !== undefined && node.maximum !== undefined)) ||
      (node.type === "array" && node.maxItems === undefined),
  );
  expect(unbounded.map(([path]) => path)).toEqual([]);
});
