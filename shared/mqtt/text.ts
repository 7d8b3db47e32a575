// Reads MQTT's UTF-8 strings [MQTT5 1.5.4]. Refuses what is not well-formed UTF-8 and U+0000.

import { isUtf8 } from "node:buffer";

/** The string in bytes[start, end), or undefined when MQTT doesn't allow it. */
export function decodeText(bytes: Buffer, start: number, end: number): string | undefined {
  const text = bytes.toString("utf8", start, end);
  // Decoding puts U+FFFD where a byte was wrong, but U+FFFD may also be meant: only then is a second look needed.
  if (text.includes("\ufffd") && !isUtf8(bytes.subarray(start, end))) return undefined;
  return text.includes("\0") ? undefined : text;
}
