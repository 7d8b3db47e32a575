// A target that speaks MQTT: rules, channels, status and log lines, the same for every type. What a type does otherwise
// it says in its dialect. Publishes only: it never subscribes, resumes no session, and leaves a will only where the
// profile asks for one.

import { formatBrokerUrl } from "../../../shared/config/broker-url.ts";
import type { MqttSession } from "../../../shared/config/mqtt-session.ts";
import type { Logger } from "../../../shared/log.ts";
import { LogLimiter } from "../../../shared/log.ts";
import type { Message } from "../../../shared/message.ts";
import type { BrokerWill } from "../../../shared/mqtt/connection.ts";
import type { Durability } from "../../../shared/store/block-log.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import { type Channels, SharedChannels } from "./channels.ts";
import type { Dialect } from "./dialect.ts";
import { FaultLog } from "./fault-log.ts";
import type { Judgement, TargetOutcome } from "./outcome.ts";
import { type Form, type OversizePolicy, reduceOversize } from "./oversize.ts";
import { type ParcelOutcome, publishParcel } from "./parcels.ts";
import type { TargetPlan } from "./plan.ts";
import { PublishRate, type PublishRateSettings } from "./publish-rate.ts";
import { type BrokerLimits, judgeSize, routeMessage } from "./rules.ts";
import { StatusBeacon, type StatusSettings } from "./status-beacon.ts";
import type { Target } from "./target.ts";
import { TlsFiles } from "./tls-files.ts";
import { type TopicRuleSettings, TopicRules } from "./topic-rules.ts";

export type { Dialect } from "./dialect.ts";

const LOSS_LOG_MS = 10_000;

export type BrokerTarget = MqttSession & {
  readonly name: string;
  readonly type: string;
  /** The profile's file, absolute. */
  readonly file: string;
  readonly topics: TopicRuleSettings;
  /** Of each connection. */
  readonly inflightMax: number;
  readonly inflightBytesMax: number | undefined;
  /** 0 = no limit. */
  readonly ackTimeoutSeconds: number;
  readonly rate: PublishRateSettings | undefined;
  /** Connections that share the topics. */
  readonly connectionsMax: number;
  readonly plan: TargetPlan;
  /** What is done with a message that is too large for the target. */
  readonly oversize: OversizePolicy;
  readonly status: StatusSettings | undefined;
  /** What doctor publishes. */
  readonly probe: { readonly topic: string; readonly qos: 0 | 1 } | undefined;
};

export type TargetRim = {
  readonly log: Logger;
  /** The wall clock. */
  clock(): number;
  /** A clock that only runs forward. */
  steady(): number;
  random(): number;
  /** Where the agent keeps what it has to remember. */
  readonly directory: string;
  /** How it is to be kept there. */
  readonly durability: Durability;
  /** How far the clock of the other side is behind ours; undefined while nothing is heard of it. */
  clockDifferenceMs(): number | undefined;
  /** What the clock of the other side shows, its journey here included; undefined while nothing is heard of it. */
  senderNowMs(): number | undefined;
  /** Messages that this target will never get: lost on the link, given up by the sender, or by the spool. Of any origin. */
  lostBefore(target: string): number;
  /** Id of the newest content that the spool has ever had. */
  newestContentId(): number;
  /** For the status that a profile wants published. */
  linkState(): string;
  describe(target: string): object;
};

/** Connects and stays connected until close(). */
export function startBrokerTarget(profile: BrokerTarget, rim: TargetRim, dialect: Dialect = {}): Target {
  const names = { target: profile.name };
  const limiter = new LogLimiter(LOSS_LOG_MS);
  const faults = new FaultLog(rim);
  const rules = new TopicRules(profile.topics);

  const tlsFiles =
    profile.tls &&
    new TlsFiles(profile.tls, {
      changed: () => {
        rim.log.info(names, `target ${profile.name}: certificates read again; connecting with them`);
        for (const channel of channels.all) channel.renew();
      },
      refused: (problem) =>
        rim.log.error(names, `target ${profile.name}: cannot use the changed certificates: ${problem}`),
      ending: (days, file) => {
        const end = days < 0 ? "has expired" : `expires in ${days} days`;
        rim.log.warn({ ...names, days }, `target ${profile.name}: ${file} ${end}; have it renewed`);
      },
    });
  const beacon =
    profile.status &&
    new StatusBeacon(profile.status, {
      clock: () => rim.clock(),
      linkState: () => rim.linkState(),
      describe: () => rim.describe(profile.name),
      publish: (message, onSettled) => {
        const judgement = dialect.judge?.(message, message, "whole") ?? { publish: message };
        if ("outcome" in judgement) {
          noteLoss("status", message, judgement.detail ?? judgement.outcome);
          // Not from inside the call: it counts itself as under way only after it.
          queueMicrotask(() => onSettled(false, true));
          return;
        }
        const { publish } = judgement;
        channels.publish(publish, (outcome) => {
          if (outcome.kind !== "forwarded") noteLoss("status", message, explainOutcome(outcome));
          onSettled(outcome.kind === "forwarded", outcome.kind === "poison");
        });
      },
    });

  const openChannel = (
    label: string,
    clientId: string,
    rate: PublishRate | undefined,
    hasBeacon = false,
  ): Channel => {
    const options: ChannelOptions = {
      label,
      session: profile,
      clientId,
      tls: () => tlsFiles?.config,
      readdress:
        dialect.readdress && ((message) => (dialect.readdress as NonNullable<Dialect["readdress"]>)(message)),
      login: dialect.login && (() => (dialect.login as NonNullable<Dialect["login"]>)(clientId)),
      loginHint: dialect.loginHint,
      closedHint: dialect.closedHint,
      addressKey: dialect.addressKey,
      will: hasBeacon ? (beacon?.will as BrokerWill | undefined) : undefined,
      followsReference: dialect.followsReference ?? false,
      inflightMax: profile.inflightMax,
      inflightBytesMax: profile.inflightBytesMax,
      ackTimeoutMs: profile.ackTimeoutSeconds === 0 ? undefined : profile.ackTimeoutSeconds * 1000,
      rate,
    };
    const channel: Channel = new Channel(options, rim, {
      online: () => {
        faults.noteOnline(label, { ...names, connections: channel.connections });
        dialect.heard?.(clientId, undefined);
        if (hasBeacon) beacon?.noteUp();
      },
      offline: (fault, retryMs) => {
        if (hasBeacon) beacon?.noteDown();
        faults.note(label, names, fault, retryMs);
        dialect.heard?.(clientId, fault);
      },
      protocolError: (reason) =>
        rim.log.error({ ...names, reason }, `${label}: the broker breaks the protocol: ${reason}`),
      unacknowledged: (waitedMs) => {
        const seconds = Math.round(waitedMs / 1000);
        rim.log.warn(
          { ...names, seconds },
          `${label}: a message was not acknowledged for ${seconds} s; connecting anew to send it again (it may have come too fast, or the broker does not allow it and does not say so)`,
        );
      },
      ready: () => target.onReady(),
    });
    return channel;
  };
  const openShared = (index: number): Channel => {
    const label =
      profile.connectionsMax === 1
        ? `target ${profile.name}`
        : `target ${profile.name} (connection ${index + 1})`;
    const rate = profile.rate && new PublishRate(profile.rate);
    return openChannel(label, nameClient(profile, index), rate, index === 0);
  };
  const channels: Channels =
    dialect.channels?.({
      steady: () => rim.steady(),
      open: (label, clientId, rate) => openChannel(label, clientId, rate),
      ready: () => target.onReady(),
    }) ?? new SharedChannels(Array.from({ length: profile.connectionsMax }, (_, index) => openShared(index)));

  const judgeAs = (message: Message, original: Message, limits: BrokerLimits, form: Form): Judgement => {
    const sized = judgeSize(message, limits);
    return "outcome" in sized ? sized : (dialect.judge?.(message, original, form) ?? sized);
  };
  /** As the target takes it, if there is a way. */
  const fit = (publish: Message, original: Message, limits: BrokerLimits): Judgement => {
    const judgement = judgeAs(publish, original, limits, "whole");
    if ("publish" in judgement || judgement.outcome !== "lost/oversize") return judgement;
    return reduceOversize(publish, judgement, {
      policy: profile.oversize,
      hasProperties: profile.mqttVersion === "5" || dialect.hasProperties === true,
      judge: (message, form) => judgeAs(message, original, limits, form),
    });
  };

  const noteLoss = (outcome: TargetOutcome | "status", message: Message, why: string) => {
    const alike = limiter.allow(outcome, rim.clock());
    if (alike === undefined) return;
    const topic = message.topic.slice(0, 256);
    const figures = { ...names, outcome, topic, payloadBytes: message.payload.length, alike };
    rim.log.warn(figures, `target ${profile.name} does not get a message: ${why}`);
  };

  const reduced = { compressed: 0, split: 0 };
  const target: Target = {
    name: profile.name,
    reduced,
    type: profile.type,
    address: formatBrokerUrl(profile.url),
    get state() {
      return channels.state === "connecting" && dialect.problem?.() !== undefined ? "down" : channels.state;
    },
    get problem() {
      return channels.problem ?? dialect.problem?.();
    },
    get connections() {
      return channels.connections;
    },
    get certificateEndMs() {
      return tlsFiles?.endMs;
    },
    plan: profile.plan,
    status: beacon,
    get window() {
      return channels.window;
    },
    judge(message, ageMs) {
      const limits = channels.all.find(({ session }) => session !== undefined)?.session ?? NO_LIMITS;
      const routed = routeMessage(message, ageMs, rules, limits);
      const judgement = "outcome" in routed ? routed : fit(routed.publish, message, limits);
      if ("outcome" in judgement && judgement.outcome.startsWith("lost/")) {
        noteLoss(judgement.outcome, message, judgement.detail ?? judgement.outcome.slice(5));
      }
      return judgement;
    },
    publish(message, onSettled) {
      publishParcel(channels, message, (outcome) => {
        if (outcome.kind === "forwarded") {
          if (message.rest !== undefined) reduced.split++;
          else if (message.lane !== undefined) reduced.compressed++;
          onSettled("forwarded");
        } else {
          const detail = explainOutcome(outcome);
          noteLoss(`lost/${outcome.kind}`, message, detail);
          onSettled(`lost/${outcome.kind}`, detail);
        }
      });
    },
    sendNow(message) {
      if (message.rest !== undefined || message.lane !== undefined) return false;
      return channels.sendNow?.(message) ?? false;
    },
    tick: (steadyMs) => {
      faults.tick(names);
      tlsFiles?.tick(steadyMs, rim.clock());
      dialect.tick?.();
      channels.tick(steadyMs);
      beacon?.tick(steadyMs);
    },
    onReady: () => {},
    close: async (graceMs) => {
      beacon?.sayStopped();
      dialect.close?.();
      await channels.close(graceMs);
    },
  };
  let hasConnected = false;
  const connect = () => {
    if (!hasConnected) channels.connect();
    hasConnected = true;
  };
  const renew = () => {
    for (const channel of channels.all) channel.renew();
  };
  if (dialect.begin === undefined) connect();
  else dialect.begin({ log: rim.log, connect, renew, tls: () => tlsFiles?.config });
  return target;
}

const NO_LIMITS = { qosMax: 2, retainAvailable: true, packetBytesMax: undefined } as const;

/** One connection has the client id as it is, several have it with their number. */
export function nameClient(profile: BrokerTarget, index: number): string {
  return profile.connectionsMax === 1 ? profile.clientId : `${profile.clientId}-${index + 1}`;
}

/** For the log and the dead letter. */
function explainOutcome(outcome: ParcelOutcome): string {
  const { part } = outcome;
  return part === undefined
    ? explainKind(outcome)
    : `part ${part.number} of ${part.count}: ${explainKind(outcome)}`;
}

function explainKind(outcome: ParcelOutcome): string {
  if (outcome.kind === "refused") return outcome.reason;
  if (outcome.kind === "oversize") return "larger than the broker takes";
  if (outcome.kind === "poison") return "the broker ends the connection whenever it gets this message";
  return outcome.kind;
}
