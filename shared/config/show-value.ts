// Shows a value of a TOML file to a person, short and on one line.
// Refuses to show what may hold a secret: a URL with user information, pasted keys.

const SHOWN_CHARACTERS_MAX = 80;

// JSON leaves these as they are, but a terminal may act on them: DEL, C1, line and bidirectional controls.
const UNSAFE = /[\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const MAY_HOLD_SECRET = /-----BEGIN|^tidegate-key-|:\/\/[^/]*@/;

/** The text in double quotes, every control character escaped, cut when long. */
export function quoteText(text: string): string {
  const cut = text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
  return JSON.stringify(cut).replace(
    UNSAFE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** What a value is, as the sentence after the key: `is 7`, `is "abc"`, `is a table`, `is missing`. */
export function describeValue(value: unknown): string {
  if (value === undefined) return "is missing";
  if (typeof value === "string") return mayHoldSecret(value) ? "holds a secret" : `is ${quoteText(value)}`;
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean")
    return `is ${value}`;
  if (value instanceof Date) return "is a date or time";
  if (Array.isArray(value)) return describeList(value);
  return "is a table";
}

/** Whether a text looks like a key or a password that was put where a path or an address belongs. */
export function mayHoldSecret(text: string): boolean {
  return MAY_HOLD_SECRET.test(text);
}

function describeList(list: readonly unknown[]): string {
  if (list.length === 0) return "is an empty list";
  return `is a list of ${list.length}`;
}
