// Answers SUBSCRIBE and UNSUBSCRIBE [MQTT5 3.8, 3.10]. Subscriptions are accepted, or refused where the configuration says so;
// they are kept with the session, and nothing is ever delivered on them.
import type { ProtocolVersion } from "../../../../shared/mqtt/connect-packet.ts";
import { decodeSubscribe, decodeUnsubscribe } from "../../../../shared/mqtt/control-packets.ts";
import { type Flaw, isFlaw } from "../../../../shared/mqtt/flaw.ts";
import { REASON } from "../../../../shared/mqtt/reason-code.ts";
import { encodeSuback, encodeUnsuback } from "../../../../shared/mqtt/server-packets.ts";
import type { Session } from "./session.ts";

const SUBSCRIPTIONS_MAX = 1000;
/** SUBACK of MQTT 3.1.1 knows one refusal [MQTT-3.9.3-2]; MQTT 3.1 knows none. */
const FAILURE = 0x80;

export type SubscriptionAnswer = { readonly answer: Buffer; readonly hasChanged: boolean };

export function subscribe(
  session: Session,
  policy: "accept" | "refuse",
  version: ProtocolVersion,
  bytes: Buffer,
  start: number,
  end: number,
): SubscriptionAnswer | Flaw {
  const packet = decodeSubscribe(version, bytes, start, end);
  if (isFlaw(packet)) return packet;
  const refused = (code: number) => (version === 5 ? code : version === 4 ? FAILURE : 0);
  let hasChanged = false;
  const codes = packet.wishes.map(({ filter, qos, problem }) => {
    if (problem !== undefined) return refused(REASON.topicFilterInvalid);
    if (policy === "refuse") return refused(REASON.notAuthorized);
    if (session.subscriptionCount >= SUBSCRIPTIONS_MAX && !session.hasSubscription(filter))
      return refused(REASON.quotaExceeded);
    session.subscribe(filter, qos);
    hasChanged = true;
    return qos;
  });
  return { answer: encodeSuback(version, packet.packetId, codes), hasChanged };
}

export function unsubscribe(
  session: Session,
  version: ProtocolVersion,
  bytes: Buffer,
  start: number,
  end: number,
): SubscriptionAnswer | Flaw {
  const packet = decodeUnsubscribe(version, bytes, start, end);
  if (isFlaw(packet)) return packet;
  const codes = packet.filters.map((filter) =>
    session.unsubscribe(filter) ? REASON.success : REASON.noSubscriptionExisted,
  );
  return {
    answer: encodeUnsuback(version, packet.packetId, codes),
    hasChanged: codes.includes(REASON.success),
  };
}
