// Text from a file that nobody vouches for, made fit for a terminal: control characters, and those that turn or hide text,
// are escaped. In JSON the escapes mean the same as the characters.

const UNSAFE = /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const SHOWN_CHARACTERS_MAX = 200;

export function toSafeJson(value: unknown): string {
  const toEscape = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(UNSAFE, toEscape);
}

/** In double quotes, cut when long. */
export function quote(text: string): string {
  return toSafeJson(text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text);
}
