// WebSocket framing for both ends [RFC 6455 5]: wraps what goes out, unwraps what comes in. Bytes of data frames are
// handed on as they come, so no frame, however large, is held.
// Refuses: masked frames from a server, unmasked ones from a client, reserved bits (no extension is ever asked for), text frames [MQTT-6.0.0-1], unknown
// opcodes, control frames that are over 125 bytes or fragmented, a continuation of nothing.

export const OPCODE_BINARY = 2;
export const OPCODE_CLOSE = 8;
export const OPCODE_PING = 9;
export const OPCODE_PONG = 10;
const OPCODE_CONTINUATION = 0;
const CONTROL_BYTES_MAX = 125;
const HEADER_BYTES_MAX = 14;
const MASK_BYTES = 4;

/** One whole frame; `mask` is four unpredictable bytes [RFC 6455 10.3]. */
export function encodeClientFrame(opcode: number, payload: Uint8Array, mask: Uint8Array): Buffer {
  const size = payload.length;
  const lengthBytes = size < 126 ? 0 : size < 65_536 ? 2 : 8;
  const frame = Buffer.allocUnsafe(2 + lengthBytes + 4 + size);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (lengthBytes === 0 ? size : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) frame.writeUInt16BE(size, 2);
  if (lengthBytes === 8) frame.writeBigUInt64BE(BigInt(size), 2);
  const maskAt = 2 + lengthBytes;
  frame.set(mask.subarray(0, 4), maskAt);
  for (let i = 0, at = maskAt + 4; i < size; i++) {
    frame[at + i] = (payload[i] as number) ^ (frame[maskAt + (i & 3)] as number);
  }
  return frame;
}

/** One whole frame of a server: never masked [RFC 6455 5.1]. */
export function encodeServerFrame(opcode: number, payload: Uint8Array): Buffer {
  const size = payload.length;
  const lengthBytes = size < 126 ? 0 : size < 65_536 ? 2 : 8;
  const frame = Buffer.allocUnsafe(2 + lengthBytes + size);
  frame[0] = 0x80 | opcode;
  frame[1] = lengthBytes === 0 ? size : lengthBytes === 2 ? 126 : 127;
  if (lengthBytes === 2) frame.writeUInt16BE(size, 2);
  if (lengthBytes === 8) frame.writeBigUInt64BE(BigInt(size), 2);
  frame.set(payload, 2 + lengthBytes);
  return frame;
}

export type FrameSink = {
  /** Bytes of a data frame, a view of the chunk. */
  readonly onData: (bytes: Buffer) => void;
  /** A whole ping, pong or close frame. */
  readonly onControl: (opcode: number, payload: Buffer) => void;
};

class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #isMasked: boolean;
  readonly #mask = Buffer.alloc(MASK_BYTES);
  /** Where in the mask the next byte of the frame is. */
  #maskAt = 0;
  readonly #header = Buffer.alloc(HEADER_BYTES_MAX);
  #headerFilled = 0;
  #opcode = 0;
  #left = 0;
  #control: Buffer[] = [];
  #isInMessage = false;

  constructor(sink: FrameSink, isMasked: boolean) {
    this.#sink = sink;
    this.#isMasked = isMasked;
  }

  /** Takes the next bytes, unmasking them in place; a reason means that the stream must be closed. */
  push(chunk: Buffer): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const piece = chunk.subarray(at, at + Math.min(this.#left, chunk.length - at));
        at += piece.length;
        this.#left -= piece.length;
        if (this.#isMasked) this.#unmask(piece);
        this.#take(piece);
        continue;
      }
      this.#header[this.#headerFilled++] = chunk[at++] as number;
      const problem = this.#readHeader();
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #readHeader(): string | undefined {
    const header = this.#header;
    if (this.#headerFilled < 2) return undefined;
    const short = (header[1] as number) & 0x7f;
    const lengthEnd = short < 126 ? 2 : short === 126 ? 4 : 10;
    const needed = this.#isMasked ? lengthEnd + MASK_BYTES : lengthEnd;
    if ((header[1] as number) >= 0x80 !== this.#isMasked)
      return this.#isMasked
        ? "WebSocket frame from a client is not masked"
        : "WebSocket frame from the server is masked";
    if (this.#headerFilled < needed) return undefined;
    this.#headerFilled = 0;
    const first = header[0] as number;
    const opcode = first & 0x0f;
    const isFinal = first >= 0x80;
    if ((first & 0x70) !== 0) return "WebSocket frame has reserved bits";
    const size =
      lengthEnd === 2 ? short : lengthEnd === 4 ? header.readUInt16BE(2) : Number(header.readBigUInt64BE(2));
    if (!Number.isSafeInteger(size)) return "WebSocket frame is too long";
    if (opcode >= OPCODE_CLOSE) {
      if (opcode > OPCODE_PONG) return `WebSocket frame has the opcode ${opcode}`;
      if (!isFinal || size > CONTROL_BYTES_MAX) return "WebSocket control frame is fragmented or too long";
    } else {
      if (opcode !== OPCODE_BINARY && opcode !== OPCODE_CONTINUATION)
        return `WebSocket frame has the opcode ${opcode}`;
      if ((opcode === OPCODE_CONTINUATION) !== this.#isInMessage)
        return "WebSocket fragments are out of order";
      this.#isInMessage = !isFinal;
    }
    this.#opcode = opcode;
    this.#left = size;
    header.copy(this.#mask, 0, lengthEnd, needed);
    this.#maskAt = 0;
    if (size === 0 && opcode >= OPCODE_CLOSE) this.#take(Buffer.alloc(0));
    return undefined;
  }

  #unmask(piece: Buffer): void {
    const start = this.#maskAt;
    for (let i = 0; i < piece.length; i++) {
      piece[i] = (piece[i] as number) ^ (this.#mask[(start + i) & 3] as number);
    }
    this.#maskAt = (start + piece.length) & 3;
  }

  #take(piece: Buffer): void {
    if (this.#opcode < OPCODE_CLOSE) {
      this.#sink.onData(piece);
      return;
    }
    this.#control.push(Buffer.from(piece));
    if (this.#left === 0) this.#sink.onControl(this.#opcode, Buffer.concat(this.#control.splice(0)));
  }
}

/** For a client: takes the frames of a server. */
export class ServerFrameDecoder extends FrameDecoder {
  constructor(sink: FrameSink) {
    super(sink, false);
  }
}

/** For a server: takes the frames of a client. */
export class ClientFrameDecoder extends FrameDecoder {
  constructor(sink: FrameSink) {
    super(sink, true);
  }
}
