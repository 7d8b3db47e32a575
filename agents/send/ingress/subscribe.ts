// The source of type "subscribe": a client of a broker in the plant. MQTT.js keeps the session; the messages take the
// tap beside it, so that they can be acknowledged in batches, after the journal has them.
import type { Logger } from "../../../shared/log.ts";
import { EmbeddedMessage } from "../../../shared/message.ts";
import { type BrokerSession, createBrokerConnection } from "../../../shared/mqtt/connection.ts";
import {
  createIngressTap,
  type InboundPublish,
  type InboundRefusal,
} from "../../../shared/mqtt/ingress-tap.ts";
import { TopicCache } from "../../../shared/mqtt/topic-cache.ts";
import type { Intake, LossReason } from "../intake.ts";
import type { SubscribeSource } from "../source-config.ts";
import type { Source, SourceState } from "./source.ts";

/** What a PUBLISH may hold beside its payload: header, topic, properties. */
const PACKET_OVERHEAD_BYTES = 256 * 1024;
const LOSSES: Record<InboundRefusal["reason"], LossReason> = {
  oversize: "oversize",
  "topic-empty": "invalid-topic",
  "topic-text": "invalid-topic",
  "topic-wildcard": "invalid-topic",
  "property-text": "invalid-property",
  "payload-format": "invalid-property",
};
/** The same trouble is logged again after this time. */
const REPEAT_LOG_MS = 60_000;

export type SourceRim = { readonly log: Logger; clock(): number; random(): number };

/** Connects and stays connected until close(). */
export function startSubscribe(
  config: SubscribeSource,
  messageBytesMax: number,
  intake: Pick<Intake, "accept" | "refuse">,
  rim: SourceRim,
): Source {
  const names = { source: config.name };
  const version = config.mqttVersion === "5" ? 5 : 4;
  let state: SourceState = "connecting";
  let sessions = 0;
  let problem: string | undefined;
  let loggedMs = Number.NEGATIVE_INFINITY;
  let settled: (InboundPublish | InboundRefusal)[] = [];

  const settle = (delivery: InboundPublish | InboundRefusal) => {
    if (delivery.qos === 0) return;
    // One commit settles many: they are acknowledged together, once the caller is done.
    if (settled.length === 0) queueMicrotask(acknowledge);
    settled.push(delivery);
  };
  const acknowledge = () => {
    const deliveries = settled;
    settled = [];
    tap.ack(deliveries);
  };
  const tap = createIngressTap({
    version,
    packetBytesMax: messageBytesMax + PACKET_OVERHEAD_BYTES,
    receiveMaximum: config.receiveMaximum,
    topics: new TopicCache(),
    onPublish: (publish) => {
      const { topic, bytes, payloadStart, payloadEnd, qos, retain, properties } = publish;
      const message = new EmbeddedMessage(
        topic,
        bytes,
        payloadStart,
        payloadEnd - payloadStart,
        qos,
        retain,
        properties,
        rim.clock(),
      );
      intake.accept(config.name, message, qos === 0 ? undefined : () => settle(publish));
    },
    onRefusal: (refusal) => {
      const { reason, topic, qos, packetBytes } = refusal;
      intake.refuse(config.name, LOSSES[reason], topic ?? "", packetBytes, qos, () => settle(refusal));
    },
    onProtocolError: (reason) =>
      rim.log.error({ ...names, reason }, `source ${config.name}: the broker breaks the protocol: ${reason}`),
  });

  const subscribe = (session: BrokerSession) => {
    // Of MQTT 5: the retain flag as the publisher set it, and what is retained only with a new subscription, so that a
    // reconnect does not carry all of it over again [MQTT5 3.8.3.1]. MQTT 3.1.1 has neither.
    const topics = Object.fromEntries(
      config.topics.map(({ filter, qos }) => [filter, { qos, rap: true, rh: 1 as const }]),
    );
    client.subscribe(topics, (error, asked, answer) => {
      // The connection went away meanwhile: that is told by onOffline, and the next one subscribes again.
      if (error && answer === undefined) return;
      const codes = (answer?.granted ?? []) as readonly number[];
      const refused = (asked ?? [])
        .filter((_, index) => (codes[index] ?? 0) >= 0x80)
        .map(({ topic }) => topic);
      if (error || refused.length > 0) {
        state = "down";
        problem =
          refused.length === 0
            ? `cannot subscribe: ${error?.message}`
            : `the broker refuses the topic filters ${refused.join(", ")}`;
        rim.log.error(
          { ...names, refused },
          `source ${config.name}: ${problem}; allow them in the broker's access list`,
        );
        return;
      }
      state = "connected";
      sessions++;
      problem = undefined;
      loggedMs = Number.NEGATIVE_INFINITY;
      rim.log.info(
        { ...names, sessionPresent: session.sessionPresent },
        `source ${config.name} is subscribed`,
      );
    });
  };
  const client = createBrokerConnection({
    label: `source ${config.name}`,
    address: config.url,
    tls: () => config.tls,
    proxy: config.proxy,
    version,
    clientId: config.clientId,
    login: () => ({ username: config.username, password: config.password }),
    cleanStart: config.cleanStart,
    sessionExpirySeconds: config.sessionExpirySeconds,
    receiveMaximum: config.receiveMaximum,
    keepaliveSeconds: config.keepaliveSeconds,
    connectTimeoutSeconds: config.connectTimeoutSeconds,
    reconnectMinMs: config.reconnectMinMs,
    reconnectMaxMs: config.reconnectMaxMs,
    random: () => rim.random(),
    wrap: (socket) => tap.wrap(socket),
    onOnline: subscribe,
    onOffline: (fault, retryMs) => {
      state = "down";
      const isNews = fault.sentence !== problem || rim.clock() - loggedMs >= REPEAT_LOG_MS;
      problem = fault.sentence;
      if (!isNews) return;
      loggedMs = rim.clock();
      rim.log.warn({ ...names, fault: fault.id, code: fault.code, retryMs }, fault.sentence);
    },
  });
  client.connect();
  return {
    name: config.name,
    get state() {
      return state;
    },
    get problem() {
      return problem;
    },
    get sessions() {
      return sessions;
    },
    pause: () => tap.pause(),
    close: () =>
      new Promise((resolve) => {
        acknowledge();
        client.end(false, {}, () => resolve());
      }),
  };
}
