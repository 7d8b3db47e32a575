// The provisioning service (DPS) over MQTT 3.1.1: who may ask, and the exchange by which a registration becomes an
// assignment. Answers go only to a client that has subscribed to them.
import { createHmac, randomUUID } from "node:crypto";
import type { IConnectPacket, IPublishPacket, ISubscribePacket } from "mqtt-packet";
import type { FakeClock } from "../server/clock.ts";
import type { Admission, Closing, PublishVerdict, VendorRules } from "../server/rules.ts";
import type { Session } from "../server/session.ts";
import type { Peer } from "../server/wire.ts";
import { covers, isExpired, isSignedWith, parseSas, severAtMs } from "./sas.ts";

export type DpsOptions = {
  readonly idScope: string;
  /** Base64 keys of symmetric enrolment groups: a device has the key derived from it. */
  readonly groupKeys?: readonly string[];
  /** Base64 keys of single enrolments, by registration id. */
  readonly deviceKeys?: Readonly<Record<string, string>>;
};

export type Assignment =
  | { readonly hub: string; readonly deviceId: string }
  | "not-found"
  | "failed"
  | "disabled";

const ANSWERS = "$dps/registrations/res/#";
const REGISTER = /^\$dps\/registrations\/PUT\/iotdps-register\/\?\$rid=([^&]+)$/;
const POLL = /^\$dps\/registrations\/GET\/iotdps-get-operationstatus\/\?\$rid=([^&]+)&operationId=([^&]+)$/;

type Operation = { readonly registrationId: string; pollsLeft: number; earliestMs: number };

export class DpsRules implements VendorRules {
  readonly packetBytesMax = 2 ** 18;
  readonly topicAliasMax = 0;
  readonly takeOver: Closing = { reason: "taken over" };
  readonly keepAlive: Closing = { reason: "keep alive" };
  /** What each registration gets. May be changed while it runs. */
  assign: (registrationId: string) => Assignment = () => "not-found";
  /** How often the service says "assigning" before it says where to. */
  pollsPerAssignment = 2;
  retryAfterSeconds = 3;
  /** So many answers of 429 come next. */
  throttles = 0;
  /** Times that a client asked before it was told to. */
  impatience = 0;
  /** Registrations that were asked for: each costs money. */
  readonly registrations: string[] = [];
  readonly #operations = new Map<string, Operation>();
  #packetId = 0;
  #throttledUntilMs = 0;

  constructor(
    private readonly options: DpsOptions,
    private readonly clock: FakeClock,
  ) {}

  admit(connect: IConnectPacket, peer: Peer): Admission {
    const refuse = (reason: string, code = 5): Admission => ({ admit: false, reason, code });
    if (connect.protocolVersion !== 4) return { admit: false, reason: "not MQTT 3.1.1" };
    const [, idScope, registrationId] =
      /^([^/]+)\/registrations\/([^/]+)\/api-version=\d{4}-\d\d-\d\d(?:&.*)?$/.exec(connect.username ?? "") ??
      [];
    if (idScope === undefined || registrationId === undefined) return refuse("malformed user name", 4);
    if (idScope !== this.options.idScope) return refuse("unknown id scope");
    if (registrationId !== connect.clientId) return refuse("client id differs from the user name", 2);
    const nowMs = this.clock.now();
    const admitted = { admit: true, name: registrationId, keepAliveSeconds: connect.keepalive ?? 0 } as const;
    const password = connect.password?.toString("utf8") ?? "";
    if (password === "") {
      const trusted = peer.certificate?.trusted === true;
      if (!trusted) return refuse("neither token nor known certificate");
      return peer.certificate?.commonName === registrationId
        ? admitted
        : refuse("certificate of another registration");
    }
    const token = parseSas(password);
    if (token === undefined) return refuse("malformed token");
    if (isExpired(token, nowMs)) return refuse("token expired");
    if (token.policy !== "registration") return refuse("token without skn=registration");
    if (!covers(token, `${idScope}/registrations/${registrationId}`))
      return refuse("token is for something else");
    if (!this.#keysOf(registrationId).some((key) => isSignedWith(token, key)))
      return refuse("wrong signature");
    return { ...admitted, expiresAtMs: severAtMs(token, nowMs), expiry: { reason: "token expired" } };
  }

  #keysOf(registrationId: string): string[] {
    const own = this.options.deviceKeys?.[registrationId];
    const derived = (this.options.groupKeys ?? []).map((key) => {
      return createHmac("sha256", Buffer.from(key, "base64")).update(registrationId).digest("base64");
    });
    return own === undefined ? derived : [own];
  }

  subscribe({ subscriptions }: ISubscribePacket, session: Session): readonly number[] | Closing {
    if (subscriptions.some(({ topic }) => topic !== ANSWERS)) return { reason: "subscription" };
    session.notes.set("listens", true);
    return subscriptions.map(({ qos }) => Math.min(qos, 1));
  }

  publish(packet: IPublishPacket): PublishVerdict {
    if (packet.qos === 2) return { act: "close", reason: "QoS 2" };
    return REGISTER.test(packet.topic) || POLL.test(packet.topic)
      ? { act: "take" }
      : { act: "close", reason: "not a request" };
  }

  acknowledged(packet: IPublishPacket, session: Session): void {
    const [, requestId = ""] = REGISTER.exec(packet.topic) ?? POLL.exec(packet.topic) ?? [];
    const [status, body, retry] = this.#answer(packet, session.name);
    if (session.notes.get("listens") !== true) return;
    this.#packetId = (this.#packetId % 65_535) + 1;
    session.send({
      cmd: "publish",
      topic: `$dps/registrations/res/${status}/?$rid=${requestId}${retry ? `&retry-after=${this.retryAfterSeconds}` : ""}`,
      payload: JSON.stringify(body),
      qos: 1,
      dup: false,
      retain: false,
      messageId: this.#packetId,
    });
  }

  #answer(packet: IPublishPacket, registrationId: string): [status: number, body: object, retry: boolean] {
    const nowMs = this.clock.now();
    if (nowMs < this.#throttledUntilMs) this.impatience += 1;
    if (this.throttles > 0) {
      this.throttles -= 1;
      this.#throttledUntilMs = nowMs + this.retryAfterSeconds * 1000;
      return [429, describeError(429_001, "Operations are being throttled for this tenant."), true];
    }
    const [, , operationText] = POLL.exec(packet.topic) ?? [];
    return operationText === undefined
      ? this.#register(packet, registrationId, nowMs)
      : this.#poll(decodeURIComponent(operationText), registrationId, nowMs);
  }

  #register(packet: IPublishPacket, registrationId: string, nowMs: number): [number, object, boolean] {
    if (readRegistrationId(packet.payload) !== registrationId)
      return [400, describeError(400_004, "The request body is not valid."), false];
    this.registrations.push(registrationId);
    if (this.assign(registrationId) === "not-found")
      return [404, describeError(404_201, "Enrollment not found"), false];
    const operationId = `4.${randomUUID()}/${this.#operations.size}`;
    const earliestMs = nowMs + this.retryAfterSeconds * 1000;
    this.#operations.set(operationId, { registrationId, pollsLeft: this.pollsPerAssignment, earliestMs });
    return [202, { operationId, status: "assigning" }, true];
  }

  #poll(operationId: string, registrationId: string, nowMs: number): [number, object, boolean] {
    const operation = this.#operations.get(operationId);
    if (operation === undefined || operation.registrationId !== registrationId)
      return [404, describeError(404_203, "Operation not found"), false];
    if (nowMs < operation.earliestMs) this.impatience += 1;
    operation.earliestMs = nowMs + this.retryAfterSeconds * 1000;
    operation.pollsLeft -= 1;
    if (operation.pollsLeft > 0) return [202, { operationId, status: "assigning" }, true];
    this.#operations.delete(operationId);
    const assignment = this.assign(registrationId);
    const state = { registrationId, createdDateTimeUtc: new Date(nowMs).toISOString() };
    if (assignment === "not-found") return [404, describeError(404_201, "Enrollment not found"), false];
    if (assignment === "disabled" || assignment === "failed") {
      const errorCode = assignment === "failed" ? 400_207 : 400_208;
      const registrationState = {
        ...state,
        status: assignment,
        errorCode,
        errorMessage: `Registration ${assignment}`,
      };
      return [200, { operationId, status: assignment, registrationState }, false];
    }
    const { hub, deviceId } = assignment;
    const registrationState = {
      ...state,
      status: "assigned",
      assignedHub: hub,
      deviceId,
      substatus: "initialAssignment",
    };
    return [200, { operationId, status: "assigned", registrationState }, false];
  }
}

function readRegistrationId(payload: string | Buffer): unknown {
  try {
    return (JSON.parse(payload.toString()) as { registrationId?: unknown }).registrationId;
  } catch {
    return undefined;
  }
}

function describeError(errorCode: number, message: string): object {
  return { errorCode, trackingId: randomUUID(), message, timestampUtc: new Date().toISOString() };
}
