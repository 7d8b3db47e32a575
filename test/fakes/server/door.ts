// A port of a fake: TLS in front, MQTT or a WebSocket behind it. Like the clouds' port 443 it tells the two apart by the
// first bytes, when the test says that this door takes both.
import { readFileSync } from "node:fs";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { CertificateFiles } from "../../support/certificates.ts";
import { acceptUpgrade, asksForMqtt, readUpgrade, refuseUpgrade } from "./websocket.ts";
import { type ClientCertificate, type Peer, type UpgradeRequest, Wire } from "./wire.ts";

export type DoorOptions = {
  /** A word for the records. */
  readonly name: string;
  readonly certificate: CertificateFiles;
  /** Whose signature makes a client's certificate trusted; without it none is asked for. */
  readonly clientCaFile?: string | undefined;
  /** What is offered. A client that offers nothing gets in, one that offers only something else does not. */
  readonly alpn?: readonly string[];
  /** The path at which a WebSocket may be asked for. */
  readonly webSocketPath?: string;
  /** Whether MQTT without a WebSocket is spoken here. */
  readonly bare?: (peer: Peer) => boolean;
  readonly address?: string;
  readonly port?: number;
};

/** Why the request for a WebSocket is refused, if it is: what HTTP says, and what only the records say. */
export type UpgradeRefusal = { readonly status: number; readonly reason: string; readonly why: string };
export type UpgradeJudge = (peer: Peer, request: UpgradeRequest) => UpgradeRefusal | undefined;

export class Door implements AsyncDisposable {
  onWire: (wire: Wire) => void = () => {};
  /** Handshakes that failed, by OpenSSL's words. */
  readonly handshakeFaults: string[] = [];
  /** Requests for a WebSocket that were refused, and why. */
  readonly upgradeFaults: string[] = [];
  readonly #sockets = new Set<TLSSocket>();
  /** Set to refuse requests for a WebSocket. */
  judgeUpgrade: UpgradeJudge = () => undefined;
  /** While true, a client's TCP connection is closed at once. */
  shut = false;

  private constructor(
    private readonly server: Server,
    private readonly options: DoorOptions,
    readonly address: string,
    readonly port: number,
  ) {}

  static async open(options: DoorOptions): Promise<Door> {
    const { clientCaFile, alpn = [], address = "127.0.0.1" } = options;
    const server = createServer({
      ...readContext(options.certificate, clientCaFile),
      requestCert: clientCaFile !== undefined,
      rejectUnauthorized: false,
      ...(alpn.length > 0 ? { ALPNProtocols: [...alpn] } : {}),
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, address, resolve);
    });
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error("cannot open a door: it has no port");
    const door = new Door(server, options, address, bound.port);
    server.on("secureConnection", (socket: TLSSocket) => door.#greet(socket));
    server.on("tlsClientError", (error: Error) => door.handshakeFaults.push(error.message));
    return door;
  }

  /** From now on new connections see this certificate. */
  changeCertificate(certificate: CertificateFiles): void {
    this.server.setSecureContext(readContext(certificate, this.options.clientCaFile));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #greet(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    if (this.shut) return void socket.destroy();
    const peer = describePeer(this.options.name, socket);
    let held = Buffer.alloc(0);
    let wire: Wire | undefined;
    socket.on("data", (bytes: Buffer) => {
      if (wire !== undefined) return wire.receive(bytes);
      held = Buffer.concat([held, bytes]);
      const opened = this.#identify(socket, peer, held);
      if (opened === undefined) return;
      wire = opened.wire;
      this.onWire(wire);
      if (opened.rest.length > 0) wire.receive(opened.rest);
    });
  }

  /** Bare MQTT begins with CONNECT, 0x10; a WebSocket with "GET". Undefined: not yet, or refused. */
  #identify(socket: TLSSocket, peer: Peer, held: Buffer): { wire: Wire; rest: Buffer } | undefined {
    if (held[0] !== 0x47) {
      if (this.options.bare?.(peer) === false) return void socket.destroy();
      return { wire: new Wire(socket, peer), rest: held };
    }
    const head = readUpgrade(held);
    if (head === undefined) return undefined;
    if (head === "bad") return void socket.destroy();
    const { request, rest } = head;
    const refusal =
      request.path !== this.options.webSocketPath
        ? { status: 404, reason: "Not Found", why: `path ${request.path}` }
        : !asksForMqtt(request)
          ? { status: 400, reason: "Bad Request", why: "no WebSocket of MQTT" }
          : this.judgeUpgrade(peer, request);
    if (refusal !== undefined) {
      this.upgradeFaults.push(refusal.why);
      socket.end(refuseUpgrade(refusal.status, refusal.reason));
      return undefined;
    }
    socket.write(acceptUpgrade(request));
    return { wire: new Wire(socket, { ...peer, upgrade: request }), rest };
  }
}

function readContext({ certFile, keyFile }: CertificateFiles, caFile: string | undefined) {
  const context = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  return caFile === undefined ? context : { ...context, ca: readFileSync(caFile) };
}

function describePeer(door: string, socket: TLSSocket): Peer {
  const { servername } = socket as TLSSocket & { servername?: string | false };
  return {
    door,
    alpn: socket.alpnProtocol || undefined,
    servername: servername || undefined,
    tlsVersion: socket.getProtocol() ?? "",
    certificate: describeCertificate(socket),
    upgrade: undefined,
  };
}

function describeCertificate(socket: TLSSocket): ClientCertificate | undefined {
  // Without a certificate it is undefined in Bun and an empty object in Node.
  const certificate = socket.getPeerCertificate() as { subject?: { CN?: string }; fingerprint256?: string };
  if (certificate?.fingerprint256 === undefined) return undefined;
  return {
    commonName: certificate.subject?.CN ?? "",
    fingerprint: certificate.fingerprint256,
    trusted: socket.authorized,
  };
}
