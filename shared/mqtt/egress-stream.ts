// One connection of the egress tap: what the broker says is divided between the tap and MQTT.js, and the tap's bytes
// are put between MQTT.js's packets.
//
//   broker ──► socket ──► PacketSplitter ─┬─ PUBACK, PUBREC, PUBCOMP ──► onAck     (never reach MQTT.js)
//                                         └─ CONNACK, PINGRESP, DISCONNECT, AUTH ──► MQTT.js
//   broker ◄── socket ◄── between packets ┬─ write()
//                                         └─ what MQTT.js writes
//
// Refuses from the broker: what answers nothing, such as SUBACK and PUBREL. A PUBLISH, which nobody asked for, is
// skipped unread and never acknowledged. Refuses from MQTT.js: every packet that takes a packet id, because the
// ids are the tap's.

import { Duplex } from "node:stream";
import { PROTOCOL_ERROR_CODE } from "./ingress-tap.ts";
import { PacketBoundary } from "./packet-boundary.ts";
import { PacketSplitter } from "./packet-splitter.ts";

export type EgressSink = {
  /** An acknowledgement's body is bytes[bodyStart, end); a string ends the connection. */
  readonly onAck: (type: 4 | 5 | 7, bytes: Buffer, bodyStart: number, end: number) => string | undefined;
  /** Bytes may be written again, perhaps: MQTT.js's packet is whole, or the socket has drained. */
  readonly onWritable: () => void;
  readonly onProtocolError: (reason: string) => void;
  /** Called once, when the connection is over. */
  readonly onLost: () => void;
};

/** Bytes the socket may hold for a broker that doesn't take them; one message may go over it. */
const UNSENT_BYTES_MAX = 262_144;
const PING_RESPONSE = Buffer.from([0xd0, 0]);
/** CONNECT, PINGREQ, DISCONNECT and AUTH. */
const MQTTJS_TYPES: ReadonlySet<number> = new Set([1, 12, 14, 15]);
const DISCONNECT_TYPE = 14;
/** CONNACK, PINGRESP, DISCONNECT and AUTH. */
const PASSED_TYPES: ReadonlySet<number> = new Set([2, 13, 14, 15]);
const PING_RESPONSE_TYPE = 13;

export class EgressStream extends Duplex {
  readonly #socket: Duplex;
  readonly #sink: EgressSink;
  readonly #splitter: PacketSplitter;
  readonly #boundary = new PacketBoundary();
  #isFull = false;
  #hasDisconnected = false;
  #isPingOpen = false;

  constructor(socket: Duplex, version: 4 | 5, sink: EgressSink) {
    super();
    this.#socket = socket;
    this.#sink = sink;
    // A maximum of 0 makes every PUBLISH oversize: skipped, however large.
    this.#splitter = new PacketSplitter(version, 0, {
      onPacket: (bytes, start, bodyStart, end) => this.#takePacket(bytes, start, bodyStart, end),
      onOversize: () => undefined,
    });
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => {
      this.#isFull = false;
      this.#noteLife();
      sink.onWritable();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => {
      // The broker's last word (CONNACK, DISCONNECT) may still be on its way to MQTT.js.
      if (this.readableLength === 0 || this.readableEnded) this.destroy();
      else this.once("end", () => this.destroy());
    });
  }

  /** Whether the socket holds so much that nothing should be added. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  /** Whether packets may be put here now. */
  get isBetweenPackets(): boolean {
    return (
      this.#boundary.isBetweenPackets && !this.#hasDisconnected && !this.destroyed && this.#socket.writable
    );
  }

  /** Writes whole packets; only while isBetweenPackets. */
  writePackets(bytes: Buffer): void {
    if (!this.#socket.write(bytes) && this.#socket.writableLength >= UNSENT_BYTES_MAX) this.#isFull = true;
  }

  #read(chunk: Buffer): void {
    if (this.destroyed) return;
    const problem = this.#splitter.push(chunk);
    if (problem !== undefined) this.fail(problem);
  }

  /** Ends the connection, because what came over it breaks the protocol. */
  fail(problem: string): void {
    this.#sink.onProtocolError(problem);
    this.destroy(Object.assign(new Error(problem), { code: PROTOCOL_ERROR_CODE }));
  }

  #takePacket(bytes: Buffer, start: number, bodyStart: number, end: number): string | undefined {
    const type = (bytes[start] as number) >> 4;
    if (type === 4 || type === 5 || type === 7) {
      this.#noteLife();
      return this.#sink.onAck(type, bytes, bodyStart, end);
    }
    if (!PASSED_TYPES.has(type)) return `packet type ${type} came, which answers nothing we sent`;
    if (type === PING_RESPONSE_TYPE) this.#isPingOpen = false;
    if (!this.push(bytes.subarray(start, end))) this.#socket.pause();
    return undefined;
  }

  /**
   * Behind many messages a PINGREQ takes long to reach the broker, and MQTT.js, which doesn't see the messages'
   * acknowledgements, would call the connection dead. Whatever shows that the broker takes bytes is an answer.
   */
  #noteLife(): void {
    if (!this.#isPingOpen) return;
    this.#isPingOpen = false;
    this.push(PING_RESPONSE);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this._writev([{ chunk }], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    // What waits goes first: MQTT.js's packet may be its DISCONNECT.
    this.#sink.onWritable();
    for (const { chunk } of chunks) {
      // MQTT.js writes no chunk that holds parts of two packets.
      const type = (chunk[0] ?? 0) >> 4;
      if (this.#boundary.isBetweenPackets && chunk.length > 0) {
        if (!MQTTJS_TYPES.has(type)) {
          this.fail(`MQTT.js wrote packet type ${type}, which only the tap may`);
          return;
        }
        if (type === DISCONNECT_TYPE) this.#hasDisconnected = true;
      }
      this.#boundary.feed(chunk);
    }
    if (this.#boundary.takePingRequests() > 0) this.#isPingOpen = true;
    const bytes = chunks.length === 1 ? chunks[0]?.chunk : Buffer.concat(chunks.map(({ chunk }) => chunk));
    // A failed write only says that the socket is closed; why, its "error" event says.
    this.#socket.write(bytes, () => done());
    this.#sink.onWritable();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#hasDisconnected = true;
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    this.#sink.onLost();
    done(error);
  }
}
