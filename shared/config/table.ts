// Tables and lists of a configuration schema. A table is strict: a key it doesn't know is a fault, never ignored,
// because a mistyped key would otherwise leave its default in force unnoticed.

import * as z from "zod";
import { joinWords } from "./leaf.ts";

/**
 * A table whose keys are all known. The message of an unknown key is the list of the known ones; `allowed` says what a key may be
 * besides a table.
 */
export function table<T extends z.core.$ZodLooseShape>(
  shape: T,
  allowed = "a table",
): z.ZodObject<T, z.core.$strict> {
  const known = Object.keys(shape).join(", ");
  return z.strictObject(shape, {
    error: (issue) => (issue.code === "unrecognized_keys" ? known : `must be ${allowed}`),
  });
}

/** A list of tables, written `[[key]]`. */
export function tables<T extends z.ZodType>(
  key: string,
  element: T,
  min: number,
  max: number,
): z.ZodArray<T> {
  const error = `must be ${min} to ${max} tables, each written [[${key}]]`;
  return z.array(element, { error }).min(min, { error }).max(max, { error });
}

/** A list of values in brackets. */
export function list<T extends z.ZodType>(what: string, element: T, min: number, max: number): z.ZodArray<T> {
  const error = `must be a list of ${min} to ${max} ${what}`;
  return z.array(element, { error }).min(min, { error }).max(max, { error });
}

/** Tables told apart by their key `type`; each later kind is one more element of the list. */
export function typedTable<const T extends readonly [z.ZodObject, ...z.ZodObject[]]>(
  kinds: T,
): z.ZodDiscriminatedUnion<T, "type"> {
  const types = kinds.flatMap((kind) => {
    const type = kind.shape.type;
    return type instanceof z.ZodLiteral ? [...type.values].map((value) => JSON.stringify(value)) : [];
  });
  return z.discriminatedUnion("type", kinds, {
    error: (issue) => (issue.code === "invalid_union" ? `must be ${joinWords(types)}` : "must be a table"),
  });
}

/** One value or a list of them, for keys that mostly have one. */
export function oneOrMore<T extends z.ZodType>(what: string, element: T, max: number) {
  const many = list(what, element, 1, max);
  return z.union([element, many], { error: `must be one of the ${what}, or a list of 1 to ${max} of them` });
}
