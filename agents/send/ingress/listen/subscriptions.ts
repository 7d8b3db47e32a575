// Answers SUBSCRIBE and UNSUBSCRIBE [MQTT5 3.8, 3.10]. Subscriptions are accepted, or refused where the configuration says so;
// they are kept with the session, and all that is ever delivered on them is what delivery.ts has.
import type { ProtocolVersion } from "../../../../shared/mqtt/connect-packet.ts";
import { decodeSubscribe, decodeUnsubscribe } from "../../../../shared/mqtt/control-packets.ts";
import { type Flaw, isFlaw } from "../../../../shared/mqtt/flaw.ts";
import { REASON } from "../../../../shared/mqtt/reason-code.ts";
import { encodeSuback, encodeUnsuback } from "../../../../shared/mqtt/server-packets.ts";
import { checkTopicFilter } from "../../../../shared/mqtt/topic.ts";
import type { Session } from "./session.ts";

const SUBSCRIPTIONS_MAX = 1000;
/** SUBACK of MQTT 3.1.1 knows one refusal [MQTT-3.9.3-2]; MQTT 3.1 knows none. */
const FAILURE = 0x80;

export type SubscriptionAnswer = {
  readonly answer: Buffer;
  readonly hasChanged: boolean;
  /** Topic filters whose retained messages the client is to get. */
  readonly wantsRetained: readonly string[];
};

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
  const wantsRetained: string[] = [];
  const codes = packet.wishes.map(({ filter, qos, retainHandling, retainAsPublished, problem }) => {
    if (problem !== undefined) return refused(REASON.topicFilterInvalid);
    if (policy === "refuse") return refused(REASON.notAuthorized);
    if (session.subscriptionCount >= SUBSCRIPTIONS_MAX && !session.hasSubscription(filter))
      return refused(REASON.quotaExceeded);
    const isNew = !session.hasSubscription(filter);
    if (retainHandling === 0 || (retainHandling === 1 && isNew)) wantsRetained.push(filter);
    session.subscribe(filter, qos, packet.identifier, retainAsPublished);
    hasChanged = true;
    return qos;
  });
  return { answer: encodeSuback(version, packet.packetId, codes), hasChanged, wantsRetained };
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
    checkTopicFilter(filter) !== undefined
      ? REASON.topicFilterInvalid
      : session.unsubscribe(filter)
        ? REASON.success
        : REASON.noSubscriptionExisted,
  );
  return {
    answer: encodeUnsuback(version, packet.packetId, codes),
    hasChanged: codes.includes(REASON.success),
    wantsRetained: [],
  };
}
