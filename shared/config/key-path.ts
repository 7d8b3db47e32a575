// The place of a value in a TOML file, and how a person writes it: `source[1].tls.ca_file`.
// Prints every key so that a hostile one (a newline, an escape sequence) can't forge a line of output.

import { quoteText } from "./show-value.ts";

export type KeyPath = readonly (string | number)[];

/** The root of a file has no key of its own; its faults are printed under this word. */
export const FILE_KEY = "file";

const BARE_KEY = /^[A-Za-z0-9_-]+$/;

export function formatKeyPath(path: KeyPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += `${text === "" ? "" : "."}${BARE_KEY.test(part) ? part : quoteText(part)}`;
  }
  return text === "" ? FILE_KEY : text;
}
