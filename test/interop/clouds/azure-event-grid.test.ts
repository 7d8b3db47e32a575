// The fake of Event Grid's MQTT broker driven by two clients that know nothing of it: MQTT.js and mosquitto_pub. (Microsoft
// has no client library of its own for it and points to such clients.)
import { afterAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import mqtt, { type IClientOptions, type IConnackPacket, type MqttClient } from "mqtt";
import { EventGridFake, type EventGridFakeOptions } from "../../fakes/azure-event-grid.ts";
import { createCertificateSet } from "../../support/certificates.ts";
import { requireTools, toolPath } from "../../support/requirements.ts";
import { Workspace } from "../../support/workspace.ts";

const workspace = new Workspace("grid-clients");
const certificates = await createCertificateSet(workspace.directory);
afterAll(() => workspace.remove());

const MESSAGE = {
  contentType: "application/json",
  userProperties: { unit: "°C", place: ["1", "2"] },
};

function start(options: Partial<EventGridFakeOptions> = {}): Promise<EventGridFake> {
  const { server, caFile } = certificates;
  return EventGridFake.start({ certificate: server, clientCaFile: caFile, clients: ["client"], ...options });
}

function connect(
  fake: EventGridFake,
  options: IClientOptions,
  scheme: "mqtts" | "wss" = "mqtts",
): MqttClient {
  const address = scheme === "mqtts" ? `localhost:${fake.mqttPort}` : `localhost:${fake.httpsPort}/mqtt`;
  const ca = readFileSync(certificates.caFile);
  const shared = { protocolVersion: 5, clientId: "session-1", reconnectPeriod: 0, ca } as const;
  return mqtt.connect(`${scheme}://${address}`, { ...shared, ...options });
}

function x509(): IClientOptions {
  const { certFile, keyFile } = certificates.client;
  return { username: "client", cert: readFileSync(certFile), key: readFileSync(keyFile) };
}

function withToken(token: string): IClientOptions {
  const properties = { authenticationMethod: "OAUTH2-JWT", authenticationData: Buffer.from(token) };
  return { properties, keepalive: 0 };
}

/** CONNACK's code; 0x100 when the connection ended without one. */
function connackOf(client: MqttClient): Promise<number> {
  return new Promise((resolve) => {
    client.on("connect", ({ reasonCode }: IConnackPacket) => resolve(reasonCode ?? 0));
    client.on("error", (error) => resolve("code" in error ? Number(error.code) : 0x100));
    client.on("close", () => resolve(0x100));
  });
}

/** The code of the server's DISCONNECT. */
function disconnectOf(client: MqttClient): Promise<number | undefined> {
  return new Promise((resolve) => client.on("disconnect", ({ reasonCode }) => resolve(reasonCode)));
}

test("MQTT.js connects to EventGridFake with X.509, over TLS and WebSocket, and its messages arrive whole", async () => {
  await using fake = await start();
  for (const scheme of ["mqtts", "wss"] as const) {
    const client = connect(fake, x509(), scheme);
    expect(await connackOf(client)).toBe(0);
    await client.publishAsync("plant/line1", "x".repeat(60_000), {
      qos: 1,
      retain: true,
      properties: MESSAGE,
    });
    await client.endAsync();
    fake.clock.advance(1000);
  }
  expect(fake.records.taken).toHaveLength(2);
  for (const { topic, payload, fields } of fake.records.taken) {
    expect([topic, payload.length]).toEqual(["plant/line1", 60_000]);
    expect(fields).toMatchObject({ qos: 1, retain: true, properties: MESSAGE });
  }
});

test("MQTT.js connects to EventGridFake with a token and without a certificate, until it expires", async () => {
  await using fake = await start();
  const client = connect(fake, withToken(fake.issueToken("app", 600)));
  expect(await connackOf(client)).toBe(0);
  await client.publishAsync("plant/line1", "hello", { qos: 1 });
  const ended = disconnectOf(client);
  fake.clock.advance(601_000);
  expect(await ended).toBe(0x87);
  await client.endAsync(true);
});

test("MQTT.js is told why EventGridFake does not let it in", async () => {
  await using fake = await start({ quotas: { connectsPerSecond: 1000 } });
  const tries: IClientOptions[] = [
    { ...x509(), properties: { userProperties: { a: "b" } } },
    { ...x509(), username: "other" },
    withToken(fake.issueToken("app", -10)),
    { properties: { authenticationMethod: "CUSTOM-JWT", authenticationData: Buffer.from("x") } },
  ];
  const codes: number[] = [];
  for (const options of tries) {
    const client = connect(fake, options);
    codes.push(await connackOf(client));
    await client.endAsync(true);
  }
  expect(codes).toEqual([0x82, 0x87, 0x87, 0x8c]);
});

requireTools(["mosquitto_pub"])("mosquitto_pub and EventGridFake", () => {
  /** How it ended: its status, and what it printed. */
  async function publish(fake: EventGridFake, ...args: string[]): Promise<string> {
    const { certFile, keyFile } = certificates.client;
    const address = ["-h", "localhost", "-p", String(fake.mqttPort), "--cafile", certificates.caFile];
    const identity = ["--cert", certFile, "--key", keyFile, "-u", "client", "-i", "session-1"];
    const child = spawn(toolPath("mosquitto_pub"), [...address, ...identity, ...args]);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (text: Buffer) => {
        said += text.toString();
      });
    }
    const status = await new Promise((resolve) => child.on("close", resolve));
    fake.clock.advance(1000);
    return `${status} ${said}`.trim();
  }

  test("it gets in with MQTT 5 and 3.1.1, and its message arrives whole", async () => {
    await using fake = await start();
    const five = ["-V", "5", "-D", "PUBLISH", "content-type", "application/json"];
    const unit = ["-D", "PUBLISH", "user-property", "unit", "°C"];
    expect(await publish(fake, ...five, ...unit, "-q", "1", "-t", "plant/line1", "-m", "20")).toBe("0");
    expect(await publish(fake, "-V", "mqttv311", "-q", "1", "-t", "plant/line1", "-m", "21")).toBe("0");
    expect(fake.records.taken.map(({ fields }) => fields)).toMatchObject([
      {
        topic: "plant/line1",
        payload: "20",
        qos: 1,
        properties: { contentType: "application/json", userProperties: { unit: "°C" } },
      },
      { topic: "plant/line1", payload: "21", qos: 1 },
    ]);
  });

  test("it is turned away with the code's own words", async () => {
    await using fake = await start({ mayPublish: ["plant/#"] });
    const five = ["-V", "5", "-q", "1", "-m", "x"];
    const connect = await publish(fake, ...five, "-t", "a", "-D", "CONNECT", "user-property", "a", "b");
    expect(connect).toMatch(/protocol error/i);
    expect(await publish(fake, ...five, "-t", "secret")).toMatch(/not authorized/i);
    expect(fake.records.count("connect")).toEqual({ "user properties on CONNECT": 1, accepted: 1 });
  });
});
