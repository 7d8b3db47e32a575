// MQTT over WebSocket as a plain byte stream, on top of a TCP or TLS socket of ours. Bun's own WebSocket is not
// used: it can't be told to stop reading, holds whole frames however large, and hides the TLS error's details.
// Refuses what websocket-handshake.ts and websocket-frame.ts refuse: the stream then ends with an error.

import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import {
  encodeClientFrame,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_PING,
  OPCODE_PONG,
  ServerFrameDecoder,
} from "./websocket-frame.ts";
import { decodeUpgradeAnswer, encodeUpgradeRequest } from "./websocket-handshake.ts";

export const WEBSOCKET_ERROR_CODE = "ERR_WEBSOCKET";
const CLOSE_NORMAL = Buffer.from([0x03, 0xe8]);
/** Pongs are left out while this much of what we wrote isn't taken: a flood of pings must not fill memory. */
const UNSENT_BYTES_MAX = 65_536;

export class WebsocketStream extends Duplex {
  readonly #socket: Duplex;
  readonly #key = randomBytes(16).toString("base64");
  readonly #frames: ServerFrameDecoder;
  readonly #onOpen: () => void;
  #answer: Buffer | undefined = Buffer.alloc(0);
  #isClosing = false;
  /** What is to be written once the handshake is done. */
  #waiting: (() => void) | undefined;

  /**
   * `readyEvent` is the socket's event after which bytes may be written: "connect" or "secureConnect"; undefined when
   * they may be written at once.
   */
  constructor(
    socket: Duplex,
    readyEvent: string | undefined,
    hostAndPort: string,
    path: string,
    onOpen: () => void,
  ) {
    super();
    this.#socket = socket;
    this.#onOpen = onOpen;
    this.#frames = new ServerFrameDecoder({
      onData: (bytes) => {
        if (!this.push(bytes)) socket.pause();
      },
      onControl: (opcode, payload) => this.#control(opcode, payload),
    });
    const ask = () => socket.write(encodeUpgradeRequest(hostAndPort, path, this.#key));
    if (readyEvent === undefined) ask();
    else socket.once(readyEvent, ask);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => {
      if (this.readableLength === 0 || this.readableEnded) this.destroy();
      else this.once("end", () => this.destroy());
    });
  }

  #read(chunk: Buffer): void {
    if (this.destroyed) return;
    let bytes = chunk;
    if (this.#answer !== undefined) {
      this.#answer = Buffer.concat([this.#answer, chunk]);
      const answer = decodeUpgradeAnswer(this.#answer, this.#key);
      if (answer.kind === "more") return;
      if (answer.kind === "refused") {
        this.#fail(answer.reason, answer.status);
        return;
      }
      bytes = this.#answer.subarray(answer.end);
      this.#answer = undefined;
      this.#onOpen();
      this.#waiting?.();
      this.#waiting = undefined;
    }
    const problem = this.#frames.push(bytes);
    if (problem !== undefined) this.#fail(problem, undefined);
  }

  #fail(reason: string, status: number | undefined): void {
    this.destroy(Object.assign(new Error(reason), { code: WEBSOCKET_ERROR_CODE, status }));
  }

  #control(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE_PING && this.#socket.writableLength < UNSENT_BYTES_MAX)
      this.#send(OPCODE_PONG, payload);
    if (opcode !== OPCODE_CLOSE || this.#isClosing) return;
    this.#isClosing = true;
    this.#send(OPCODE_CLOSE, payload.subarray(0, 2));
    this.#socket.end();
    this.push(null);
  }

  #send(opcode: number, payload: Uint8Array, done?: (error?: Error | null) => void): void {
    this.#socket.write(encodeClientFrame(opcode, payload, randomBytes(4)), done);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#isClosing) done();
    else if (this.#answer === undefined) this.#send(OPCODE_BINARY, chunk, done);
    else this.#waiting = () => this.#send(OPCODE_BINARY, chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "buffer", done);
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#send(OPCODE_CLOSE, CLOSE_NORMAL);
    }
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
