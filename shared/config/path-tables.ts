// Keys that [[link.path]] tables of both agents have alike: network interfaces, addresses of this machine, and the two
// kinds of a pipe's end. Refuses an end that is both or neither, and a speed that serial lines do not have.

import { isIP } from "node:net";
import * as z from "zod";
import { INTERFACE_CHARACTERS_MAX } from "../native/socket-options.ts";
import { checked, text } from "./leaf.ts";
import type { Review } from "./review.ts";
import { readValue } from "./schema-faults.ts";
import { quoteText } from "./show-value.ts";
import { list } from "./table.ts";

/** A program with its arguments, or a serial device or named pipe. */
export type PipeEnd =
  | { readonly kind: "command"; readonly command: readonly string[] }
  | { readonly kind: "device"; readonly device: string; readonly baud: number | undefined };

export function defaultPathName(index: number): string {
  return `path-${index + 1}`;
}

export function interfaceName(): z.ZodString {
  const error = 'must be the name of a network interface, such as "eth1"';
  return checked(z.string({ error }), error, (value) =>
    value.length <= INTERFACE_CHARACTERS_MAX && /^[^\s/:%]+$/.test(value) && !/^\.+$/.test(value)
      ? undefined
      : `${quoteText(value)} is none`,
  );
}

export function localAddress(): z.ZodString {
  const error = 'must be an address of this machine, such as "10.10.0.1" or "fd00::1"';
  return checked(z.string({ error }), error, (value) =>
    isIP(value) === 0 ? `${quoteText(value)} is no address` : undefined,
  );
}

const ARGUMENTS_MAX = 64;

export function commandList() {
  return list("texts: the program, then its arguments", text(4096), 1, ARGUMENTS_MAX);
}

/** Speeds that Linux knows by name, and so every C library. */
const BAUDS = [
  1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600,
  1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
] as const;

export function serialBaud() {
  const error = `must be one of ${BAUDS.join(", ")}`;
  return z.literal(BAUDS, { error });
}

type PipeKeys = {
  readonly command?: readonly (string | undefined)[] | undefined;
  readonly device?: string | undefined;
  readonly baud?: number | undefined;
};

export function reviewPipe(review: Review, index: number): void {
  const at = (key: string) => ["link", "path", index, key];
  // A value that has a fault of its own is there all the same.
  const isGiven = (key: string) => readValue(review.document, at(key)) !== undefined;
  if (!isGiven("command") && !isGiven("device"))
    review.add(at("type"), 'is "pipe", and neither command nor device is given', "must have one of them");
  if (isGiven("command") && isGiven("device"))
    review.add(at("device"), "is given beside command", "must be only one of them");
  if (isGiven("baud") && isGiven("command") && !isGiven("device"))
    review.add(at("baud"), "is given, and there is no device", "must be left out");
}

/** `command` without a slash is looked up where programs are; with one, it is a path like any other in the file. */
export function toPipeEnd(review: Review, keys: PipeKeys): PipeEnd {
  if (keys.device !== undefined)
    return { kind: "device", device: review.resolve(keys.device), baud: keys.baud };
  const [program = "", ...rest] = (keys.command ?? []) as readonly string[];
  return {
    kind: "command",
    command: [program.includes("/") ? review.resolve(program) : program, ...rest],
  };
}
