// The way of inbound messages past MQTT.js:
//
//   broker ──► socket ──► PacketSplitter ─┬─ PUBLISH, PUBREL ──► onPublish, onRefusal   (never reach MQTT.js)
//                                         └─ all else ─────────► MQTT.js
//   broker ◄── socket ◄── between packets ┬─ our PUBACK, PUBREC, PUBCOMP, when the owner says so
//                                         └─ what MQTT.js writes
//
// MQTT.js takes one PUBLISH at a time and waits for its handler; acknowledging after a commit to disk would then
// mean one message a commit. So MQTT.js keeps the session, and the messages take this way.
// Refuses: malformed packets (the connection ends), messages MQTT forbids or that are too large (the session goes
// on; the owner books them and acknowledges them like any other delivery, in order).

import { Duplex } from "node:stream";
import { PromptAck } from "../native/prompt-ack.ts";
import { type Delivery, InboundSession } from "./inbound-session.ts";
import { PacketBoundary } from "./packet-boundary.ts";
import { PacketSplitter, PUBLISH_TYPE, PUBREL_TYPE } from "./packet-splitter.ts";
import {
  decodeOversizePublish,
  decodePublish,
  type PublishFields,
  type PublishRefusal,
} from "./publish-packet.ts";
import type { TopicCache } from "./topic-cache.ts";

export type InboundPublish = PublishFields;
/** `packetBytes` is the whole size of the PUBLISH packet. */
export type InboundRefusal = PublishRefusal & { readonly packetBytes: number };

export type IngressTapOptions = {
  /** 4 = MQTT 3.1.1, 5 = MQTT 5. */
  readonly version: 4 | 5;
  /** A PUBLISH packet of more bytes is skipped and refused as "oversize". */
  readonly packetBytesMax: number;
  /**
   * How many QoS 1 and 2 messages may wait for their acknowledgement; then reading rests until some are. In MQTT 5 it
   * is what the broker was told, too. One that sends more all the same is not cut off: Mosquitto 2.0.11 does so with all
   * that it has kept for a session, and would do so again at each reconnect, for ever.
   */
  readonly receiveMaximum: number;
  /** Where topic names are looked up; without it each is decoded by itself. */
  readonly topics?: TopicCache;
  readonly onPublish: (publish: InboundPublish) => void;
  /** QoS 1 and 2 refusals wait for their acknowledgement too, so that the owner books them first. */
  readonly onRefusal: (refusal: InboundRefusal) => void;
  /** The connection is closed right after. */
  readonly onProtocolError: (reason: string) => void;
};

export const PROTOCOL_ERROR_CODE = "ERR_MQTT_PROTOCOL";
const CONNACK_TYPE = 2;
const PING_RESPONSE = Buffer.from([0xd0, 0]);
/** Acknowledgements a broker doesn't take up to here; then its packets aren't taken either. */
const UNSENT_BYTES_MAX = 65_536;

export function createIngressTap(options: IngressTapOptions): IngressTap {
  return new IngressTap(options);
}

/** One per source: it outlives its connections, as the session at the broker does. */
export class IngressTap {
  readonly #options: IngressTapOptions;
  readonly #session: InboundSession;
  #stream: TapStream | undefined;
  #isPaused = false;

  constructor(options: IngressTapOptions) {
    this.#options = options;
    this.#session = new InboundSession();
  }

  /** Puts the tap between a new connection's socket and MQTT.js, which gets the result. */
  wrap(socket: Duplex): Duplex {
    this.#stream?.destroy();
    this.#session.dropConnection();
    this.#stream = new TapStream(socket, this.#options, this.#session);
    this.#stream.rest("owner", this.#isPaused);
    return this.#stream;
  }

  /** Acknowledges publishes and refusals that were handed out; those of a lost connection or session are ignored. */
  ack(deliveries: Iterable<Delivery>): void {
    const bytes = this.#session.acknowledge(deliveries);
    this.#stream?.acknowledge(bytes);
  }

  /** Stops reading from the broker, for as long as the owner can take no more. What was read already still comes. */
  pause(): void {
    this.#isPaused = true;
    this.#stream?.rest("owner", true);
  }

  resume(): void {
    this.#isPaused = false;
    this.#stream?.rest("owner", false);
  }
}

type RestCause = "owner" | "mqttjs" | "receive-maximum" | "unsent";

class TapStream extends Duplex {
  readonly #socket: Duplex;
  readonly #options: IngressTapOptions;
  readonly #session: InboundSession;
  readonly #splitter: PacketSplitter;
  readonly #boundary = new PacketBoundary();
  readonly #restCauses = new Set<RestCause>();
  readonly #promptAck = new PromptAck();
  #acks: number[] = [];
  #isFlushScheduled = false;

  constructor(socket: Duplex, options: IngressTapOptions, session: InboundSession) {
    super();
    this.#socket = socket;
    this.#options = options;
    this.#session = session;
    this.#splitter = new PacketSplitter(options.version, options.packetBytesMax, {
      onPacket: (bytes, start, bodyStart, end) => this.#takePacket(bytes, start, bodyStart, end),
      onOversize: (firstByte, head, packetBytes) => {
        const refusal = decodeOversizePublish(firstByte, head);
        return typeof refusal === "string" ? refusal : this.#refuse({ ...refusal, packetBytes });
      },
    });
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => this.rest("unsent", false));
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => {
      // The broker's last word (CONNACK, DISCONNECT) may still be on its way to MQTT.js.
      if (this.readableLength === 0 || this.readableEnded) this.destroy();
      else this.once("end", () => this.destroy());
    });
  }

  rest(cause: RestCause, wanted: boolean): void {
    if (wanted === this.#restCauses.has(cause)) return;
    if (wanted) this.#restCauses.add(cause);
    else this.#restCauses.delete(cause);
    if (this.#restCauses.size === 0 || this.writableEnded) this.#socket.resume();
    else this.#socket.pause();
  }

  acknowledge(bytes: number[]): void {
    for (const byte of bytes) this.#acks.push(byte);
    this.#scheduleFlush();
    if (this.#session.uncommittedCount < this.#options.receiveMaximum) this.rest("receive-maximum", false);
  }

  #read(chunk: Buffer): void {
    // After our DISCONNECT nothing is taken any more: the broker keeps what we did not acknowledge.
    if (this.destroyed || this.writableEnded) return;
    const problem = this.#splitter.push(chunk);
    if (problem !== undefined) {
      this.#options.onProtocolError(problem);
      this.destroy(Object.assign(new Error(problem), { code: PROTOCOL_ERROR_CODE }));
      return;
    }
    this.#promptAck.send(this.#socket, chunk.length);
    this.#scheduleFlush();
  }

  #takePacket(bytes: Buffer, start: number, bodyStart: number, end: number): string | undefined {
    const firstByte = bytes[start] as number;
    const type = firstByte >> 4;
    if (type === PUBLISH_TYPE) {
      const { version, topics } = this.#options;
      const decoding = decodePublish(version, firstByte, bytes, bodyStart, end, topics);
      if (decoding.kind === "malformed") return decoding.reason;
      if (decoding.kind === "refused") return this.#refuse({ ...decoding.refusal, packetBytes: end - start });
      if (this.#receive(decoding.fields)) this.#options.onPublish(decoding.fields);
      return undefined;
    }
    if (type === PUBREL_TYPE) return this.#release(bytes, bodyStart, end);
    if (type === CONNACK_TYPE && ((bytes[bodyStart] ?? 0) & 1) === 0) this.#session.dropSession();
    if (!this.push(bytes.subarray(start, end))) this.rest("mqttjs", true);
    return undefined;
  }

  #refuse(refusal: InboundRefusal): string | undefined {
    if (this.#receive(refusal)) this.#options.onRefusal(refusal);
    return undefined;
  }

  /** Whether a delivery is new; if not, all has been done. */
  #receive(delivery: Delivery): boolean {
    const reception = this.#session.receive(delivery);
    if (reception === "again") {
      for (const byte of this.#session.acknowledgeAgain(delivery.packetId)) this.#acks.push(byte);
    }
    if (reception !== "deliver") return false;
    // Not all that is open: what waits for the broker's PUBREL would wait for ever if nothing were read.
    if (this.#session.uncommittedCount >= this.#options.receiveMaximum) this.rest("receive-maximum", true);
    return true;
  }

  #release(bytes: Buffer, bodyStart: number, end: number): string | undefined {
    // Two bytes, and in MQTT 5 perhaps a reason code and properties, which change nothing [MQTT5 3.6.2].
    const length = end - bodyStart;
    if (length < 2 || (length > 2 && this.#options.version === 4))
      return `PUBREL has a body of ${length} bytes`;
    const packetId = bytes.readUInt16BE(bodyStart);
    if (packetId === 0) return "PUBREL has the packet identifier 0";
    const answer = this.#session.release(packetId);
    if (answer === "uncommitted") return `PUBREL came before the PUBREC for packet identifier ${packetId}`;
    for (const byte of answer) this.#acks.push(byte);
    return undefined;
  }

  /** One commit settles many messages, one call each: their acknowledgements leave in one write. */
  #scheduleFlush(): void {
    if (this.#isFlushScheduled || this.#acks.length === 0) return;
    this.#isFlushScheduled = true;
    queueMicrotask(() => {
      this.#isFlushScheduled = false;
      this.#flushAcks();
    });
  }

  #flushAcks(): void {
    if (this.#acks.length === 0 || !this.#boundary.isBetweenPackets) return;
    const bytes = Buffer.from(this.#acks);
    this.#acks = [];
    if (this.destroyed || !this.#socket.writable) return;
    if (!this.#socket.write(bytes) && this.#socket.writableLength > UNSENT_BYTES_MAX)
      this.rest("unsent", true);
  }

  override _read(): void {
    this.rest("mqttjs", false);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    // First what is owed: MQTT.js's packet may be its DISCONNECT.
    this.#flushAcks();
    this.#boundary.feed(chunk);
    // A failed write only says that the socket is closed; why, its "error" event says.
    this.#socket.write(chunk, () => done());
    this.#flushAcks();
    // While reading rests, the broker's PINGRESP can't come through, and MQTT.js would call the connection dead.
    if (this.#boundary.takePingRequests() > 0 && this.#restCauses.size > 0) this.push(PING_RESPONSE);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "buffer", done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#flushAcks();
    this.#socket.end(() => done());
    // A socket that rests would never come to the broker's end of the connection, and the close would wait for ever.
    this.#socket.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
