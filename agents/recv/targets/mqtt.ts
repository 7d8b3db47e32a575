// The target of type "mqtt": publishes to a broker over mqtt, mqtts, ws or wss. MQTT.js keeps the session; the messages
// take the egress tap beside it, in batches. Publishes only: it never subscribes, sends no will, and resumes no session.
import type { Logger } from "../../../shared/log.ts";
import { LogLimiter } from "../../../shared/log.ts";
import type { Message } from "../../../shared/message.ts";
import { type BrokerSession, createBrokerConnection } from "../../../shared/mqtt/connection.ts";
import { createEgressTap } from "../../../shared/mqtt/egress-tap.ts";
import type { MqttTarget } from "../profile.ts";
import { judgeMessage } from "./rules.ts";
import type { TargetOutcome } from "./runner.ts";
import type { Target, TargetState } from "./target.ts";

/** The same trouble is logged again after this time. */
const REPEAT_LOG_MS = 60_000;
const LOSS_LOG_MS = 10_000;
/** Messages of QoS 0 that may be published while an older one of QoS 1 or 2 waits for its acknowledgement. */
const AHEAD_MESSAGES_MAX = 4096;

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
  /** Called when nothing is unsettled: close() waits for it. */
  let finish = () => {};
  const version = profile.mqttVersion === "5" ? 5 : 4;

  const tap = createEgressTap({
    version,
    inflightMax: profile.inflightMax,
    clock: () => rim.clock(),
    onRoom: () => target.onReady(),
    onProtocolError: (reason) =>
      rim.log.error(
        { ...names, reason },
        `target ${profile.name}: the broker breaks the protocol: ${reason}`,
      ),
  });
  const client = createBrokerConnection({
    label: `target ${profile.name}`,
    address: url,
    tls: profile.tls,
    proxy: profile.proxy,
    version,
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
    wrap: (socket) => tap.wrap(socket),
    onOnline: (granted) => {
      session = granted;
      state = "connected";
      problem = undefined;
      loggedMs = Number.NEGATIVE_INFINITY;
      connections++;
      rim.log.info({ ...names, connections }, `target ${profile.name} is connected`);
      tap.open(granted);
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
      return tap.room === 0 ? 0 : profile.inflightMax + AHEAD_MESSAGES_MAX;
    },
    judge(message, ageMs) {
      const judgement = judgeMessage(message, ageMs, profile, session ?? NO_LIMITS);
      if ("outcome" in judgement && judgement.outcome.startsWith("lost/")) {
        noteLoss(judgement.outcome, message, judgement.outcome.slice(5));
      }
      return judgement;
    },
    publish(message, onSettled) {
      tap.publish(message, (outcome) => {
        if (outcome.kind === "refused") noteLoss("lost/refused", message, outcome.reason);
        else if (outcome.kind !== "forwarded") noteLoss(`lost/${outcome.kind}`, message, outcome.kind);
        onSettled(outcome.kind === "forwarded" ? "forwarded" : `lost/${outcome.kind}`);
        if (tap.pending === 0) finish();
      });
    },
    onReady: () => {},
    close: (graceMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => {
          finish = () => {};
          client.end(true, {}, () => resolve());
        }, graceMs);
        finish = () => {
          finish = () => {};
          client.end(false, {}, () => {
            clearTimeout(timer);
            resolve();
          });
        };
        if (tap.pending === 0) finish();
      }),
  };
  client.connect();
  return target;
}

const NO_LIMITS = { qosMax: 2, retainAvailable: true, packetBytesMax: undefined } as const;
