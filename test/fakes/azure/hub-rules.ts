// What IoT Hub admits and takes over MQTT 3.1.1. It has no way to say what is wrong but to close, so nearly everything
// ends the connection; who may not come in gets CONNACK 5, as the vendor's SDK expects.
import type { IConnectPacket, IPublishPacket, ISubscribePacket } from "mqtt-packet";
import { type FakeClock, TokenBucket } from "../server/clock.ts";
import type { Admission, Closing, PublishVerdict, VendorRules } from "../server/rules.ts";
import type { Session } from "../server/session.ts";
import type { Peer } from "../server/wire.ts";
import { covers, isExpired, isSignedWith, parseSas, severAtMs } from "./sas.ts";
import { readTelemetry, type Telemetry } from "./telemetry.ts";

export type HubDevice = {
  /** Base64: primary and secondary, either is good. */
  readonly keys?: readonly string[];
  /** Thumbprints (SHA-256, with colons) of self-signed certificates. */
  readonly thumbprints?: readonly string[];
  /** Whether a certificate of the hub's authority with the device's name is good. */
  readonly authority?: boolean;
  readonly disabled?: boolean;
  /** Keys of its modules, by module id. */
  readonly modules?: Readonly<Record<string, readonly string[]>>;
};

export type HubPolicy = { readonly key: string; readonly deviceConnect: boolean };

export const HUB_QUOTAS = {
  messageBytes: 256 * 1024,
  /** Of the whole hub: Free, B1 and S1 with one unit. */
  sendsPerSecond: 100,
  connectsPerSecond: 100,
  /** So long the hub shapes traffic, then it takes nothing and says nothing. */
  shapingSeconds: 2,
  /** 1.5 times 1,178 is what the server waits at most. */
  keepAliveSecondsMax: 1178,
  subscriptions: 5,
};

export type HubOptions = {
  /** `contoso.azure-devices.net`: the name that clients must use, not where the fake listens. */
  readonly hub: string;
  /** May be changed while it runs. */
  readonly devices: Record<string, HubDevice>;
  readonly policies?: Readonly<Record<string, HubPolicy>>;
  readonly quotas?: Partial<typeof HUB_QUOTAS>;
};

export type HubMessage = Telemetry & { readonly body: Buffer; readonly retain: boolean };

const NOT_AUTHORIZED = 5;

export class HubRules implements VendorRules {
  readonly packetBytesMax = 2 ** 20;
  readonly topicAliasMax = 0;
  readonly takeOver: Closing = { reason: "400027 ConnectionForcefullyClosedOnNewConnection" };
  readonly keepAlive: Closing = { reason: "keep alive" };
  readonly quotas: typeof HUB_QUOTAS;
  /** What has arrived, read as the hub reads it. */
  readonly telemetry: HubMessage[] = [];
  readonly #sends: TokenBucket;
  readonly #connects: TokenBucket;

  constructor(
    private readonly options: HubOptions,
    private readonly clock: FakeClock,
  ) {
    this.quotas = { ...HUB_QUOTAS, ...options.quotas };
    this.#sends = new TokenBucket(this.quotas.sendsPerSecond, clock);
    this.#connects = new TokenBucket(this.quotas.connectsPerSecond, clock);
  }

  admit(connect: IConnectPacket, peer: Peer): Admission {
    const refuse = (reason: string, code: number = NOT_AUTHORIZED): Admission => ({
      admit: false,
      reason,
      code,
    });
    if (connect.protocolVersion !== 4) return { admit: false, reason: "not MQTT 3.1.1" };
    const [, host, deviceId, moduleId, query] =
      /^([^/]+)\/([^/?]+)(?:\/([^/?]+))?\/\?(.+)$/.exec(connect.username ?? "") ?? [];
    if (host === undefined || deviceId === undefined || !/(^|&)api-version=\d{4}-\d\d-\d\d/.test(query ?? ""))
      return refuse("malformed user name", 4);
    if (host.toLowerCase() !== this.options.hub.toLowerCase()) return refuse("user name has another hub");
    const name = moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;
    if (connect.clientId !== name) return refuse("client id differs from the user name", 2);
    const device = this.options.devices[deviceId];
    if (device === undefined) return refuse("unknown device");
    if (device.disabled === true) return refuse("device is disabled");
    if (moduleId !== undefined && device.modules?.[moduleId] === undefined) return refuse("unknown module");
    const password = connect.password?.toString("utf8") ?? "";
    const shown =
      password === ""
        ? this.#checkCertificate(device, deviceId, peer)
        : this.#checkToken(device, deviceId, moduleId, password);
    if ("fault" in shown) return refuse(shown.fault);
    const { will } = connect;
    if (will !== undefined && typeof readTelemetry(will.topic, Buffer.from(will.payload)) === "string")
      return { admit: false, reason: "will is no telemetry" };
    if (!this.#connects.tryTake(1)) return { admit: false, reason: "429 ThrottlingException" };
    const { keepAliveSecondsMax } = this.quotas;
    return {
      admit: true,
      name,
      keepAliveSeconds: Math.min(connect.keepalive || keepAliveSecondsMax, keepAliveSecondsMax),
      expiresAtMs: shown.expiresAtMs,
      expiry: { reason: "401003 IoTHubUnauthorized: token expired" },
    };
  }

  #checkToken(
    device: HubDevice,
    deviceId: string,
    moduleId: string | undefined,
    password: string,
  ): { expiresAtMs: number } | { fault: string } {
    const token = parseSas(password);
    if (token === undefined) return { fault: "malformed token" };
    const resource = `${this.options.hub}/devices/${deviceId}${moduleId === undefined ? "" : `/modules/${moduleId}`}`;
    const nowMs = this.clock.now();
    if (isExpired(token, nowMs)) return { fault: "401003 IoTHubUnauthorized: token expired" };
    const accepted = { expiresAtMs: severAtMs(token, nowMs) };
    if (token.policy !== undefined) {
      const policy = this.options.policies?.[token.policy];
      if (policy === undefined || !isSignedWith(token, policy.key))
        return { fault: "wrong signature of a policy" };
      if (!policy.deviceConnect) return { fault: "policy has no DeviceConnect" };
      return covers(token, resource) ? accepted : { fault: "token is for something else" };
    }
    const keys = moduleId === undefined ? device.keys : device.modules?.[moduleId];
    if (keys?.some((key) => isSignedWith(token, key)) !== true) return { fault: "wrong signature" };
    // A device's own key opens nothing but the device.
    const exact = covers(token, resource) && decodeURIComponent(token.sr).length === resource.length;
    return exact ? accepted : { fault: "token is for something else" };
  }

  #checkCertificate(
    device: HubDevice,
    deviceId: string,
    { certificate }: Peer,
  ): { expiresAtMs?: number } | { fault: string } {
    if (certificate === undefined) return { fault: "neither token nor certificate" };
    if (device.thumbprints?.includes(certificate.fingerprint) === true) return {};
    if (device.authority !== true || !certificate.trusted) return { fault: "unknown certificate" };
    return certificate.commonName === deviceId ? {} : { fault: "certificate of another device" };
  }

  publish(packet: IPublishPacket, session: Session): PublishVerdict {
    if (packet.qos === 2) return { act: "close", reason: "QoS 2" };
    const read = readTelemetry(packet.topic, packet.payload as Buffer);
    if (typeof read === "string") return { act: "close", reason: read };
    const name = read.moduleId === undefined ? read.deviceId : `${read.deviceId}/${read.moduleId}`;
    if (name !== session.name) return { act: "close", reason: "telemetry of another device" };
    if (read.bytes > this.quotas.messageBytes) return { act: "close", reason: "message too large" };
    const lateMs = this.#sends.takeLate(1);
    if (lateMs > this.quotas.shapingSeconds * 1000)
      return { act: "discard", reason: "429 ThrottlingException" };
    return { act: "take", afterMs: lateMs };
  }

  taken(packet: IPublishPacket): void {
    const read = readTelemetry(packet.topic, packet.payload as Buffer);
    if (typeof read === "string") return;
    this.telemetry.push({ ...read, body: Buffer.from(packet.payload), retain: packet.retain });
  }

  subscribe({ subscriptions }: ISubscribePacket, session: Session): readonly number[] | Closing {
    const [device = ""] = session.name.split("/");
    const allowed = [
      `devices/${device}/messages/devicebound/#`,
      `devices/${session.name.replace("/", "/modules/")}/inputs/#`,
      "$iothub/methods/POST/#",
      "$iothub/twin/res/#",
      "$iothub/twin/PATCH/properties/desired/#",
    ];
    const stranger = subscriptions.find(({ topic }) => !allowed.includes(topic));
    if (stranger !== undefined) return { reason: `subscription ${stranger.topic}` };
    return subscriptions.map(({ qos }) => Math.min(qos, 1));
  }
}
