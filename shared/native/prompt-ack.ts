// TCP acknowledgements without delay. Mosquitto, and whoever else leaves Nagle's algorithm on, sends the next small packet only
// when the last one is acknowledged [RFC 1122 4.2.3.4]; the kernel would wait for something of ours to send with it, which is the
// acknowledgement of MQTT, which waits for the disk [tcp(7), TCP_QUICKACK].
import { loadLibc } from "./libc.ts";

const IPPROTO_TCP = 6;
const TCP_QUICKACK = 12;
const ON = new Int32Array([1]);
/** Under load more comes at a time, and the kernel has enough to acknowledge by itself; each call has its price. */
const BYTES_MAX = 512;
const DISTANCE_MS = 0.9;

/** Of one connection. */
export class PromptAck {
  #lastMs = 0;

  /** To be called when so many bytes were read. Does nothing where the runtime or the kernel does not let it. */
  send(socket: object, bytes: number): void {
    if (bytes > BYTES_MAX) return;
    const nowMs = performance.now();
    if (nowMs - this.#lastMs < DISTANCE_MS) return;
    this.#lastMs = nowMs;
    const fd = readDescriptor(socket);
    if (fd === undefined || fd < 0) return;
    // The kernel forgets it with what is sent next: it is to be said each time.
    loadLibc()?.setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, ON, 4);
  }
}

/** The descriptor of a socket of either kind that the runtime has; undefined when it has none. */
export function readDescriptor(socket: object): number | undefined {
  const { fd, _handle } = socket as {
    readonly fd?: unknown;
    readonly _handle?: { readonly fd?: unknown } | null;
  };
  const found = fd ?? _handle?.fd;
  return typeof found === "number" ? found : undefined;
}
