// The target of type "mqtt": publishes to a broker by MQTT.js over mqtt, mqtts, ws or wss. Publishes only: it never
// subscribes, sends no will, and has no session to resume, because a publisher needs none.
import type { IClientPublishOptions } from "mqtt";
import type { Logger } from "../../../shared/log.ts";
import { LogLimiter } from "../../../shared/log.ts";
import type { Message, MessageProperties } from "../../../shared/message.ts";
import { type BrokerSession, createBrokerConnection } from "../../../shared/mqtt/connection.ts";
import type { MqttTarget } from "../profile.ts";
import { judgeMessage } from "./rules.ts";
import type { TargetOutcome } from "./runner.ts";
import type { Target, TargetState } from "./target.ts";

/** The same trouble is logged again after this time. */
const REPEAT_LOG_MS = 60_000;
const LOSS_LOG_MS = 10_000;

export type TargetRim = { readonly log: Logger; clock(): number; random(): number };

/** Connects and stays connected until close(). */
export function startMqttTarget(profile: MqttTarget, rim: TargetRim): Target {
  const names = { target: profile.name };
  const limiter = new LogLimiter(LOSS_LOG_MS);
  const { url } = profile;
  let session: BrokerSession | undefined;
  let state: TargetState = "connecting";
  let problem: string | undefined;
  let loggedMs = Number.NEGATIVE_INFINITY;
  let connections = 0;
  let closing = false;
  /** QoS 0 messages that the connection did not take any more when it broke. */
  const unsent: (() => void)[] = [];

  const client = createBrokerConnection({
    label: `target ${profile.name}`,
    address: url,
    tls: profile.tls,
    version: profile.mqttVersion === "5" ? 5 : 4,
    clientId: profile.clientId,
    username: profile.username,
    password: profile.password,
    cleanStart: true,
    sessionExpirySeconds: undefined,
    receiveMaximum: undefined,
    keepaliveSeconds: profile.keepaliveSeconds,
    connectTimeoutSeconds: profile.connectTimeoutSeconds,
    reconnectMinMs: profile.reconnectMinMs,
    reconnectMaxMs: profile.reconnectMaxMs,
    random: () => rim.random(),
    onOnline: (granted) => {
      session = granted;
      state = "connected";
      problem = undefined;
      loggedMs = Number.NEGATIVE_INFINITY;
      connections++;
      rim.log.info({ ...names, connections }, `target ${profile.name} is connected`);
      for (const publish of unsent.splice(0)) publish();
      target.onReady();
    },
    onOffline: (fault, retryMs) => {
      session = undefined;
      state = "down";
      const isNews = fault.sentence !== problem || rim.clock() - loggedMs >= REPEAT_LOG_MS;
      problem = fault.sentence;
      if (!isNews) return;
      loggedMs = rim.clock();
      rim.log.warn({ ...names, fault: fault.id, code: fault.code, retryMs }, fault.sentence);
    },
  });

  const noteLoss = (outcome: TargetOutcome, message: Message, why: string) => {
    const alike = limiter.allow(outcome, rim.clock());
    if (alike === undefined) return;
    const topic = message.topic.slice(0, 256);
    const figures = { ...names, outcome, topic, payloadBytes: message.payload.length, alike };
    rim.log.warn(figures, `target ${profile.name} does not get a message: ${why}`);
  };

  const target: Target = {
    name: profile.name,
    type: profile.type,
    address: `${url.scheme}://${url.host.includes(":") ? `[${url.host}]` : url.host}:${url.port}${url.path}`,
    get state() {
      return state;
    },
    get problem() {
      return problem;
    },
    get connections() {
      return connections;
    },
    get window() {
      return session === undefined ? 0 : Math.min(profile.inflightMax, session.receiveMaximum);
    },
    judge(message, ageMs) {
      const judgement = judgeMessage(message, ageMs, profile, session ?? NO_LIMITS);
      if ("outcome" in judgement && judgement.outcome.startsWith("lost/")) {
        noteLoss(judgement.outcome, message, judgement.outcome.slice(5));
      }
      return judgement;
    },
    publish(message, onSettled) {
      const options = publishOptions(message, profile.mqttVersion);
      client.publish(message.topic, message.payload as Buffer, options, (error) => {
        if (!error) return onSettled("forwarded");
        // A PUBACK or PUBREC with a reason code of 0x80 or above: the broker will not take this message, now or
        // later [MQTT5 3.4.2.1]. Any other error is the connection's: the message waits for the next one.
        if (((error as { code?: unknown }).code as number) >= 0x80) {
          noteLoss("lost/refused", message, error.message);
          onSettled("lost/refused");
        } else if (!closing) unsent.push(() => target.publish(message, onSettled));
      });
    },
    onReady: () => {},
    close: (graceMs) =>
      new Promise((resolve) => {
        closing = true;
        const timer = setTimeout(() => client.end(true, {}, () => resolve()), graceMs);
        client.end(false, {}, () => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
  client.connect();
  return target;
}

const NO_LIMITS = { qosMax: 2, retainAvailable: true, packetBytesMax: undefined } as const;

function publishOptions(
  { qos, retain, properties }: Message,
  version: MqttTarget["mqttVersion"],
): IClientPublishOptions {
  if (properties === undefined || version !== "5") return { qos, retain };
  return { qos, retain, properties: toMqttJs(properties) };
}

function toMqttJs(properties: MessageProperties): NonNullable<IClientPublishOptions["properties"]> {
  const { payloadFormat, messageExpirySeconds, contentType, userProperties } = properties;
  const names: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of userProperties ?? []) {
    const before = names[name];
    if (before === undefined) names[name] = value;
    else names[name] = Array.isArray(before) ? [...before, value] : [before, value];
  }
  return {
    ...(payloadFormat === undefined ? {} : { payloadFormatIndicator: payloadFormat === 1 }),
    ...(messageExpirySeconds === undefined ? {} : { messageExpiryInterval: messageExpirySeconds }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(userProperties === undefined ? {} : { userProperties: names }),
  };
}
