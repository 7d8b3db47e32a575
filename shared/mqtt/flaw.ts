// What is wrong with a packet from a client. MQTT 5 tells "malformed" (it cannot be parsed) from "protocol error" (it
// parses, and must not be) [MQTT5 4.13]: the reason code says which, and the connection ends in both cases.
import { REASON, type ReasonCode } from "./reason-code.ts";

export type Flaw = { readonly code: ReasonCode; readonly why: string };

export function malformed(why: string): Flaw {
  return { code: REASON.malformedPacket, why };
}

export function breach(why: string): Flaw {
  return { code: REASON.protocolError, why };
}

export function isFlaw(value: object): value is Flaw {
  return "why" in value;
}
