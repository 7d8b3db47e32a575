// What a broker of the MQTT specification admits and takes that announces limits and means them: whoever goes past one loses
// the connection with the code that MQTT 5 has for it, and without a word in MQTT 3.1.1. What comes too fast it discards.
import type { IConnectPacket, IPublishPacket } from "mqtt-packet";
import { type FakeClock, TokenBucket } from "../server/clock.ts";
import type { Admission, Closing, PublishVerdict, VendorRules } from "../server/rules.ts";
import type { Session } from "../server/session.ts";
import type { Peer } from "../server/wire.ts";

export const PLAIN_LIMITS = {
  receiveMaximum: 20,
  packetBytes: 20_000,
  /** 2 is not for this fake: it knows no PUBREC. */
  qosMax: 1,
  retainAvailable: false,
  /** 0: none, so that no alias may be used. */
  topicAliases: 0,
  /** Replaces the client's own. */
  keepAliveSeconds: 0,
  publishesPerSecond: 100_000,
};

export type PlainOptions = {
  /** Passwords by user name. */
  readonly users: Readonly<Record<string, string>>;
  readonly limits?: Partial<typeof PLAIN_LIMITS>;
};

export class PlainRules implements VendorRules {
  readonly packetBytesMax = 2 ** 22;
  readonly takeOver: Closing = { reason: "taken over", code: 0x8e };
  readonly keepAlive: Closing = { reason: "keep alive", code: 0x8d };
  /** May be changed while it runs; what is announced is known from the next CONNACK on. */
  readonly limits: typeof PLAIN_LIMITS;

  constructor(
    private readonly options: PlainOptions,
    private readonly clock: FakeClock,
  ) {
    this.limits = { ...PLAIN_LIMITS, ...options.limits };
  }

  get topicAliasMax(): number {
    return this.limits.topicAliases;
  }

  admit(connect: IConnectPacket, { certificate }: Peer): Admission {
    const mqtt5 = connect.protocolVersion === 5;
    const known = this.options.users[connect.username ?? ""];
    if (known === undefined || connect.password?.toString("utf8") !== known)
      return { admit: false, reason: "password", code: mqtt5 ? 0x86 : 4 };
    if (certificate?.trusted === false)
      return { admit: false, reason: "unknown certificate", code: mqtt5 ? 0x87 : 5 };
    const { receiveMaximum, packetBytes, qosMax, retainAvailable, topicAliases, keepAliveSeconds } =
      this.limits;
    const asked = connect.keepalive ?? 0;
    return {
      admit: true,
      name: connect.clientId,
      keepAliveSeconds: mqtt5 && keepAliveSeconds > 0 ? keepAliveSeconds : asked,
      properties: {
        receiveMaximum,
        maximumPacketSize: packetBytes,
        ...(qosMax < 2 ? { maximumQoS: qosMax } : {}),
        retainAvailable,
        ...(topicAliases > 0 ? { topicAliasMaximum: topicAliases } : {}),
        ...(keepAliveSeconds > 0 ? { serverKeepAlive: keepAliveSeconds } : {}),
      },
    };
  }

  inflight(count: number): PublishVerdict | undefined {
    return count > this.limits.receiveMaximum
      ? { act: "close", reason: "receive maximum", code: 0x93 }
      : undefined;
  }

  publish(packet: IPublishPacket, session: Session, bytes: number): PublishVerdict {
    const { qosMax, retainAvailable, packetBytes } = this.limits;
    if (packet.qos > qosMax) return { act: "close", reason: "QoS", code: 0x9b };
    if (packet.retain && !retainAvailable) return { act: "close", reason: "retain", code: 0x9a };
    if (bytes > packetBytes) return { act: "close", reason: "packet too large", code: 0x95 };
    return this.#rateOf(session).tryTake(1) ? { act: "take" } : { act: "discard", reason: "too fast" };
  }

  subscribe(): Closing {
    return { reason: "subscription", code: 0x82 };
  }

  #rateOf(session: Session): TokenBucket {
    const known = session.notes.get("rate") as TokenBucket | undefined;
    const rate = known ?? new TokenBucket(this.limits.publishesPerSecond, this.clock);
    session.notes.set("rate", rate);
    return rate;
  }
}
