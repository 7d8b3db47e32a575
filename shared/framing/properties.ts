// The MQTT 5 properties that cross, as MQTT writes them [MQTT5 2.2.2]: identifier, then value; in ascending order of
// identifier, user properties last and in the publisher's order. Strict: anything else is refused, never skipped.
import type { MessageProperties } from "../message.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";

const PAYLOAD_FORMAT = 0x01;
const MESSAGE_EXPIRY = 0x02;
const CONTENT_TYPE = 0x03;
const USER_PROPERTY = 0x26;

export function encodeProperties(out: ByteWriter, properties: MessageProperties): void {
  if (properties.payloadFormat !== undefined) {
    out.u8(PAYLOAD_FORMAT);
    out.u8(properties.payloadFormat);
  }
  if (properties.messageExpirySeconds !== undefined) {
    out.u8(MESSAGE_EXPIRY);
    out.u32(properties.messageExpirySeconds);
  }
  if (properties.contentType !== undefined) {
    out.u8(CONTENT_TYPE);
    out.text(properties.contentType);
  }
  for (const [name, value] of properties.userProperties ?? []) {
    out.u8(USER_PROPERTY);
    out.text(name);
    out.text(value);
  }
}

/** Reads to the end of `input`; undefined when any byte is not as encodeProperties() writes it. */
export function decodeProperties(input: ByteReader): MessageProperties | undefined {
  const out: { -readonly [K in keyof MessageProperties]: MessageProperties[K] } = {};
  const userProperties: [string, string][] = [];
  let last = 0;
  while (input.remaining > 0 && !input.failed) {
    const id = input.u8();
    if (id < last || (id === last && id !== USER_PROPERTY)) return undefined;
    last = id;
    if (id === PAYLOAD_FORMAT) {
      const format = input.u8();
      if (format > 1) return undefined;
      out.payloadFormat = format as 0 | 1;
    } else if (id === MESSAGE_EXPIRY) out.messageExpirySeconds = input.u32();
    else if (id === CONTENT_TYPE) out.contentType = input.text();
    else if (id === USER_PROPERTY) userProperties.push([input.text(), input.text()]);
    else return undefined;
  }
  if (input.failed) return undefined;
  if (userProperties.length > 0) out.userProperties = userProperties;
  return out;
}
