// What AWS IoT Core admits and takes. Where its documentation leaves a code open, the code here is one of those that it
// says the service can send; a client has to live with any of them.
import { randomUUID } from "node:crypto";
import type { IConnackPacket, IConnectPacket, IPublishPacket, ISubscribePacket } from "mqtt-packet";
import { type FakeClock, TokenBucket } from "../server/clock.ts";
import type { Admission, Closing, PublishVerdict, VendorRules } from "../server/rules.ts";
import type { Session } from "../server/session.ts";
import type { Peer } from "../server/wire.ts";
import { type AwsAuthorizers, asksForAuthorizer, authorize } from "./authorizer.ts";
import { QUOTAS, type Quotas, readDestination } from "./limits.ts";
import { type AwsPolicy, grants, PLAIN_POLICY } from "./policy.ts";

export const X509_ALPN = "x-amzn-mqtt-ca";
export const CUSTOM_ALPN = "mqtt";
const NOT_AUTHORIZED = 0x87;
/** MQTT 3.1.1 has 5 for it; AWS documents 7. */
const NOT_AUTHORIZED_3 = 7;
/** The documentation names no code of 3.1.1 for "too often"; this is the standard's "server unavailable". */
const UNAVAILABLE_3 = 3;

export type AwsRulesOptions = {
  /** Names that SNI may have; anything else, or none, ends the connection. */
  readonly endpoints: readonly string[];
  readonly authorizers?: AwsAuthorizers;
  readonly policy?: Partial<AwsPolicy>;
  /** Common names of certificates that the account has made inactive. */
  readonly inactive?: readonly string[];
  readonly quotas?: Partial<Quotas>;
  /** MQTT 5, QoS 1: whether a topic that the policy doesn't grant costs the connection, or only says no. */
  readonly unauthorizedPublish?: "close" | "refuse";
};

type Pace = { readonly publishes: TokenBucket; readonly bytes: TokenBucket };

export class AwsRules implements VendorRules {
  readonly packetBytesMax = 2 ** 20;
  readonly takeOver: Closing = { reason: "DUPLICATE_CLIENTID", code: 0x8e };
  readonly keepAlive: Closing = { reason: "MQTT_KEEP_ALIVE_TIMEOUT", code: 0x8d };
  readonly quotas: Quotas;
  /** May be changed while it runs. */
  policy: AwsPolicy;
  readonly #connects = new Map<string, TokenBucket>();

  constructor(
    private readonly options: AwsRulesOptions,
    private readonly clock: FakeClock,
  ) {
    this.quotas = { ...QUOTAS, ...options.quotas };
    this.policy = { ...PLAIN_POLICY, ...options.policy };
  }

  get topicAliasMax(): number {
    return this.quotas.topicAliases;
  }

  admit(connect: IConnectPacket, peer: Peer): Admission {
    const mqtt5 = connect.protocolVersion === 5;
    const forbid = (reason: string): Admission => ({
      admit: false,
      reason,
      code: mqtt5 ? NOT_AUTHORIZED : NOT_AUTHORIZED_3,
    });
    if (!this.options.endpoints.includes(peer.servername ?? "")) return { admit: false, reason: "wrong SNI" };
    const shown = this.#authenticate(connect, peer);
    if (shown === "stranger") return { admit: false, reason: "unknown certificate" };
    if ("fault" in shown) return forbid(shown.fault);
    const { clientId } = connect;
    if (
      clientId.startsWith("$") ||
      Buffer.byteLength(clientId) > this.quotas.clientIdBytes ||
      (clientId === "" && !mqtt5)
    )
      return { admit: false, reason: "client id", code: mqtt5 ? 0x85 : 2 };
    if (!grants(this.policy.connect, clientId)) return forbid("policy: Connect");
    if (connect.will !== undefined && !this.policy.lastWill) return forbid("policy: LastWill");
    if (isPersistent(connect) && !this.policy.persistentConnect) return forbid("policy: PersistentConnect");
    if (!this.#mayConnect(clientId)) {
      return { admit: false, reason: "THROTTLED", code: mqtt5 ? 0x97 : UNAVAILABLE_3 };
    }
    const assigned = clientId === "" ? `$GEN/${randomUUID()}` : clientId;
    const keepAliveSeconds = this.#clampKeepAlive(connect.keepalive ?? 0);
    return {
      admit: true,
      name: assigned,
      clientId: assigned,
      keepAliveSeconds,
      properties: this.#announce(connect, keepAliveSeconds, clientId === "" ? assigned : undefined),
      expiresAtMs: shown.seconds === undefined ? undefined : this.clock.now() + shown.seconds * 1000,
      expiry: {
        reason: peer.upgrade === undefined ? "CUSTOMAUTH_TTL_EXPIRATION" : "WEBSOCKET_TTL_EXPIRATION",
        code: 0x87,
      },
    };
  }

  /** Which of the four ways it came, and for how long that is good. */
  #authenticate(
    connect: IConnectPacket,
    { door, alpn, certificate, upgrade }: Peer,
  ): { seconds?: number } | { fault: string } | "stranger" {
    if (upgrade?.query.includes("X-Amz-Signature=")) return { seconds: this.quotas.webSocketSeconds };
    const custom = upgrade !== undefined || (door === "https" && alpn === CUSTOM_ALPN);
    if (custom) {
      if (!asksForAuthorizer(connect, upgrade)) return { fault: "no credentials" };
      const answer = authorize(connect, upgrade, this.options.authorizers ?? {});
      return "fault" in answer ? answer : { seconds: answer.expiresAfterSeconds };
    }
    const known =
      certificate?.trusted === true && this.options.inactive?.includes(certificate.commonName) !== true;
    return known ? {} : "stranger";
  }

  #mayConnect(clientId: string): boolean {
    if (clientId === "") return true;
    const bucket = this.#connects.get(clientId) ?? new TokenBucket(this.quotas.connectsPerSecond, this.clock);
    this.#connects.set(clientId, bucket);
    return bucket.tryTake(1);
  }

  #clampKeepAlive(asked: number): number {
    const { keepAliveSecondsMin, keepAliveSecondsMax } = this.quotas;
    return asked === 0
      ? keepAliveSecondsMax
      : Math.min(keepAliveSecondsMax, Math.max(keepAliveSecondsMin, asked));
  }

  #announce(
    connect: IConnectPacket,
    keepAliveSeconds: number,
    assigned: string | undefined,
  ): NonNullable<IConnackPacket["properties"]> {
    return {
      sessionExpiryInterval: connect.properties?.sessionExpiryInterval ?? 0,
      receiveMaximum: this.quotas.inflight,
      maximumQoS: 1,
      retainAvailable: true,
      maximumPacketSize: this.quotas.packetBytes,
      topicAliasMaximum: this.quotas.topicAliases,
      wildcardSubscriptionAvailable: true,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: true,
      ...(keepAliveSeconds === connect.keepalive ? {} : { serverKeepAlive: keepAliveSeconds }),
      ...(assigned === undefined ? {} : { assignedClientIdentifier: assigned }),
    };
  }

  /** What exceeds the throughput is not lost but waits. */
  delayMs(bytes: number, session: Session): number {
    return this.#paceOf(session).bytes.takeLate(bytes);
  }

  inflight(count: number): PublishVerdict | undefined {
    return count > this.quotas.inflight
      ? { act: "close", reason: "too many unacknowledged", code: 0x93 }
      : undefined;
  }

  publish(packet: IPublishPacket, session: Session, bytes: number): PublishVerdict {
    if (!this.#paceOf(session).publishes.tryTake(1)) return { act: "discard", reason: "THROTTLED" };
    if (packet.qos === 2) {
      return session.isMqtt5
        ? { act: "close", reason: "QoS 2", code: 0x9b }
        : { act: "discard", reason: "QoS 2" };
    }
    const oversize = session.isMqtt5 && bytes > this.quotas.packetBytes;
    if (oversize || packet.payload.length > this.quotas.payloadBytes)
      return { act: "close", reason: "PAYLOAD_LIMIT_EXCEEDED", code: 0x97 };
    const { topic } = packet;
    const destination = readDestination(topic);
    if (destination === undefined) return { act: "close", reason: "reserved topic", code: 0x90 };
    if (Buffer.byteLength(destination.rest) > this.quotas.topicBytes)
      return { act: "close", reason: "topic too long", code: 0x90 };
    if (destination.rest.split("/").length > this.quotas.topicSegments)
      return { act: "close", reason: "topic too deep", code: 0x90 };
    if (!grants(this.policy.publish, topic)) return this.#forbidPublish(packet, session);
    if (!packet.retain) return { act: "take" };
    if (destination.basicIngest) return { act: "close", reason: "retain with Basic Ingest", code: 0x82 };
    if (grants(this.policy.retainPublish, topic)) return { act: "take" };
    return { act: "close", reason: "FORBIDDEN_ACCESS: RetainPublish", code: NOT_AUTHORIZED };
  }

  #forbidPublish(packet: IPublishPacket, session: Session): PublishVerdict {
    const says = this.options.unauthorizedPublish === "refuse" && session.isMqtt5 && packet.qos === 1;
    return { act: says ? "refuse" : "close", reason: "FORBIDDEN_ACCESS: Publish", code: NOT_AUTHORIZED };
  }

  subscribe(packet: ISubscribePacket): readonly number[] | Closing {
    if (packet.subscriptions.length > this.quotas.filtersPerSubscribe)
      return { reason: "too many filters", code: 0x97 };
    return packet.subscriptions.map(({ qos }) => Math.min(qos, 1));
  }

  #paceOf(session: Session): Pace {
    const known = session.notes.get("pace") as Pace | undefined;
    if (known !== undefined) return known;
    const pace: Pace = {
      publishes: new TokenBucket(this.quotas.publishesPerSecond, this.clock),
      bytes: new TokenBucket(this.quotas.bytesPerSecond, this.clock),
    };
    session.notes.set("pace", pace);
    return pace;
  }
}

function isPersistent({ protocolVersion, clean, properties }: IConnectPacket): boolean {
  return protocolVersion === 5 ? (properties?.sessionExpiryInterval ?? 0) > 0 : clean !== true;
}
