// Shows that each certificate is what its name says: TLS itself is the judge.
import { expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { connect, createServer, type TLSSocket } from "node:tls";
import { type CertificateFiles, createCertificateSet } from "../support/certificates.ts";
import { Workspace } from "../support/workspace.ts";

async function explainHandshake(server: CertificateFiles, caFile: string): Promise<string> {
  const listener = createServer({ cert: readFileSync(server.certFile), key: readFileSync(server.keyFile) });
  listener.on("secureConnection", (socket) => socket.on("error", () => {}));
  listener.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const outcome = await new Promise<string>((resolve) => {
    const socket: TLSSocket = connect(
      { port, host: "127.0.0.1", servername: "localhost", ca: readFileSync(caFile) },
      () => resolve("trusted"),
    );
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once("close", () => socket.destroy());
    listener.once("close", () => socket.destroy());
  });
  listener.close();
  return outcome;
}

test("createCertificateSet() makes certificates that TLS accepts or refuses for the reason in their name", async () => {
  using workspace = new Workspace();
  const set = await createCertificateSet(workspace.directory);
  expect(await explainHandshake(set.server, set.caFile)).toBe("trusted");
  expect(await explainHandshake(set.expiredServer, set.caFile)).toBe("CERT_HAS_EXPIRED");
  expect(await explainHandshake(set.futureServer, set.caFile)).toBe("CERT_NOT_YET_VALID");
  expect(await explainHandshake(set.otherNameServer, set.caFile)).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
  expect(await explainHandshake(set.selfSignedServer, set.caFile)).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
  expect(await explainHandshake(set.server, set.strangerCaFile)).not.toBe("trusted");
});

test("CertificateAuthority.issue() writes private keys for the owner's eyes alone", async () => {
  using workspace = new Workspace();
  const set = await createCertificateSet(workspace.directory);
  for (const { keyFile } of [set.server, set.client, set.selfSignedServer]) {
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    expect(readFileSync(keyFile, "utf8")).toStartWith("-----BEGIN PRIVATE KEY-----");
  }
});
