// The kinds of value a configuration key can have. The message of each schema is the text after "must be",
// the same for every way to get the value wrong; schema-faults.ts adds what the value is instead.

import * as z from "zod";
import { checkTopicFilter } from "../mqtt/topic.ts";
import { isBindable, parseEndpoint } from "./endpoint.ts";
import { mayHoldSecret, quoteText } from "./show-value.ts";

/** A check of one value: undefined when it is fine, else the problem in words (when they say more than the value). */
type Check<T> = (value: T) => string | undefined;

export function wholeNumber(min: number, max: number): z.ZodInt {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function decimalNumber(min: number, max: number): z.ZodNumber {
  const error = `must be a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}

export function flag(): z.ZodBoolean {
  return z.boolean({ error: "must be true or false" });
}

export function choice<const T extends readonly string[]>(
  words: T,
): z.ZodEnum<z.core.util.ToEnum<T[number]>> {
  return z.enum(words, { error: `must be ${joinWords(words.map((word) => JSON.stringify(word)))}` });
}

export function text(charactersMax: number): z.ZodString {
  const error = `must be a text of 1 to ${charactersMax} characters`;
  return checked(z.string({ error }).min(1, { error }).max(charactersMax, { error }), error, (value) =>
    hasControl(value) ? "has a control character" : value.isWellFormed() ? undefined : "is not valid Unicode",
  );
}

/** A name of ours: it goes into file names, labels and client ids, so its characters are few. */
export function name(): z.ZodString {
  return pattern(NAME, 'must be 1 to 64 of the characters A-Z a-z 0-9 . _ - (and not only ".")');
}

export function environmentName(): z.ZodString {
  const error = "must be the name of an environment variable";
  // The value is not shown: who takes the key for `password` has put the password here.
  return checked(z.string({ error }), error, (value) =>
    /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(value) ? undefined : "is not a name",
  );
}

/** Of a file or directory; relative ones start from the file that names them. */
export function path(): z.ZodString {
  const error = "must be a path of 1 to 4096 characters";
  return checked(z.string({ error }).min(1, { error }).max(4096, { error }), error, (value) => {
    if (mayHoldSecret(value)) return "holds a key itself, not the path of its file";
    return hasControl(value) ? "has a control character" : undefined;
  });
}

/** What is called: an address or a name, and a port. */
export function endpoint(): z.ZodString {
  const error = 'must be HOST:PORT, such as "10.10.0.2:14550", "[fd00::2]:14550" or "gate.example:14550"';
  return checked(z.string({ error }), error, (value) => {
    const parsed = parseEndpoint(value);
    if (typeof parsed === "string") return `${quote(value)} ${parsed}`;
    return parsed.port === 0 ? `${quote(value)} has the port 0` : undefined;
  });
}

/** What is bound: an address and a port. */
export function address(portMin: 0 | 1, example: string): z.ZodString {
  const error = `must be ADDRESS:PORT, such as "${example}"`;
  return checked(z.string({ error }), error, (value) => {
    const parsed = parseEndpoint(value);
    if (typeof parsed === "string") return `${quote(value)} ${parsed}`;
    if (!isBindable(parsed.host)) return `${quote(value)} has a name where an address belongs`;
    return parsed.port < portMin ? `${quote(value)} has the port 0` : undefined;
  });
}

export function topicFilter(): z.ZodString {
  const error = 'must be a topic filter, such as "plant/+/temperature" or "plant/#"';
  return checked(z.string({ error }), error, (value) => quoteProblem(value, checkTopicFilter(value)));
}

/** A filter that is compared here and never subscribed to, so that a share group would mean nothing. */
export function localTopicFilter(): z.ZodString {
  const error = 'must be a topic filter without "$share", such as "plant/+/temperature" or "plant/#"';
  return checked(z.string({ error }), error, (value) =>
    value.startsWith("$share/")
      ? `${quote(value)} has a share group`
      : quoteProblem(value, checkTopicFilter(value)),
  );
}

const NAME = /^(?!\.+$)[A-Za-z0-9._-]{1,64}$/;

export function isName(value: string): boolean {
  return NAME.test(value);
}

function pattern(expression: RegExp, error: string): z.ZodString {
  return z.string({ error }).regex(expression, { error });
}

/** Adds a check whose problem is told in its own words. */
export function checked<T extends z.ZodType>(schema: T, message: string, check: Check<z.output<T>>): T {
  return schema.superRefine((value, context) => {
    const problem = check(value);
    if (problem !== undefined) context.addIssue({ code: "custom", message, params: { problem } });
  });
}

function quoteProblem(value: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${quote(value)} ${problem}`;
}

export function joinWords(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function quote(value: string): string {
  return mayHoldSecret(value) ? "the value" : quoteText(value);
}

function hasControl(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return /[\u0000-\u001f\u007f-\u009f]/.test(value);
}
