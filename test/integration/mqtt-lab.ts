// A real mosquitto with certificates of its own for one test file: each listener on a free loopback port, all
// files in a temporary directory, stopped by its process id. Refuses to guess: when mosquitto isn't installed,
// `mosquittoPath` is undefined, and the tests' title says why they skip.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import "reflect-metadata"; // @peculiar/x509 needs it loaded first.
import * as x509 from "@peculiar/x509";

export const mosquittoPath: string | undefined =
  Bun.which("mosquitto") ?? Bun.which("/usr/sbin/mosquitto") ?? undefined;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const KEY_USAGES: KeyUsage[] = ["sign", "verify"];
type KeyUsage = "sign" | "verify";

export type Issued = { readonly certificate: string; readonly key: string };
export type Authority = Issued & { readonly keys: CryptoKeyPair; readonly name: string };

export async function createAuthority(commonName: string): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, KEY_USAGES);
  const name = `CN=${commonName}`;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
  });
  return { certificate: certificate.toString("pem"), key: await exportKey(keys), keys, name };
}

/** A certificate for `dnsName`; `days` shifts its two-day validity, so -10 has expired and 10 is not yet valid. */
export async function issue(authority: Authority, dnsName: string, days = 0): Promise<Issued> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, KEY_USAGES);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: crypto.getRandomValues(new Uint8Array([1, 0, 0, 0])).toHex(),
    subject: `CN=${dnsName}`,
    issuer: authority.name,
    notBefore: new Date(Date.now() + (days - 1) * DAY_MS),
    notAfter: new Date(Date.now() + (days + 1) * DAY_MS),
    signingAlgorithm: ALGORITHM,
    signingKey: authority.keys.privateKey,
    publicKey: keys.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false),
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: dnsName }]),
    ],
  });
  return { certificate: certificate.toString("pem"), key: await exportKey(keys) };
}

async function exportKey(keys: CryptoKeyPair): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
}

export type ListenerOptions = {
  readonly websockets?: boolean;
  readonly server?: Issued;
  /** Clients must show a certificate of this authority. */
  readonly clientAuthority?: Issued;
  /** Only this user with this password may come in. */
  readonly login?: readonly [username: string, password: string];
  /** More lines of mosquitto.conf for this listener. */
  readonly lines?: readonly string[];
};
export type Mosquitto<Name extends string> = {
  readonly ports: Readonly<Record<Name, number>>;
  readonly directory: string;
  readonly stop: () => Promise<void>;
  /** Ends the broker as a crash would and starts it again on the same ports. */
  readonly restart: () => Promise<void>;
};

export async function startMosquitto<Name extends string>(
  listeners: Readonly<Record<Name, ListenerOptions>>,
  globalLines: readonly string[] = [],
): Promise<Mosquitto<Name>> {
  if (mosquittoPath === undefined) throw new Error("mosquitto is not installed");
  const path = mosquittoPath;
  const directory = mkdtempSync(join(tmpdir(), "tidegate-mqtt-"));
  chmodSync(directory, 0o755);
  const write = (name: string, text: string): string => {
    const file = join(directory, name);
    writeFileSync(file, text);
    return file;
  };
  const names = Object.keys(listeners) as Name[];
  const free = await findFreePorts(names.length);
  const ports = Object.fromEntries(names.map((name, i) => [name, free[i]])) as Record<Name, number>;
  const lines = ["per_listener_settings true", "user root", "set_tcp_nodelay true", ...globalLines];
  for (const name of names) {
    const options: ListenerOptions = listeners[name];
    lines.push(`listener ${ports[name]} 127.0.0.1`, `protocol ${options.websockets ? "websockets" : "mqtt"}`);
    if (options.server) {
      lines.push(`certfile ${write(`${name}.pem`, options.server.certificate)}`);
      lines.push(`keyfile ${write(`${name}.key`, options.server.key)}`);
    }
    if (options.clientAuthority) {
      lines.push(
        `cafile ${write(`${name}.ca.pem`, options.clientAuthority.certificate)}`,
        "require_certificate true",
      );
    }
    if (options.login) lines.push(`password_file ${await writePasswords(directory, name, options.login)}`);
    lines.push(`allow_anonymous ${options.login ? "false" : "true"}`, ...(options.lines ?? []));
  }
  const config = write("mosquitto.conf", `${lines.join("\n")}\n`);
  const start = async () => {
    const child = Bun.spawn([path, "-c", config], { stdout: "ignore", stderr: "pipe" });
    for (const name of names) await waitForPort(ports[name], () => child.exitCode);
    return child;
  };
  let child = await start();
  return {
    ports,
    directory,
    stop: async () => {
      child.kill();
      await child.exited;
      rmSync(directory, { recursive: true, force: true });
    },
    restart: async () => {
      child.kill(9);
      await child.exited;
      child = await start();
    },
  };
}

async function writePasswords(
  directory: string,
  name: string,
  login: readonly [string, string],
): Promise<string> {
  const file = join(directory, `${name}.passwords`);
  const made = Bun.spawn(["mosquitto_passwd", "-b", "-c", file, ...login], {
    stdout: "ignore",
    stderr: "ignore",
  });
  if ((await made.exited) !== 0) throw new Error("mosquitto_passwd failed");
  return file;
}

export async function findFreePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address !== null && typeof address === "object") ports.push(address.port);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}

async function waitForPort(port: number, exitCode: () => number | null): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
    if (exitCode() !== null) throw new Error(`mosquitto ended with status ${exitCode()}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => setTimeout(resolve, 10, false));
    });
    if (open) return;
  }
  throw new Error(`mosquitto did not open port ${port}`);
}
