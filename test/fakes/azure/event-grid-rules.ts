// What the MQTT broker of an Event Grid namespace admits and takes. Microsoft says that a request "fails" or the connection
// ends and leaves the code to the specification of MQTT 5; the codes here are that specification's.
import type { KeyObject } from "node:crypto";
import type {
  IAuthPacket,
  IConnackPacket,
  IConnectPacket,
  IPublishPacket,
  ISubscribePacket,
} from "mqtt-packet";
import { type FakeClock, TokenBucket } from "../server/clock.ts";
import type { Admission, Closing, PublishVerdict, VendorRules } from "../server/rules.ts";
import type { Session } from "../server/session.ts";
import type { Peer } from "../server/wire.ts";
import { EVENT_GRID_QUOTAS, findPublishFault, matchFilter } from "./event-grid-limits.ts";
import { readToken } from "./jwt.ts";

export type EventGridOptions = {
  /** Who may connect with a certificate whose common name is the same. */
  readonly clients: readonly string[];
  /** Of Microsoft Entra. */
  readonly tokenKey?: KeyObject;
  /** Filters that the permission bindings grant, with MQTT's wildcards. */
  readonly mayPublish?: readonly string[];
  /** Whether the namespace knows retained messages; older ones end the connection over them. */
  readonly retain?: boolean;
  readonly quotas?: Partial<typeof EVENT_GRID_QUOTAS>;
};

const METHOD = "OAUTH2-JWT";
const AUDIENCE = "https://eventgrid.azure.net/";
const NOT_AUTHORIZED = 0x87;
const EXPIRY: Closing = { reason: "ClientAuthenticationError: token expired", code: NOT_AUTHORIZED };

export class EventGridRules implements VendorRules {
  readonly packetBytesMax = 2 ** 21;
  readonly takeOver: Closing = { reason: "SessionTakenOver", code: 0x8e };
  readonly keepAlive: Closing = { reason: "keep alive", code: 0x8d };
  readonly quotas: typeof EVENT_GRID_QUOTAS;
  readonly #connects = new Map<string, TokenBucket>();
  /** Which authentication name each session belongs to. */
  readonly #owners = new Map<string, string>();

  constructor(
    private readonly options: EventGridOptions,
    private readonly clock: FakeClock,
  ) {
    this.quotas = { ...EVENT_GRID_QUOTAS, ...options.quotas };
  }

  get topicAliasMax(): number {
    return this.quotas.topicAliases;
  }

  admit(connect: IConnectPacket, peer: Peer): Admission {
    const mqtt5 = connect.protocolVersion === 5;
    const refuse = (reason: string, code5: number, code3 = 5): Admission => ({
      admit: false,
      reason,
      code: mqtt5 ? code5 : code3,
    });
    if (connect.properties?.userProperties !== undefined) return refuse("user properties on CONNECT", 0x82);
    if (connect.clientId === "") return refuse("no client id", 0x85, 2);
    const shown = this.#authenticate(connect, peer);
    if ("fault" in shown) return refuse(shown.fault, shown.code);
    const session = connect.clientId;
    const bucket = this.#connects.get(session) ?? new TokenBucket(this.quotas.connectsPerSecond, this.clock);
    this.#connects.set(session, bucket);
    if (!bucket.tryTake(1)) return refuse("QuotaExceeded: connects", 0x9f, 3);
    const owner = this.#owners.get(session);
    if (owner !== undefined && owner !== shown.name)
      return refuse("session of another client", NOT_AUTHORIZED);
    const sessions = [...this.#owners].filter(([id, name]) => name === shown.name && id !== session);
    if (sessions.length >= this.quotas.sessionsPerName) return refuse("QuotaExceeded: sessions", 0x97);
    this.#owners.set(session, shown.name);
    const asked = connect.keepalive ?? 0;
    const keepAliveSeconds = Math.min(
      asked || this.quotas.keepAliveSecondsMax,
      this.quotas.keepAliveSecondsMax,
    );
    return {
      admit: true,
      name: session,
      keepAliveSeconds,
      properties: this.#announce(connect, keepAliveSeconds),
      expiresAtMs: shown.expiresAtMs,
      expiry: EXPIRY,
    };
  }

  #authenticate(
    { properties, username }: IConnectPacket,
    { certificate }: Peer,
  ): { name: string; expiresAtMs?: number } | { fault: string; code: number } {
    const method = properties?.authenticationMethod;
    if (method !== undefined) {
      if (method !== METHOD || this.options.tokenKey === undefined)
        return { fault: "authentication method", code: 0x8c };
      return this.#checkToken(properties?.authenticationData);
    }
    const name = username ?? "";
    const known = certificate?.trusted === true && this.options.clients.includes(certificate.commonName);
    if (!known) return { fault: "unknown certificate", code: NOT_AUTHORIZED };
    if (name !== certificate.commonName)
      return { fault: "user name differs from the certificate", code: NOT_AUTHORIZED };
    return { name };
  }

  #checkToken(
    data: Buffer | undefined,
  ): { name: string; expiresAtMs: number } | { fault: string; code: number } {
    const { tokenKey } = this.options;
    const claims = tokenKey === undefined ? undefined : readToken(data?.toString("utf8") ?? "", tokenKey);
    const deny = (fault: string) => ({ fault, code: NOT_AUTHORIZED });
    if (claims === undefined) return deny("wrong token");
    if (claims.aud !== AUDIENCE) return deny("token for another audience");
    const expiresAtMs = Number(claims.exp) * 1000;
    if (!(expiresAtMs > this.clock.now())) return deny("token expired");
    return { name: `jwt:${String(claims.sub)}`, expiresAtMs };
  }

  #announce(connect: IConnectPacket, keepAliveSeconds: number): NonNullable<IConnackPacket["properties"]> {
    const { authenticationMethod } = connect.properties ?? {};
    return {
      maximumQoS: 1,
      retainAvailable: this.options.retain ?? true,
      maximumPacketSize: this.quotas.messageBytes,
      topicAliasMaximum: this.quotas.topicAliases,
      receiveMaximum: this.quotas.inflight,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: false,
      ...(keepAliveSeconds === connect.keepalive ? {} : { serverKeepAlive: keepAliveSeconds }),
      ...(authenticationMethod === undefined ? {} : { authenticationMethod }),
    };
  }

  auth(
    { reasonCode, properties }: IAuthPacket,
    session: Session,
  ): { expiresAtMs: number; expiry: Closing } | Closing {
    if (properties?.userProperties !== undefined) return { reason: "user properties on AUTH", code: 0x82 };
    const before = session.connect?.properties?.authenticationMethod;
    if (reasonCode !== 0x19 || before === undefined || properties?.authenticationMethod !== before)
      return { reason: "unexpected AUTH", code: 0x82 };
    const shown = this.#checkToken(properties.authenticationData);
    if ("fault" in shown) return { reason: shown.fault, code: shown.code };
    if (shown.name !== this.#owners.get(session.name))
      return { reason: "token of another client", code: NOT_AUTHORIZED };
    return { expiresAtMs: shown.expiresAtMs, expiry: EXPIRY };
  }

  inflight(count: number, bytes: number): PublishVerdict | undefined {
    if (count > this.quotas.inflight) return { act: "close", reason: "QuotaExceeded: in flight", code: 0x93 };
    // One message may be larger than what may be in flight: then it is alone.
    if (count > 1 && bytes > this.quotas.inflightBytes)
      return { act: "close", reason: "QuotaExceeded: bytes in flight", code: 0x97 };
    return undefined;
  }

  publish(packet: IPublishPacket, session: Session, bytes: number): PublishVerdict {
    const fault = findPublishFault(packet, bytes, this.quotas, this.options.retain !== false);
    if (fault !== undefined) return { act: "close", ...fault };
    const pace = this.#paceOf(session);
    if (!pace.publishes.tryTake(packet.retain ? 2 : 1) || pace.bytes.takeLate(bytes) > 0)
      return { act: "close", reason: "QuotaExceeded: publishes", code: 0x97 };
    if ((this.options.mayPublish ?? ["#"]).some((filter) => matchFilter(filter, packet.topic)))
      return { act: "take" };
    const says = session.isMqtt5 && packet.qos === 1;
    return says
      ? { act: "refuse", reason: "ClientAuthorizationError", code: NOT_AUTHORIZED }
      : { act: "close", reason: "ClientAuthorizationError", code: NOT_AUTHORIZED };
  }

  subscribe({ subscriptions, properties }: ISubscribePacket): readonly number[] | Closing {
    if (properties?.userProperties !== undefined)
      return { reason: "user properties on SUBSCRIBE", code: 0x82 };
    return subscriptions.map(({ qos }) => Math.min(qos, 1));
  }

  #paceOf(session: Session): { publishes: TokenBucket; bytes: TokenBucket } {
    const known = session.notes.get("pace") as { publishes: TokenBucket; bytes: TokenBucket } | undefined;
    const pace = known ?? {
      publishes: new TokenBucket(this.quotas.publishesPerSecond, this.clock),
      bytes: new TokenBucket(this.quotas.bytesPerSecond, this.clock),
    };
    session.notes.set("pace", pace);
    return pace;
  }

  /** A session that is not kept is gone when its connection is. */
  left(session: Session): void {
    const { connect } = session;
    const kept =
      connect?.protocolVersion === 5
        ? (connect.properties?.sessionExpiryInterval ?? 0) > 0
        : connect?.clean !== true;
    if (!kept) this.#owners.delete(session.name);
  }
}
