// The target "azure-event-grid" against a fake that enforces what the broker of an Event Grid namespace enforces: both
// logins, tokens that change and end in mid-stream, bytes in flight, refusals. What all types have in common:
// test/e2e/conformance.
import { expect, test } from "bun:test";
import { copyFileSync, renameSync } from "node:fs";
import { EventGridFake, type EventGridFakeOptions } from "../fakes/azure-event-grid.ts";
import type { CertificateSet } from "../support/certificates.ts";
import type { Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { type TomlTable, toToml } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";
import { openPlant, settle, waitToSay } from "./azure-stage.ts";

type Stage = {
  readonly site: Site;
  readonly fake: EventGridFake;
  readonly set: CertificateSet;
  readonly near: Publisher;
};

async function openStage(site: Site, options: Partial<EventGridFakeOptions> = {}): Promise<Stage> {
  const { near, set } = await openPlant(site);
  const fake = site.use(
    await EventGridFake.start({
      certificate: set.server,
      clientCaFile: set.caFile,
      clients: ["client"],
      ...options,
    }),
  );
  return { site, fake, set, near };
}

function writeGrid(stage: Stage, name: string, over: TomlTable = {}): void {
  const { fake, set, site } = stage;
  const base = {
    type: "azure-event-grid",
    endpoint: `localhost:${fake.mqttPort}`,
    client_id: "plant-7",
    reconnect_max_ms: 2000,
  };
  const login =
    over.auth === "jwt"
      ? { tls: { ca_file: set.caFile } }
      : {
          username: "client",
          tls: { ca_file: set.caFile, cert_file: set.client.certFile, key_file: set.client.keyFile },
        };
  site.workspace.write(`targets.d/${name}.toml`, toToml({ ...base, ...login, ...over }));
}

function writeToken({ site }: Stage, token: string): void {
  site.workspace.write("targets.d/new.jwt", `${token}\n`, 0o600);
  renameSync(site.workspace.path("targets.d/new.jwt"), site.workspace.path("targets.d/token.jwt"));
}

const JWT = { auth: "jwt", jwt_file: "token.jwt" };

requireTools(["mosquitto"])("azure-event-grid", () => {
  test("logs in by certificate, by token and over a WebSocket, without user properties, and says all of a message", async () => {
    await using site = await Site.open();
    const stage = await openStage(site, { quotas: { sessionsPerName: 3 } });
    const { fake, near } = stage;
    writeToken(stage, fake.issueToken("plant", 3600));
    writeGrid(stage, "x509", { client_id: "a" });
    writeGrid(stage, "jwt", { client_id: "b", ...JWT });
    writeGrid(stage, "websocket", {
      client_id: "c",
      websocket: true,
      endpoint: `localhost:${fake.httpsPort}`,
    });
    const { recv } = await site.startBoth();
    const properties = {
      contentType: "application/json",
      payloadFormatIndicator: true,
      messageExpiryInterval: 600,
      userProperties: { unit: "°C" },
    };
    await near.publish("plant/x", '{"t":20}', { qos: 2, retain: true, properties });
    await settle(recv, 1);
    expect(fake.records.taken).toHaveLength(3);
    for (const { fields } of fake.records.taken)
      expect(fields).toEqual({
        topic: "plant/x",
        payload: '{"t":20}',
        qos: 1,
        retain: false,
        dup: false,
        properties: { ...properties, messageExpiryInterval: expect.any(Number) },
      });
    for (const { fields, outcome } of fake.records.connects) {
      expect(outcome).toBe("accepted");
      expect([fields.protocolVersion, fields.clean, fields.keepalive, fields.will]).toEqual([
        5,
        true,
        30,
        undefined,
      ]);
      expect(Object.keys(fields.properties ?? {})).not.toContain("userProperties");
    }
    const token = fake.records.connects.find(({ fields }) => fields.clientId === "b");
    expect(token?.fields).not.toHaveProperty("username");
    expect(token?.fields).not.toHaveProperty("password");
    const said = (token?.fields.properties ?? {}) as TomlTable;
    expect(said.authenticationMethod).toBe("OAUTH2-JWT");
    expect(recv.stderr).not.toContain(String(said.authenticationData));
  }, 60_000);

  test("has no more than 64 KB in flight, and a larger message goes alone", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { fake, near } = stage;
    writeGrid(stage, "grid", { bytes_per_second: 0, messages_per_second: 0 });
    fake.faults.acknowledgeAfterMs = 20;
    Object.assign(fake.rules.quotas, { bytesPerSecond: 100_000_000, publishesPerSecond: 100_000 });
    const { recv } = await site.startBoth();
    const payloads = Array.from({ length: 120 }, (_, n) => Buffer.alloc(n % 30 === 7 ? 200_000 : 9000, n));
    for (const payload of payloads) await near.publish("t", payload, { qos: 1 });
    const status = await settle(recv, payloads.length, 60_000);
    expect(status.targets[0]).toMatchObject({ connections: 1, ledger: { forwarded: payloads.length } });
    expect(fake.records.taken.map(({ payload }) => payload[0])).toEqual(payloads.map((each) => each[0]));
    expect(fake.records.count("close")).toEqual({});
  }, 90_000);

  test("hands over to a new token and a new certificate without losing, doubling or reordering a message", async () => {
    await using site = await Site.open();
    const stage = await openStage(site, { quotas: { sessionsPerName: 2 } });
    const { fake, near, set } = stage;
    writeToken(stage, fake.issueToken("plant", 3600));
    writeGrid(stage, "jwt", { client_id: "a", ...JWT });
    const own = (name: string) => site.workspace.path(`targets.d/${name}`);
    const put = (from: { certFile: string; keyFile: string }) => {
      copyFileSync(from.keyFile, own("own.key"));
      copyFileSync(from.certFile, own("own.pem"));
    };
    put(set.client);
    const tls = { ca_file: set.caFile, cert_file: "own.pem", key_file: "own.key" };
    writeGrid(stage, "x509", { client_id: "b", tls });
    const { recv } = await site.startBoth();
    let count = 0;
    const publish = async () => {
      for (let burst = 0; burst < 20; burst++) await near.publish("t", String(count++), { qos: 1 });
    };
    await publish();
    writeToken(stage, fake.issueToken("plant", 7200));
    put(await set.authority.issue("client", { usage: "client" }));
    await waitFor(
      "both have connected again",
      40_000,
      async () => {
        await publish();
        return fake.records.count("connect").accepted === 4;
      },
      () => recv.tail(),
    );
    const status = await settle(recv, count);
    for (const { ledger } of status.targets) expect(ledger).toMatchObject({ forwarded: count, lost: {} });
    const numbers = Array.from({ length: count }, (_, number) => number);
    for (const id of ["a", "b"]) {
      const connections = fake.records.connects
        .filter(({ fields }) => fields.clientId === id)
        .map(({ connection }) => connection);
      const taken = fake.records.taken.filter(({ connection }) => connections.includes(connection));
      expect(taken.map(({ payload }) => Number(payload.toString()))).toEqual(numbers);
    }
    expect(fake.records.count("close")).toEqual({ "client DISCONNECT": 2 });
  }, 90_000);

  test("says that its token has ended, keeps what comes, and goes on when there is another", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { fake, near } = stage;
    writeToken(stage, fake.issueToken("plant", 6));
    writeGrid(stage, "grid", JWT);
    const { recv } = await site.startBoth();
    await near.publish("t", "before", { qos: 1 });
    await settle(recv, 1);
    await waitToSay(recv, "token.jwt ends at");
    await waitToSay(recv, "token.jwt ended at");
    await near.publish("t", "after", { qos: 1 });
    writeToken(stage, fake.issueToken("plant", 3600));
    await settle(recv, 2);
    expect(fake.records.taken.map(({ payload }) => payload.toString())).toEqual(["before", "after"]);
  }, 60_000);

  test("makes a dead letter of what it may not publish, in the broker's own words, and goes on", async () => {
    await using site = await Site.open();
    const stage = await openStage(site, { mayPublish: ["plant/#"] });
    const { fake, near } = stage;
    writeGrid(stage, "grid");
    const { recv } = await site.startBoth();
    for (const topic of ["plant/a", "other/b", "plant/c"]) await near.publish(topic, "1", { qos: 1 });
    const status = await settle(recv, 3);
    expect(status.targets[0]).toMatchObject({
      connections: 1,
      ledger: { forwarded: 2, lost: { refused: 1 } },
    });
    expect(fake.records.taken.map(({ topic }) => topic)).toEqual(["plant/a", "plant/c"]);
  }, 60_000);

  test("names what is wrong, and connects once a second at most", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { fake } = stage;
    writeToken(stage, fake.issueToken("plant", 3600, "https://other.example/"));
    writeGrid(stage, "audience", { client_id: "a", ...JWT });
    writeGrid(stage, "name", { client_id: "b", username: "plant-8" });
    const recv = site.startRecv();
    await waitToSay(
      recv,
      "cannot connect target audience: the broker refuses our login (0x87); check the audience",
    );
    await waitToSay(recv, "cannot connect target name: the broker refuses our login (0x87); check username");
    await waitFor(
      "five attempts",
      30_000,
      () => fake.records.connects.length >= 8,
      () => recv.tail(),
    );
    for (const id of ["a", "b"]) {
      const times = fake.records.connects
        .filter(({ fields }) => fields.clientId === id)
        .map(({ atMs }) => atMs);
      for (const [at, time] of times.entries())
        if (at > 0) expect(time - (times[at - 1] ?? 0)).toBeGreaterThanOrEqual(990);
    }
    const status = await recv.readStatus<RecvStatus>();
    expect(status.targets.map(({ state }) => state)).toEqual(["down", "down"]);
  }, 60_000);
});
