// One listener: takes connections over TCP or TLS, with MQTT at once or inside a WebSocket, and gives their bytes to a
// client each. Certificates are judged here: one that is required and missing, not from our authorities or revoked ends the
// connection. An address that is in use is tried again; a changed revocation list makes the listener begin anew, and ends
// the connections whose certificate is on it.

import { statSync } from "node:fs";
import { formatEndpoint } from "../../../../shared/config/endpoint.ts";
import { REASON } from "../../../../shared/mqtt/reason-code.ts";
import { PromptAck } from "../../../../shared/native/prompt-ack.ts";
import { type ListenerConfig, type ListenerTls, readCrl } from "../../listen-config.ts";
import { Client } from "./client.ts";
import type { Hub } from "./hub.ts";
import type { ConnectionRefusal } from "./refusal.ts";
import { type CertificateName, Revocations, readCertificateName } from "./revocations.ts";
import { WebsocketSide } from "./websocket-side.ts";
import type { Wire } from "./wire.ts";

type Socket = Bun.Socket<Line | undefined>;

type Verdict = { readonly user: string | undefined; readonly certificate: CertificateName | undefined };

const RETRY_MS = 2000;
/** What the kernel does not take may grow to this, then the client is not read from. */
const UNSENT_BYTES_MAX = 65_536;
/** Finds hosts that are gone under clients that have no keep-alive. */
const TCP_KEEPALIVE_MS = 60_000;

const ARRIVAL: Partial<Record<ConnectionRefusal, string>> = {
  banned: "its address is shut out for now",
  "connections-max": "there are as many connections as connections_max allows",
  "connection-rate": "there are more new connections than connections_per_second_max allows",
};

export class Door {
  readonly address: string;
  readonly #hub: Hub;
  readonly #config: ListenerConfig;
  #listener: Bun.TCPSocketListener<Line | undefined> | undefined;
  #problem: string | undefined = "it has not begun to listen";
  #triedMs = Number.NEGATIVE_INFINITY;
  #crlStamp = "";
  #crlPem: string | undefined;
  #revocations: Revocations | undefined;
  readonly #lines = new Set<Line>();

  constructor(hub: Hub, config: ListenerConfig) {
    this.#hub = hub;
    this.#config = config;
    this.address = formatEndpoint(config.address);
  }

  get transport(): string {
    const { tls, websocketPath } = this.#config;
    if (websocketPath === undefined) return tls === undefined ? "tcp" : "tls";
    return tls === undefined ? "websocket" : "secure websocket";
  }

  /** Why it does not listen. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Begins to listen, or tries again, or takes up changed revocations. */
  tick(nowMs: number): void {
    if (nowMs - this.#triedMs < RETRY_MS) return;
    this.#triedMs = nowMs;
    const hasChanged = this.#readCrl();
    if (this.#problem === undefined && !hasChanged) return;
    this.#listener?.stop();
    this.#listener = undefined;
    this.#listen();
    for (const line of [...this.#lines]) if (this.isRevoked(line.certificate)) line.expel();
  }

  isRevoked(certificate: CertificateName | undefined): boolean {
    return certificate !== undefined && this.#revocations?.has(certificate) === true;
  }

  close(): void {
    this.#listener?.stop();
    this.#listener = undefined;
    this.#problem = "it has stopped";
  }

  #listen(): void {
    const { address, tls } = this.#config;
    const { log } = this.#hub.rim;
    const { name } = this.#hub.config;
    try {
      this.#listener = Bun.listen<Line | undefined>({
        hostname: address.host,
        port: address.port,
        socket: this.#handlers(),
        ...(tls === undefined ? {} : { tls: this.#tlsOptions(tls) }),
      });
      this.#problem = undefined;
      log.info(
        { source: name, address: this.address },
        `source ${name} listens on ${this.address}, ${this.transport}`,
      );
    } catch (error) {
      const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
      const why = `cannot listen on ${this.address}: ${error instanceof Error ? error.message : String(error)}${code}`;
      if (why !== this.#problem)
        log.error({ source: name, address: this.address }, `source ${name}: ${why}; it is tried again`);
      this.#problem = why;
    }
  }

  #tlsOptions(tls: ListenerTls): Bun.TLSOptions {
    const asks = tls.clientCertificate !== "none";
    return {
      cert: tls.certPem,
      key: tls.keyPem.reveal(),
      // Judged in #judge(), so that a refusal has a name.
      requestCert: asks,
      rejectUnauthorized: false,
      ...(tls.clientCaPem === undefined ? {} : { ca: tls.clientCaPem }),
      ...(this.#crlPem === undefined ? {} : { crl: this.#crlPem }),
    };
  }

  /** True when there are other revocations than before. */
  #readCrl(): boolean {
    const file = this.#config.tls?.crlFile;
    if (file === undefined) return false;
    const stat = statSync(file, { throwIfNoEntry: false });
    const stamp = stat === undefined ? "missing" : `${stat.mtimeMs} ${stat.size} ${stat.ino}`;
    if (stamp === this.#crlStamp) return false;
    const isFirst = this.#crlStamp === "";
    this.#crlStamp = stamp;
    const read = readCrl(file);
    if ("problem" in read) {
      this.#hub.noteFileRead(file, read.problem);
      return false;
    }
    if (!isFirst) this.#hub.noteFileRead(file, undefined);
    this.#crlPem = read.pem;
    this.#revocations = new Revocations(read.pem);
    return true;
  }

  #handlers(): Bun.SocketHandler<Line | undefined> {
    const isSecure = this.#config.tls !== undefined;
    return {
      open: (socket) => {
        const refusal = this.#hub.judgeArrival(socket.remoteAddress);
        if (refusal !== undefined || this.#hub.isPaused) {
          if (refusal !== undefined)
            this.#hub.refuse(refusal, socket.remoteAddress, ARRIVAL[refusal] ?? refusal);
          socket.terminate();
          return;
        }
        socket.setNoDelay(true);
        socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
        const line = new Line(this.#hub, socket, this);
        this.#lines.add(line);
        socket.data = line;
        if (!isSecure) line.begin(undefined, undefined);
      },
      handshake: (socket, _success, error) => {
        if (socket.data === undefined) return;
        const verdict = this.#judge(socket, error);
        if (typeof verdict === "object") socket.data.begin(verdict.user, verdict.certificate);
        else {
          this.#hub.refuse("tls", socket.remoteAddress, verdict);
          this.#hub.noteFailure(socket.remoteAddress);
          socket.terminate();
        }
      },
      data: (socket, chunk) => socket.data?.receive(chunk),
      drain: (socket) => socket.data?.drain(),
      close: (socket) => socket.data?.closed(),
      error: (socket) => socket.data?.closed(),
    };
  }

  /** The certificate and the user that it names, or why the connection must end. */
  #judge(socket: Socket, error: Error | null): Verdict | string {
    const { clientCertificate = "none", userFrom = "nothing" } = this.#config.tls ?? {};
    const nobody = { user: undefined, certificate: undefined };
    if (clientCertificate === "none") return nobody;
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined || certificate === null)
      return clientCertificate === "optional" ? nobody : "it has no certificate";
    if (error !== null || !socket.authorized)
      return `its certificate is not accepted: ${error?.message ?? "not authorized"}`;
    const name = this.#config.tls?.crlFile === undefined ? undefined : readCertificateName(certificate.raw);
    // The handshake may have begun under an older list.
    if (this.isRevoked(name)) return "its certificate is revoked";
    if (userFrom === "nothing") return { user: undefined, certificate: name };
    const { subject } = certificate;
    const user = userFrom === "subject" ? subject.replaceAll("\n", ",") : readCommonName(subject);
    return user === undefined || user === ""
      ? "its certificate has no common name"
      : { user, certificate: name };
  }

  get connections(): number {
    return this.#lines.size;
  }

  forget(line: Line): void {
    this.#lines.delete(line);
  }

  get config(): ListenerConfig {
    return this.#config;
  }
}

/** The last CN of a subject as node:crypto writes it, one attribute a line. */
function readCommonName(subject: string): string | undefined {
  return subject
    .split("\n")
    .findLast((line) => line.startsWith("CN="))
    ?.slice(3);
}

/** A socket and what is on it. */
class Line implements Wire {
  readonly address: string;
  readonly listener: string;
  certificateUser: string | undefined;
  certificate: CertificateName | undefined;
  readonly #hub: Hub;
  readonly #socket: Socket;
  readonly #door: Door;
  readonly #promptAck = new PromptAck();
  #client: Client | undefined;
  #websocket: WebsocketSide | undefined;
  /** What the kernel has not taken yet. */
  #unsent: Buffer | undefined;
  #hasBegun = false;
  #isEnding = false;
  #isClosed = false;

  constructor(hub: Hub, socket: Socket, door: Door) {
    this.#hub = hub;
    this.#socket = socket;
    this.#door = door;
    this.address = socket.remoteAddress;
    this.listener = door.address;
    // A client from the first byte on, so that its time to send CONNECT runs during the handshakes, too.
    this.#client = new Client(hub, this);
  }

  /** TLS stands, or there is none. */
  begin(user: string | undefined, certificate: CertificateName | undefined): void {
    this.certificateUser = user;
    this.certificate = certificate;
    this.#hasBegun = true;
    const { websocketPath } = this.#door.config;
    if (websocketPath === undefined) return;
    this.#websocket = new WebsocketSide(websocketPath, {
      onData: (bytes) => this.#client?.receive(bytes),
      onSend: (bytes) => this.#put(bytes),
      onEnd: (refusal) => {
        if (refusal !== undefined) this.#hub.refuse("websocket", this.address, refusal);
        this.#client?.lost();
        this.#finish();
      },
    });
  }

  receive(chunk: Buffer): void {
    // Nothing is taken from a client whose certificate has not been judged.
    if (this.#isEnding || !this.#hasBegun) return;
    if (this.#websocket === undefined) this.#client?.receive(chunk);
    else this.#websocket.receive(chunk);
    if (!this.#isClosed) this.#promptAck.send(this.#socket, chunk.length);
  }

  /** Its certificate has been revoked. */
  expel(): void {
    this.#client?.expel("revoked", REASON.notAuthorized, "its certificate has been revoked");
  }

  get isCongested(): boolean {
    return (this.#unsent?.length ?? 0) > UNSENT_BYTES_MAX;
  }

  write(bytes: Uint8Array): void {
    if (this.#websocket === undefined) this.#put(bytes);
    else this.#websocket.send(bytes);
  }

  rest(wanted: boolean): void {
    if (this.#isClosed) return;
    if (wanted) this.#socket.pause();
    else this.#socket.resume();
  }

  end(): void {
    this.#websocket?.sayGoodbye();
    this.#finish();
  }

  #finish(): void {
    this.#isEnding = true;
    // A socket that rests would never come to the other side's end of the connection.
    if (!this.#isClosed) this.#socket.resume();
    if (this.#unsent === undefined) this.#socket.end();
  }

  #put(bytes: Uint8Array): void {
    if (this.#isClosed || this.#isEnding) return;
    if (this.#unsent !== undefined) {
      this.#unsent = Buffer.concat([this.#unsent, bytes]);
      return;
    }
    const written = Math.max(0, this.#socket.write(bytes));
    if (written < bytes.length) this.#unsent = Buffer.from(bytes.subarray(written));
  }

  drain(): void {
    const unsent = this.#unsent;
    if (unsent === undefined) return;
    const written = Math.max(0, this.#socket.write(unsent));
    this.#unsent = written < unsent.length ? unsent.subarray(written) : undefined;
    if (this.#unsent !== undefined) return;
    if (this.#isEnding) this.#socket.end();
    else this.#client?.drained();
  }

  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#door.forget(this);
    this.#client?.lost();
    this.#client = undefined;
  }
}
