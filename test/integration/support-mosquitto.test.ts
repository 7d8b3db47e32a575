// Shows that the broker used by other tests does what they rely on.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connectAsync, type IClientOptions } from "mqtt";
import { createCertificateSet } from "../support/certificates.ts";
import { startMosquitto } from "../support/mosquitto.ts";
import { accepts } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Workspace } from "../support/workspace.ts";

const ONCE: IClientOptions = { reconnectPeriod: 0, connectTimeout: 5_000 };

async function canConnect(url: string, options: IClientOptions = {}): Promise<boolean> {
  try {
    const client = await connectAsync(url, { ...ONCE, ...options }, false);
    await client.endAsync(true);
    return true;
  } catch {
    return false;
  }
}

requireTools(["mosquitto", "mosquitto_passwd"])("startMosquitto()", () => {
  test("startMosquitto() accepts anyone on its plain listener, and nobody once stopped", async () => {
    await using broker = await startMosquitto();
    expect(await canConnect(`mqtt://127.0.0.1:${broker.port}`)).toBe(true);
    await broker.stop();
    expect(await accepts({ port: broker.port })).toBe(false);
  });

  test("startMosquitto() asks for a user's password where it has users", async () => {
    await using broker = await startMosquitto({ listeners: [{ users: { plant: "s3cret" } }, {}] });
    const url = `mqtt://127.0.0.1:${broker.port}`;
    expect(await canConnect(url, { username: "plant", password: "s3cret" })).toBe(true);
    expect(await canConnect(url, { username: "plant", password: "wrong" })).toBe(false);
    expect(await canConnect(url)).toBe(false);
    expect(await canConnect(`mqtt://127.0.0.1:${broker.ports[1]}`)).toBe(true);
  });

  test("startMosquitto() lets in the certificates of its authority only", async () => {
    using workspace = new Workspace();
    const set = await createCertificateSet(workspace.directory);
    const tls = { server: set.server, caFile: set.caFile, requireCertificate: true };
    await using broker = await startMosquitto({ listeners: [{ tls }] });
    const url = `mqtts://localhost:${broker.port}`;
    const ca = readFileSync(set.caFile);
    const holds = (files: { certFile: string; keyFile: string }): IClientOptions => ({
      ca,
      cert: readFileSync(files.certFile),
      key: readFileSync(files.keyFile),
    });
    expect(await canConnect(url, holds(set.client))).toBe(true);
    expect(await canConnect(url, { ca })).toBe(false);
    expect(await canConnect(url, holds(set.strangerClient))).toBe(false);
    expect(await canConnect(url, holds(set.expiredClient))).toBe(false);
    expect(await canConnect(url, { ...holds(set.client), ca: readFileSync(set.strangerCaFile) })).toBe(false);
  });

  test("startMosquitto() speaks MQTT over WebSocket where asked", async () => {
    await using broker = await startMosquitto({ listeners: [{ websockets: true }] });
    expect(await canConnect(`ws://127.0.0.1:${broker.port}`)).toBe(true);
  });

  test("Mosquitto.restart() keeps ports and persistent messages", async () => {
    await using broker = await startMosquitto({ persistence: true });
    const url = `mqtt://127.0.0.1:${broker.port}`;
    const before = await connectAsync(url, ONCE);
    await before.publishAsync("plant/kept", "here", { qos: 1, retain: true });
    await before.endAsync();
    await broker.restart();
    const after = await connectAsync(url, ONCE);
    const received = new Promise<string>((resolve) =>
      after.on("message", (_, payload) => resolve(String(payload))),
    );
    await after.subscribeAsync("plant/kept");
    expect(await received).toBe("here");
    await after.endAsync();
  });

  test("startMosquitto() reports a configuration that Mosquitto refuses", async () => {
    await expect(startMosquitto({ lines: ["no_such_option 1"] })).rejects.toThrow("no_such_option");
  });
});
