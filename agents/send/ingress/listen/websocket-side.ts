// The server's side of one WebSocket with MQTT inside [RFC 6455, MQTT5 6]: answers the handshake, unwraps frames, answers pings.
// Refuses what websocket-handshake.ts and websocket-frame.ts refuse. MQTT packets may be cut over frames in any way [MQTT-6.0.0-2].
import {
  ClientFrameDecoder,
  encodeServerFrame,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_PING,
  OPCODE_PONG,
} from "../../../../shared/mqtt/websocket-frame.ts";
import { decodeUpgradeRequest } from "../../../../shared/mqtt/websocket-handshake.ts";

const CLOSE_NORMAL = Buffer.from([0x03, 0xe8]);
const CLOSE_PROTOCOL_ERROR = Buffer.from([0x03, 0xea]);

export type WebsocketOutput = {
  onData(bytes: Buffer): void;
  onSend(bytes: Uint8Array): void;
  /** The connection is to be closed; `refusal`: because of what came. */
  onEnd(refusal: string | undefined): void;
};

export class WebsocketSide {
  readonly #path: string;
  readonly #output: WebsocketOutput;
  readonly #frames: ClientFrameDecoder;
  #request: Buffer | undefined = Buffer.alloc(0);
  #isClosing = false;

  constructor(path: string, output: WebsocketOutput) {
    this.#path = path;
    this.#output = output;
    this.#frames = new ClientFrameDecoder({
      onData: (bytes) => {
        if (!this.#isClosing) output.onData(bytes);
      },
      onControl: (opcode, payload) => this.#control(opcode, payload),
    });
  }

  receive(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#request !== undefined) {
      this.#request = Buffer.concat([this.#request, chunk]);
      const request = decodeUpgradeRequest(this.#request, this.#path);
      if (request.kind === "more") return;
      this.#output.onSend(Buffer.from(request.answer, "latin1"));
      if (request.kind === "refused") {
        this.#isClosing = true;
        this.#output.onEnd(request.reason);
        return;
      }
      bytes = this.#request.subarray(request.end);
      this.#request = undefined;
    }
    const problem = this.#frames.push(bytes);
    if (problem === undefined || this.#isClosing) return;
    this.#close(CLOSE_PROTOCOL_ERROR);
    this.#output.onEnd(problem);
  }

  send(bytes: Uint8Array): void {
    if (this.#request === undefined && !this.#isClosing)
      this.#output.onSend(encodeServerFrame(OPCODE_BINARY, bytes));
  }

  sayGoodbye(): void {
    if (this.#request === undefined) this.#close(CLOSE_NORMAL);
  }

  #control(opcode: number, payload: Buffer): void {
    if (this.#isClosing) return;
    if (opcode === OPCODE_PING) this.#output.onSend(encodeServerFrame(OPCODE_PONG, payload));
    if (opcode !== OPCODE_CLOSE) return;
    this.#close(payload.subarray(0, 2));
    this.#output.onEnd(undefined);
  }

  #close(code: Uint8Array): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#output.onSend(encodeServerFrame(OPCODE_CLOSE, code));
  }
}
