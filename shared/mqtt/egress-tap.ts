// Publishes to a broker past MQTT.js, the twin of the ingress tap: MQTT.js keeps the session (CONNECT, PING,
// DISCONNECT); PUBLISH and what follows it take this way. All that is published in one turn leaves in few writes,
// user properties keep their order, and what is unsettled when a connection breaks goes again on the next, in order.
//
//   publish() ──► EgressFlights ──► EgressBatch ──► EgressStream ──► socket
//   onSettled ◄── (PUBACK, PUBREC, PUBCOMP) ◄────── EgressStream ◄── socket
//
// The session must be a clean one. Refuses (the connection ends): acknowledgements that are malformed or answer
// nothing, a broker that says it has kept a session (its old packet ids could swallow new messages), and one whose
// receive maximum is 0. A message that makes the broker end the connection again and again is settled as poison.

import type { Duplex } from "node:stream";
import { countPayloadBytes, type Message, type Qos } from "../message.ts";
import { type AckType, decodeAck, describeReason } from "./egress-ack.ts";
import { EgressBatch } from "./egress-batch.ts";
import { EgressFlights, type EgressOutcome, type Flight, PACKET_ID_MAX } from "./egress-flights.ts";
import { EgressStream } from "./egress-stream.ts";
import { PoisonWatch } from "./poison-watch.ts";
import {
  countPacketBytes,
  encodePublishHead,
  measurePublish,
  PACKET_BYTES_MAX,
  type PublishSending,
  type PublishSizes,
} from "./publish-encode.ts";

export type { EgressOutcome } from "./egress-flights.ts";

export type EgressTapOptions = {
  /** 4 = MQTT 3.1.1, 5 = MQTT 5. */
  readonly version: 4 | 5;
  /** QoS 1 and 2 messages that may be unacknowledged, 1 to 65,535; the broker's receive maximum may lower it. */
  readonly inflightMax: number;
  /** Milliseconds, of any origin: for message expiry, and how soon a connection ends. */
  readonly clock: () => number;
  /** How long a session is quiet before a message is tested for poison; three times, ever longer. Default 1000; 0: never. */
  readonly quietMs?: number;
  /** The message as it is sent now; the same one when nothing has changed since publish(). */
  readonly readdress?: (message: Message) => Message;
  /** Asked before a message is sent again; false: it waits, and all behind it, until goOn(). */
  readonly mayResend?: (message: Message) => boolean;
  /** `room` was 0 and is not any more. */
  readonly onRoom: () => void;
  /** The connection is closed right after. */
  readonly onProtocolError: (reason: string) => void;
};

/** What the broker said when it took us. */
export type EgressSession = {
  readonly sessionPresent: boolean;
  readonly receiveMaximum: number;
  /** undefined = no limit of its own. */
  readonly packetBytesMax: number | undefined;
  readonly qosMax: Qos;
  readonly retainAvailable: boolean;
};

/** Messages that may wait for the next write, in bytes; one message may go over it. */
const WAITING_BYTES_MAX = 262_144;
const QUIET_MS = 1000;
const PUBREL = 0x62;
const ACK_BYTES = 4;
const FORWARDED: EgressOutcome = { kind: "forwarded" };
const PLAIN: PublishSending = { qos: 0, retain: false, dup: false, packetId: 0, expirySeconds: 0 };
const RETAINED: PublishSending = { ...PLAIN, retain: true };

export function createEgressTap(options: EgressTapOptions): EgressTap {
  return new EgressTap(options);
}

/** One per target: it outlives its connections, as the unsettled messages do. */
export class EgressTap {
  readonly #options: EgressTapOptions;
  readonly #flights = new EgressFlights();
  readonly #watch: PoisonWatch<Flight>;
  #stream: EgressStream | undefined;
  #batch = new EgressBatch(() => {});
  #session: EgressSession | undefined;
  /** Packet ids that are owed a PUBREL. */
  #releases: number[] = [];
  #isFlushScheduled = false;
  #isFlushing = false;
  #hadRoom = false;

  constructor(options: EgressTapOptions) {
    this.#options = options;
    this.#watch = new PoisonWatch(options.quietMs ?? QUIET_MS);
  }

  /** The next connection is a test of one message that the broker may not bear: no reason to wait long for it. */
  get isTesting(): boolean {
    return this.#watch.isTesting;
  }

  /** Messages that are not settled. */
  get pending(): number {
    return this.#flights.count;
  }

  /** Messages of QoS 1 and 2 that were sent and wait for their acknowledgement. */
  get sentCount(): number {
    return this.#flights.sentCount;
  }

  /** For how long the message that was sent first waits for its acknowledgement; 0 when none does. */
  get waitedMs(): number {
    const first = this.#flights.firstSent;
    return first === undefined ? 0 : this.#options.clock() - first.sentMs;
  }

  /** Whoever said that messages have to wait calls this when they may go. */
  goOn(): void {
    this.#flush();
  }

  /**
   * How many messages may be published now, 0 while not connected. A limit by bytes too: ask before each message.
   * Whoever publishes more loses nothing; the messages wait in memory.
   */
  get room(): number {
    const window = this.#window;
    if (window === 0 || this.#stream === undefined || this.#stream.isFull) return 0;
    if (this.#watch.phase !== "open") return 0;
    if (this.#flights.waitingBytes + this.#stream.unsentBytes >= WAITING_BYTES_MAX) return 0;
    return Math.max(0, window - this.#flights.openCount);
  }

  /** Puts the tap between a new connection's socket and MQTT.js, which gets the result. */
  wrap(socket: Duplex): Duplex {
    // After this the old stream says nothing more: onLost was its last word.
    this.#stream?.destroy();
    const stream = new EgressStream(socket, this.#options.version, {
      onAck: (type, bytes, bodyStart, end) => this.#takeAck(type, bytes, bodyStart, end),
      onWritable: () => this.#flush(),
      onProtocolError: this.#options.onProtocolError,
      onLost: () => this.#lose(),
    });
    this.#stream = stream;
    this.#batch = new EgressBatch((bytes) => stream.writePackets(bytes));
    return stream;
  }

  /** The broker has taken us on the newest connection: messages may go. */
  open(session: EgressSession): void {
    if (this.#stream === undefined) return;
    const problem = checkSession(session);
    if (problem !== undefined) {
      this.#stream.fail(problem);
      return;
    }
    this.#session = session;
    const quietMs = this.#watch.noteOpen();
    if (quietMs === 0) this.#flush();
    else this.#goOnAfter(quietMs, () => this.#watch.endQuiet());
  }

  /** `onSettled` is called once, after this call; not at all when the last connection ends before. */
  publish(message: Message, onSettled: (outcome: EgressOutcome) => void): void {
    const { version, clock } = this.#options;
    this.#flights.add({
      message,
      onSettled,
      sizes: measurePublish(version, message),
      sentMs: 0,
      sinceMs: message.properties?.messageExpirySeconds === undefined ? 0 : clock(),
      qos: message.qos,
      dup: false,
      isReleased: false,
    });
    this.#noteRoom();
    this.#scheduleFlush();
  }

  /**
   * Sends a message of QoS 0 at once when nothing is before it, and nothing need be asked or remembered; then it is
   * forwarded. False when that cannot be: publish() is for all of them.
   */
  sendNow(message: Message): boolean {
    const stream = this.#stream;
    const session = this.#session;
    if (message.qos !== 0 || message.properties?.messageExpirySeconds !== undefined) return false;
    if (stream === undefined || session === undefined || this.#flights.next !== undefined) return false;
    if (stream.isFull || !stream.isBetweenPackets || this.#isFlushing) return false;
    const { version, readdress } = this.#options;
    if (this.#watch.phase !== "open" || readdress !== undefined) return false;
    const sizes = measurePublish(version, message);
    if (sizes === undefined || countPacketBytes(sizes, 0) > (session.packetBytesMax ?? PACKET_BYTES_MAX))
      return false;
    this.#put(message, sizes, message.retain && session.retainAvailable ? RETAINED : PLAIN);
    this.#scheduleFlush();
    return true;
  }

  get #window(): number {
    return Math.min(this.#options.inflightMax, this.#session?.receiveMaximum ?? 0, PACKET_ID_MAX);
  }

  /** Then changes what may be sent, if the session lasts so long. */
  #goOnAfter(waitMs: number, change: () => void): void {
    const stream = this.#stream;
    const timer = setTimeout(() => {
      if (stream !== this.#stream) return;
      change();
      this.#flush();
    }, waitMs);
    timer.unref();
  }

  #lose(): void {
    const isPoison =
      this.#session !== undefined && this.#watch.noteEnd(this.#flights.firstSent, this.#options.clock());
    this.#stream = undefined;
    this.#session = undefined;
    this.#releases = [];
    this.#flights.rewind();
    if (isPoison) {
      const poison = this.#flights.next;
      this.#flights.shift();
      poison?.onSettled({ kind: "poison" });
    }
    this.#noteRoom();
  }

  #takeAck(type: AckType, bytes: Buffer, bodyStart: number, end: number): string | undefined {
    const ack = decodeAck(this.#options.version, type, bytes, bodyStart, end);
    if (typeof ack === "string") return ack;
    const { packetId, code, text } = ack;
    const isRefusal = code >= 0x80;
    const result = this.#flights.acknowledge(type, packetId, isRefusal);
    if (typeof result === "string" && result !== "release") return result;
    this.#watch.noteProgress();
    this.#scheduleFlush();
    if (result === "release") this.#releases.push(packetId);
    else if (isRefusal) result.onSettled({ kind: "refused", code, reason: describeReason(code, text) });
    else result.onSettled(FORWARDED);
    return undefined;
  }

  /** All that happens in one turn leaves together. */
  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    queueMicrotask(() => {
      this.#isFlushScheduled = false;
      this.#flush();
      this.#noteRoom();
    });
  }

  /** Sends what may be sent; what must wait is tried again when the stream says so. */
  #flush(): void {
    const stream = this.#stream;
    const session = this.#session;
    if (stream === undefined || session === undefined || this.#isFlushing) return;
    if (!stream.isBetweenPackets || this.#watch.phase === "quiet") return;
    this.#isFlushing = true;
    this.#sendReleases();
    const settled: [Flight, EgressOutcome][] = [];
    const window = this.#window;
    while (!stream.isFull && stream === this.#stream) {
      const flight = this.#flights.next;
      if (flight === undefined) break;
      if (flight.message.qos > 0 && this.#flights.sentCount >= window) break;
      const isAlone = this.#watch.phase === "alone";
      if (isAlone && this.#flights.sentCount > 0) break;
      if (flight.dup && this.#options.mayResend?.(flight.message) === false) break;
      if (isAlone) this.#goOnAfter(this.#watch.noteSent(this.#options.clock()), () => this.#watch.endAlone());
      this.#flights.shift();
      const outcome = this.#send(flight, session);
      if (outcome !== undefined) settled.push([flight, outcome]);
      // Expired, or too large for what the broker allows by now: there is no suspect any more.
      if (isAlone && outcome !== undefined) this.#watch.noteProgress();
    }
    this.#batch.flush();
    this.#isFlushing = false;
    for (const [flight, outcome] of settled) flight.onSettled(outcome);
    this.#noteRoom();
  }

  #sendReleases(): void {
    for (const packetId of this.#releases) {
      const at = this.#batch.begin(ACK_BYTES);
      const { piece } = this.#batch;
      piece[at] = PUBREL;
      piece[at + 1] = ACK_BYTES - 2;
      this.#batch.end(piece.writeUInt16BE(packetId, at + 2));
    }
    this.#releases = [];
  }

  /** Sends one message; an outcome when that, or what forbids it, settles it. */
  #send(flight: Flight, session: EgressSession): EgressOutcome | undefined {
    const { version, readdress } = this.#options;
    const message = readdress?.(flight.message) ?? flight.message;
    const sizes = message === flight.message ? flight.sizes : measurePublish(version, message);
    const qos = Math.min(message.qos, session.qosMax) as Qos;
    if (sizes === undefined || countPacketBytes(sizes, qos) > (session.packetBytesMax ?? PACKET_BYTES_MAX))
      return { kind: "oversize" };
    const expirySeconds = this.#countExpiry(flight);
    if (expirySeconds <= 0) return { kind: "expired" };
    flight.qos = qos;
    const packetId = qos === 0 ? 0 : this.#flights.launch(flight);
    flight.sentMs = this.#options.clock();
    const retain = message.retain && session.retainAvailable;
    const sending = { qos, retain, dup: flight.dup, packetId, expirySeconds };
    this.#put(message, sizes, sending);
    return qos === 0 ? FORWARDED : undefined;
  }

  #put(message: Message, sizes: PublishSizes, sending: PublishSending): void {
    const batch = this.#batch;
    const at = batch.begin(headBytesMax(message, sizes));
    batch.end(encodePublishHead(this.#options.version, message, sizes, sending, batch.piece, at));
    batch.putPayload(message);
  }

  /** The message expiry interval less the time it has waited here [MQTT-3.3.2-6]; any positive number without one. */
  #countExpiry({ message, sinceMs }: Flight): number {
    const lifetime = message.properties?.messageExpirySeconds;
    if (lifetime === undefined) return 1;
    return lifetime - Math.max(0, Math.floor((this.#options.clock() - sinceMs) / 1000));
  }

  #noteRoom(): void {
    const hasRoom = this.room > 0;
    const isNews = hasRoom && !this.#hadRoom;
    this.#hadRoom = hasRoom;
    if (isNews) this.#options.onRoom();
  }
}

function checkSession({ sessionPresent, receiveMaximum }: EgressSession): string | undefined {
  if (sessionPresent) return "the broker has kept a session, although a clean one was asked for";
  // Forbidden [MQTT5 3.2.2.3.3]; nothing of QoS 1 or 2 could ever be sent, and without a word.
  return receiveMaximum === 0 ? "the broker's receive maximum is 0, must be at least 1" : undefined;
}

/** Everything but the payload, with the longest fixed header and packet identifier there are. */
function headBytesMax(message: Message, sizes: PublishSizes): number {
  return 5 + 2 + sizes.bodyBytes - countPayloadBytes(message);
}
