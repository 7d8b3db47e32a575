// Reads datagrams from a bound socket, many in one call, into memory that is used again and again. The runtime's own UDP socket
// makes an object, a copy and two texts of each datagram, which costs more than opening its seal. The runtime only says
// when there is something: it takes the socket for a stream, reads the first datagram, and the rest is read here, in order.
// Linux only, glibc and musl, on x86-64 and arm64, whose structures are alike.
import { FFIType, ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { openLibc, readErrno } from "../../../shared/native/libc.ts";

export type ReaderOutput = {
  /** A view that is valid during the call only. */
  datagram(datagram: Buffer): void;
  failed(error: Error): void;
};

/** Datagrams read in one call. */
const BATCH = 32;
const DATAGRAM_BYTES_MAX = 65_536;
/** Read in one turn at most, so that timers and other sockets have theirs. */
const TURN_DATAGRAMS = 1024;

// struct mmsghdr: name 8, its length 4 and padding 4, iovec 8, count of iovecs 8, control 8, its length 8, flags 4 and padding 4,
// bytes read 4 and padding 4. struct iovec: base 8, length 8. [recvmmsg(2)]
const HEADER_BYTES = 64;
const IOVEC_AT = 16;
const IOVEC_COUNT_AT = 24;
const READ_AT = 56;
const IOVEC_BYTES = 16;
const MSG_DONTWAIT = 0x40;
const F_DUPFD_CLOEXEC = 1030;

const { i32, u32, ptr: pointer } = FFIType;
const libc = openLibc({
  recvmmsg: { args: [i32, pointer, u32, i32, pointer], returns: i32 },
  fcntl: { args: [i32, i32, i32], returns: i32 },
  __errno_location: { args: [], returns: pointer },
});

export class DatagramReader {
  readonly #fd: number;
  readonly #output: ReaderOutput;
  readonly #slots: Buffer[];
  readonly #views: Buffer[];
  readonly #headers = Buffer.alloc(BATCH * HEADER_BYTES);
  readonly #iovecs = Buffer.alloc(BATCH * IOVEC_BYTES);
  readonly #read: Uint32Array;
  #socket: { terminate(): void } | undefined;
  #closed = false;

  /**
   * Takes over the reading of a socket: whoever opened it closes it then. Undefined where that cannot be, and then whoever opened
   * it goes on reading.
   */
  static async open(fd: number, output: ReaderOutput): Promise<DatagramReader | undefined> {
    const own = libc?.fcntl(fd, F_DUPFD_CLOEXEC, 0) ?? -1;
    if (own < 0) return undefined;
    const reader = new DatagramReader(own, output);
    if (await reader.#watch()) return reader;
    closeSync(own);
    return undefined;
  }

  private constructor(fd: number, output: ReaderOutput) {
    this.#fd = fd;
    this.#output = output;
    const memory = Buffer.alloc(BATCH * DATAGRAM_BYTES_MAX);
    this.#slots = Array.from({ length: BATCH }, (_, slot) =>
      memory.subarray(slot * DATAGRAM_BYTES_MAX, (slot + 1) * DATAGRAM_BYTES_MAX),
    );
    this.#views = [...this.#slots];
    this.#read = new Uint32Array(this.#headers.buffer, this.#headers.byteOffset);
    for (const [slot, room] of this.#slots.entries()) {
      this.#iovecs.writeBigUInt64LE(BigInt(ptr(room)), slot * IOVEC_BYTES);
      this.#iovecs.writeBigUInt64LE(BigInt(room.length), slot * IOVEC_BYTES + 8);
      const header = slot * HEADER_BYTES;
      this.#headers.writeBigUInt64LE(BigInt(ptr(this.#iovecs) + slot * IOVEC_BYTES), header + IOVEC_AT);
      this.#headers.writeUInt32LE(1, header + IOVEC_COUNT_AT);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket?.terminate();
    closeSync(this.#fd);
  }

  /**
   * Has the runtime say when there is something to read. It takes an empty datagram for the end of the stream, so it gets a
   * descriptor of its own to close, and another one then.
   */
  async #watch(): Promise<boolean> {
    const fd = libc?.fcntl(this.#fd, F_DUPFD_CLOEXEC, 0) ?? -1;
    if (fd < 0) return false;
    const ended = () => {
      if (this.#socket === undefined) return;
      this.#socket = undefined;
      if (this.#closed) return;
      this.#output.datagram(EMPTY);
      this.#drain();
      void this.#watch().then((again) => {
        if (!again) this.#output.failed(new Error("the socket cannot be watched any more"));
      });
    };
    try {
      this.#socket = await Bun.connect({
        fd,
        socket: {
          data: (_: unknown, first: Buffer) => {
            this.#output.datagram(first);
            this.#drain();
          },
          close: ended,
          error: (_: unknown, error: Error) => this.#output.failed(error),
        },
      } as never);
    } catch {
      return false;
    }
    return true;
  }

  /** What is left for the next turn, the runtime tells again. */
  #drain(): void {
    for (let left = TURN_DATAGRAMS; left > 0 && !this.#closed; left -= BATCH) {
      const count = libc?.recvmmsg(this.#fd, this.#headers, BATCH, MSG_DONTWAIT, null) ?? -1;
      if (count < 0) return this.#noteFailure();
      for (let slot = 0; slot < count && !this.#closed; slot++) this.#output.datagram(this.#view(slot));
      if (count < BATCH) return;
    }
  }

  #view(slot: number): Buffer {
    const length = this.#read[(slot * HEADER_BYTES + READ_AT) / 4] as number;
    const view = this.#views[slot] as Buffer;
    if (view.length === length) return view;
    const other = (this.#slots[slot] as Buffer).subarray(0, length);
    this.#views[slot] = other;
    return other;
  }

  #noteFailure(): void {
    const error = libc === undefined ? "" : readErrno(libc);
    if (error !== "EAGAIN" && error !== "EINTR") this.#output.failed(new Error(error));
  }
}

const EMPTY = Buffer.alloc(0);
