// One connection to a fake, with TLS and perhaps WebSocket taken off: bytes of MQTT, and who is at the other end.
import type { TLSSocket } from "node:tls";
import { WebSocketFrames, wrapBinary, wrapClose } from "./websocket.ts";

export type ClientCertificate = {
  readonly commonName: string;
  /** SHA-256 in hexadecimal with colons: what clouds call the thumbprint. */
  readonly fingerprint: string;
  /** Whether the authority that the fake knows has signed it, and its time has come and not passed. */
  readonly trusted: boolean;
};

/** The HTTP request that asked for a WebSocket. Header names are in lower case. */
export type UpgradeRequest = {
  readonly path: string;
  /** Without "?", as it was sent. */
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
};

export type Peer = {
  /** Which of the fake's ports it came to. */
  readonly door: string;
  readonly alpn: string | undefined;
  readonly servername: string | undefined;
  readonly tlsVersion: string;
  readonly certificate: ClientCertificate | undefined;
  readonly upgrade: UpgradeRequest | undefined;
};

export class Wire {
  onBytes: (bytes: Buffer) => void = () => {};
  onClose: () => void = () => {};
  #frames: WebSocketFrames | undefined;
  #closed = false;

  constructor(
    private readonly socket: TLSSocket,
    readonly peer: Peer,
  ) {
    if (peer.upgrade !== undefined) this.#frames = new WebSocketFrames();
    socket.on("close", () => {
      this.#closed = true;
      this.onClose();
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** What came in from the network. */
  receive(bytes: Buffer): void {
    if (this.#frames === undefined) return this.onBytes(bytes);
    for (const frame of this.#frames.push(bytes)) {
      if (frame.kind === "data") this.onBytes(frame.payload);
      else if (frame.kind === "ping") this.#send(frame.answer);
      else return this.close();
    }
  }

  write(bytes: Uint8Array): void {
    this.#send(this.#frames === undefined ? bytes : wrapBinary(bytes));
  }

  /** Says what is still to be said, then closes. */
  close(): void {
    if (this.#closed) return;
    if (this.#frames !== undefined) this.#send(wrapClose());
    this.socket.end();
    // A client that keeps its half open must not keep the fake waiting.
    setTimeout(() => this.socket.destroy(), 500).unref();
  }

  /** As when a cable is pulled: nothing more is said. */
  destroy(): void {
    this.socket.destroy();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  #send(bytes: Uint8Array): void {
    if (!this.#closed && this.socket.writable) this.socket.write(bytes);
  }
}
