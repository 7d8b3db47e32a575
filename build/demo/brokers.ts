// The two brokers of the demonstration, in this process and on loopback only: a plain one in the plant, and
// one at headquarters that speaks TLS and lets in nobody without a certificate of its authority.
import { readFileSync } from "node:fs";
import { createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { Aedes } from "aedes";
import type { CertificateFiles } from "../../test/support/certificates.ts";

export type Broker = {
  readonly port: number;
  /** Resolves when someone has subscribed to this filter. */
  subscribed(filter: string): Promise<void>;
  stop(): Promise<void>;
};

export async function startPlantBroker(): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  return await listen(
    aedes,
    createPlainServer((socket) => aedes.handle(socket)),
  );
}

export async function startHeadquartersBroker(server: CertificateFiles, caFile: string): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const options = {
    cert: readFileSync(server.certFile),
    key: readFileSync(server.keyFile),
    ca: readFileSync(caFile),
    requestCert: true,
    rejectUnauthorized: true,
  };
  return await listen(
    aedes,
    createTlsServer(options, (socket) => aedes.handle(socket)),
  );
}

async function listen(aedes: Aedes, server: Server): Promise<Broker> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string")
    throw new Error("cannot start a broker: it has no port");
  const filters = new Set<string>();
  const waiting = new Map<string, () => void>();
  aedes.on("subscribe", (subscriptions) => {
    for (const { topic } of subscriptions) {
      filters.add(topic);
      waiting.get(topic)?.();
    }
  });
  return {
    port: address.port,
    subscribed: (filter) =>
      filters.has(filter) ? Promise.resolve() : new Promise((resolve) => waiting.set(filter, resolve)),
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => aedes.close(resolve));
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
