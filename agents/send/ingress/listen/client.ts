// One connection of a client, from CONNECT to its end [MQTT5 3, 4]. CONNECT and all but PUBLISH are answered here;
// publisher.ts takes the messages. Whatever breaks the specification ends the connection with the reason code that it
// names, or, in MQTT 3.1 and 3.1.1, without a word.
import {
  type ClientPackets,
  ClientStream,
  TYPE,
  type Verdict,
} from "../../../../shared/mqtt/client-stream.ts";
import { type Connect, decodeConnect, type ProtocolVersion } from "../../../../shared/mqtt/connect-packet.ts";
import { decodeAcknowledgement, decodeDisconnect } from "../../../../shared/mqtt/control-packets.ts";
import { breach, type Flaw, isFlaw } from "../../../../shared/mqtt/flaw.ts";
import { REASON, type ReasonCode, toReturnCode } from "../../../../shared/mqtt/reason-code.ts";
import {
  ACK,
  encodeConnack,
  encodeDisconnect,
  PINGRESP,
  pushAcknowledgement,
} from "../../../../shared/mqtt/server-packets.ts";
import { type Admission, admit, chooseExpiry, chooseKeepAlive } from "./admission.ts";
import { type Announcement, Delivery } from "./delivery.ts";
import { type Hub, type HubClient, quote } from "./hub.ts";
import { Publisher } from "./publisher.ts";
import { type ConnectionRefusal, nameFlaw } from "./refusal.ts";
import type { Session, SessionClient } from "./session.ts";
import { type Admitted, findObjection } from "./standing.ts";
import { type SubscriptionAnswer, subscribe, unsubscribe } from "./subscriptions.ts";
import type { Wire } from "./wire.ts";

/** A client that says nothing for one and a half times its keep-alive is gone [MQTT-3.1.2-24]. */
const KEEP_ALIVE_FACTOR = 1500;

type State = "new" | "deciding" | "open" | "closed";

export class Client implements HubClient, SessionClient, ClientPackets {
  readonly #hub: Hub;
  readonly #wire: Wire;
  readonly #stream: ClientStream;
  readonly #sinceMs: number;
  #state: State = "new";
  #version: ProtocolVersion = 4;
  #session: Session | undefined;
  #publisher: Publisher | undefined;
  #delivery: Delivery | undefined;
  #admitted: Admitted | undefined;
  #heardMs: number;
  #silenceMsMax: number;
  #wantsReasons = true;
  #packetBytesMax = Number.MAX_SAFE_INTEGER;
  #askedExpirySeconds = 0;
  #acks: number[] = [];
  #isTold = false;
  #isResumed = false;
  readonly #restCauses = new Set<string>();

  constructor(hub: Hub, wire: Wire) {
    this.#hub = hub;
    this.#wire = wire;
    this.#sinceMs = hub.rim.steady();
    this.#heardMs = this.#sinceMs;
    this.#silenceMsMax = hub.config.connectTimeoutSeconds * 1000;
    this.#stream = new ClientStream(this, hub.partials, hub.publishBytesMax);
    hub.clients.add(this);
  }

  /** For the status page; undefined before it was let in. */
  get card():
    | { clientId: string; user: string | null; address: string; version: string; messages: number }
    | undefined {
    if (this.#admitted === undefined || this.#state !== "open") return undefined;
    const { clientId, user = null } = this.#admitted;
    const version = this.#version === 3 ? "3.1" : this.#version === 4 ? "3.1.1" : "5";
    const { address } = this.#wire;
    return { clientId, user, address, version, messages: this.#publisher?.messages ?? 0 };
  }

  /** Bytes that came; they are lent for the call. */
  receive(chunk: Buffer): void {
    if (this.#state === "closed") return;
    if (this.#state === "open") this.#heardMs = this.#hub.rim.steady();
    this.#stream.push(chunk);
    if (this.#stream.isHeld) this.rest("deciding", true);
  }

  /** The connection is gone. */
  lost(): void {
    if (this.#state === "closed") return;
    this.#leave(true);
  }

  onPacket(bytes: Buffer, start: number, bodyStart: number, end: number): Verdict {
    const type = (bytes[start] as number) >> 4;
    if (type === TYPE.publish) {
      const flaw = (this.#publisher as Publisher).take(bytes[start] as number, bytes, bodyStart, end);
      if (flaw === undefined) return undefined;
      this.onFlaw(flaw);
      return "stop";
    }
    if (this.#state === "new") return this.#connect(bytes, bodyStart, end);
    const flaw = this.#answer(type, bytes, bodyStart, end);
    if (flaw === "stop") return flaw;
    if (flaw !== undefined) this.onFlaw(flaw);
    return flaw === undefined ? undefined : "stop";
  }

  onOversize(firstByte: number, head: Buffer, packetBytes: number): Verdict {
    const flaw = this.#publisher?.refuseOversize(firstByte, head, packetBytes);
    if (flaw === undefined) return undefined;
    this.onFlaw(flaw);
    return "stop";
  }

  onFlaw(flaw: Flaw): void {
    if (this.#state === "closed") return;
    this.#hub.refuse(nameFlaw(flaw), this.#wire.address, flaw.why);
    // Before CONNECT was understood there is nothing to answer in [MQTT5 4.13.1].
    if (this.#state === "open") this.#disconnect(flaw.code, flaw.why);
    this.#leave(true);
    this.#wire.end();
  }

  #connect(bytes: Buffer, bodyStart: number, end: number): Verdict {
    const connect = decodeConnect(bytes, bodyStart, end);
    if (isFlaw(connect)) {
      this.#version = connect.version;
      this.#turnAway(connect.code, nameFlaw(connect), connect.why);
      return "stop";
    }
    this.#version = connect.version;
    this.#stream.version = connect.version;
    this.#state = "deciding";
    const { properties } = connect;
    this.#packetBytesMax = properties?.maximumPacketSize ?? this.#packetBytesMax;
    this.#wantsReasons = properties?.requestProblemInformation ?? true;
    const decision = admit(this.#hub, this.#wire, connect);
    if (!(decision instanceof Promise)) return this.#decide(connect, decision);
    decision.then((admission) => {
      // The wire may have gone meanwhile.
      if (this.#state !== "deciding") return;
      const verdict = this.#decide(connect, admission);
      if (verdict === undefined) this.#goOn();
      else this.#stream.stop();
    });
    return "hold";
  }

  #goOn(): void {
    this.#stream.resume();
    if (!this.#stream.isHeld) this.rest("deciding", false);
  }

  #decide(connect: Connect, admission: Admission): Verdict {
    if (!admission.ok) {
      if (admission.isFailure) this.#hub.noteFailure(this.#wire.address);
      this.#turnAway(admission.code, admission.refusal, admission.why);
      return "stop";
    }
    const { clientId, permit, user } = admission;
    const { config, rim } = this.#hub;
    const { version } = connect;
    const expirySeconds = chooseExpiry(connect);
    this.#askedExpirySeconds = expirySeconds;
    const { session, present, notes } = this.#hub.book.open(connect, clientId, expirySeconds, this);
    this.#session = session;
    this.#isResumed = present;
    this.#admitted = admission;
    this.#state = "open";
    this.#publisher = new Publisher(this.#hub, this, session, version, permit);
    this.#delivery = new Delivery(session, connect, (packet) => this.#sendInTurn(packet));
    const keepAlive = chooseKeepAlive(connect, config.keepaliveSecondsMax);
    this.#silenceMsMax = keepAlive === 0 ? Number.POSITIVE_INFINITY : keepAlive * KEEP_ALIVE_FACTOR;
    this.#heardMs = rim.steady();
    const answer = encodeConnack(version, present && version !== 3, 0, {
      sessionExpirySeconds: session.expirySeconds === expirySeconds ? undefined : session.expirySeconds,
      receiveMaximum: config.receiveMaximum,
      maximumPacketSize: this.#hub.publishBytesMax,
      assignedClientId: connect.clientId === "" ? clientId : undefined,
      topicAliasMaximum: config.topicAliasMaximum,
      serverKeepAliveSeconds: keepAlive === connect.keepAliveSeconds ? undefined : keepAlive,
    });
    rim.log.debug(
      { source: config.name, clientId, user, version, present },
      `client ${quote(clientId)} is connected`,
    );
    if (answer.length > this.#packetBytesMax) {
      this.onFlaw({ code: REASON.packetTooLarge, why: "it takes no packet as large as CONNACK" });
      return "stop";
    }
    const welcome = () => {
      if (this.#state !== "open") return;
      this.#send(answer);
      this.#isTold = true;
      this.flush();
      if (present) this.#delivery?.resume(this.#hub.retained.values());
    };
    if (notes.size === 0) welcome();
    else this.#hub.keeper.note(notes, welcome);
    return undefined;
  }

  #turnAway(code: number, refusal: ConnectionRefusal, why: string): void {
    this.#hub.refuse(refusal, this.#wire.address, why);
    const returnCode = this.#version === 5 ? code : toReturnCode(code);
    if (returnCode !== undefined) {
      const reasonString = this.#version === 5 ? why : undefined;
      this.#wire.write(
        encodeConnack(this.#version, false, returnCode, { reasonString }, this.#packetBytesMax),
      );
    }
    this.#leave(true);
    this.#wire.end();
  }

  #answer(type: number, bytes: Buffer, bodyStart: number, end: number): Flaw | "stop" | undefined {
    const session = this.#session as Session;
    switch (type) {
      case TYPE.pingreq:
        if (bodyStart !== end) return { code: REASON.malformedPacket, why: "PINGREQ has a body" };
        this.#sendInTurn(PINGRESP);
        return undefined;
      case TYPE.pubrel: {
        const packetId = decodeAcknowledgement(this.#version, type, bytes, bodyStart, end);
        return typeof packetId === "number" ? this.#release(packetId) : packetId;
      }
      case TYPE.subscribe:
        return this.#answerKept(
          subscribe(session, this.#hub.config.subscriptions, this.#version, bytes, bodyStart, end),
        );
      case TYPE.unsubscribe:
        return this.#answerKept(unsubscribe(session, this.#version, bytes, bodyStart, end));
      case TYPE.disconnect:
        return this.#takeLeave(bytes, bodyStart, end);
      case TYPE.puback:
      case TYPE.pubcomp: {
        // What another server did before is not held against a client.
        const packetId = decodeAcknowledgement(this.#version, type, bytes, bodyStart, end);
        if (type === TYPE.puback) this.#delivery?.acknowledged();
        return typeof packetId === "number" ? undefined : packetId;
      }
      case TYPE.pubrec: {
        const packetId = decodeAcknowledgement(this.#version, type, bytes, bodyStart, end);
        if (typeof packetId !== "number") return packetId;
        this.acknowledge(ACK.pubrel, packetId, REASON.packetIdentifierNotFound);
        return undefined;
      }
      case TYPE.auth:
        return breach("AUTH came without an authentication method");
      default:
        return breach("CONNECT came a second time"); // [MQTT-3.1.0-2]
    }
  }

  #release(packetId: number): Flaw | undefined {
    const session = this.#session as Session;
    const state = session.idState(packetId);
    if (state === "taken") return breach(`PUBREL came before the PUBREC of packet identifier ${packetId}`);
    // In a session that goes on this is the PUBCOMP that the last connection has swallowed: all is well [MQTT5 3.7.2.1].
    const unknown = this.#isResumed ? REASON.success : REASON.packetIdentifierNotFound;
    if (state === undefined) this.acknowledge(ACK.pubcomp, packetId, unknown);
    else this.#hub.book.releaseId(session, packetId);
    return undefined;
  }

  /** The answer, once what it says is in the journal. */
  #answerKept(given: SubscriptionAnswer | Flaw): Flaw | undefined {
    if (isFlaw(given)) return given;
    const send = () => {
      if (this.#state !== "open") return;
      this.#sendInTurn(given.answer);
      this.#delivery?.sayRetained(given.wantsRetained, this.#hub.retained.values());
    };
    if (given.hasChanged) this.#hub.book.noteChange(this.#session as Session, send);
    else send();
    return undefined;
  }

  #takeLeave(bytes: Buffer, bodyStart: number, end: number): Flaw | "stop" {
    const disconnect = decodeDisconnect(this.#version, bytes, bodyStart, end);
    if (isFlaw(disconnect)) return disconnect;
    const { code, sessionExpirySeconds } = disconnect;
    if (sessionExpirySeconds !== undefined) {
      if (this.#askedExpirySeconds === 0 && sessionExpirySeconds !== 0)
        return breach("DISCONNECT has a session expiry that CONNECT did not ask for"); // [MQTT5 3.14.2.2.2]
      this.#hub.book.changeExpiry(this.#session as Session, sessionExpirySeconds);
    }
    this.#leave(code !== 0);
    this.#wire.end();
    return "stop";
  }

  acknowledge(firstByte: number, packetId: number, code: number): void {
    if (this.#state !== "open") return;
    if (this.#acks.length === 0) this.#hub.owe(this);
    // A code that must not be sent in so large a packet is left out [MQTT-3.1.2-24]: nothing smaller exists.
    pushAcknowledgement(this.#acks, this.#version, firstByte, packetId, this.#packetBytesMax < 5 ? 0 : code);
  }

  flush(): void {
    if (this.#acks.length === 0 || this.#state !== "open" || !this.#isTold) return;
    const bytes = Buffer.from(this.#acks);
    this.#acks = [];
    this.#send(bytes);
  }

  deliver(announcement: Announcement): boolean {
    const canHear = this.#state === "open" && this.#isTold && !this.#wire.isCongested;
    return canHear && this.#delivery?.say(announcement) === true;
  }

  /** Behind what is owed already, and behind CONNACK. */
  #sendInTurn(bytes: Buffer): void {
    if (!this.#isTold) {
      for (const byte of bytes) this.#acks.push(byte);
      return;
    }
    this.flush();
    this.#send(bytes);
  }

  #send(bytes: Buffer): void {
    this.#wire.write(bytes);
    if (this.#wire.isCongested) this.rest("unsent", true);
  }

  /** What was written has left. */
  drained(): void {
    this.rest("unsent", false);
  }

  wake(): void {
    this.rest("journal", false);
  }

  rest(cause: "deciding" | "unsent" | "journal" | "window" | "rate" | "stop", wanted: boolean): void {
    const wasResting = this.#restCauses.size > 0;
    if (wanted) this.#restCauses.add(cause);
    else this.#restCauses.delete(cause);
    const isResting = this.#restCauses.size > 0;
    if (isResting === wasResting || this.#state === "closed") return;
    if (!isResting) this.#heardMs = this.#hub.rim.steady();
    this.#wire.rest(isResting);
  }

  tick(nowMs: number): void {
    this.#publisher?.tick(nowMs);
    // A client that is not listened to cannot be heard.
    const isDeaf = this.#restCauses.size > 0 && !this.#restCauses.has("unsent") && this.#state === "open";
    if (this.#state === "closed" || isDeaf || nowMs - this.#heardMs <= this.#silenceMsMax) return;
    const isOpen = this.#state === "open";
    const why = isOpen ? "it was silent for 1.5 times its keep-alive" : "it did not send CONNECT in time";
    this.expel(isOpen ? "keep-alive" : "connect-timeout", REASON.keepAliveTimeout, why);
  }

  takeOver(): void {
    const why = `another connection has the client id ${quote(this.#admitted?.clientId ?? "")}`;
    this.expel("taken-over", REASON.sessionTakenOver, why);
  }

  review(): void {
    if (this.#state !== "open" || this.#admitted === undefined) return;
    const objection = findObjection(this.#hub, this.#admitted, this.#session?.will);
    if (objection === undefined) return;
    this.expel(objection.refusal, objection.code, objection.why, objection.keepsWill);
  }

  /** The server wants it gone. */
  expel(refusal: ConnectionRefusal, code: ReasonCode, why: string, keepWill = true): void {
    if (this.#state === "closed") return;
    this.#hub.refuse(refusal, this.#wire.address, why);
    if (this.#state === "open") this.#disconnect(code, why);
    this.#leave(keepWill);
    this.#wire.end();
  }

  /** The server stops. */
  dismiss(): void {
    if (this.#state === "closed") return;
    this.flush();
    if (this.#state === "open") this.#disconnect(REASON.serverShuttingDown, undefined);
    this.#leave(true);
    this.#wire.end();
  }

  #disconnect(code: number, why: string | undefined): void {
    this.flush();
    if (this.#version !== 5) return;
    const bytes = encodeDisconnect(code, this.#wantsReasons ? why : undefined, this.#packetBytesMax);
    if (bytes.length <= this.#packetBytesMax) this.#wire.write(bytes);
  }

  #leave(keepWill: boolean): void {
    const session = this.#session;
    this.flush();
    this.#state = "closed";
    this.#stream.stop();
    this.#hub.forget(this);
    if (session !== undefined) this.#hub.book.close(session, this, keepWill);
  }
}
