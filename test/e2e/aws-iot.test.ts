// The target "aws-iot" against a fake that enforces what AWS IoT Core enforces, and that AWS's own SDK has driven: every
// login, the rate over several connections, Basic Ingest, what ends a connection there and why. What all types have in common:
// test/e2e/conformance.
import { expect, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import { AwsIotFake, type AwsIotOptions } from "../fakes/aws-iot.ts";
import { runAwsSdk } from "../interop/clouds/aws-sdk.ts";
import { type CertificateSet, createCertificateSet } from "../support/certificates.ts";
import { Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

const KEYS = { id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG", token: "tok+/=en" };
const ACCOUNT = { region: "eu-central-1", keys: { [KEYS.id]: { secret: KEYS.secret, token: KEYS.token } } };
/** The fake's clock stands still; reconnects within a test are not to be its "once a second". */
const QUOTAS = { connectsPerSecond: 1000 };

type Stage = {
  readonly site: Site;
  readonly fake: AwsIotFake;
  readonly set: CertificateSet;
  readonly near: Publisher;
};

async function openSite(site: Site, options: Partial<AwsIotOptions> = {}): Promise<Stage> {
  const set = await createCertificateSet(site.workspace.directory);
  const certificate = set.server;
  const fake = site.use(
    await AwsIotFake.start({ certificate, clientCaFile: set.caFile, quotas: QUOTAS, ...options }),
  );
  const plant = await site.startBroker();
  site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["#"] }]);
  site.writeRecv();
  const near = site.use(await Publisher.start({ door: plant.port }));
  return { site, fake, set, near };
}

function x509({ fake, set }: Stage, over: TomlTable = {}): TomlTable {
  const tls = { ca_file: set.caFile, cert_file: set.client.certFile, key_file: set.client.keyFile };
  return { endpoint: `localhost:${fake.mqttPort}`, ...QUICK, tls, ...over };
}

const QUICK = { type: "aws-iot", reconnect_min_ms: 1000, reconnect_max_ms: 1000 };

async function settle(site: Site, recv: Awaited<ReturnType<Site["startBoth"]>>["recv"], accepted: number) {
  const status = await recv.waitForStatus<RecvStatus>(
    "all handled",
    // What has come across counts at a target once it is in the spool.
    ({ targets }) => targets.every(({ ledger }) => ledger.accepted === accepted && ledger.held === 0),
  );
  for (const { ledger } of status.targets) expect(unaccounted(ledger)).toBe(0);
  expect(site).toBeDefined();
  return status;
}

requireTools(["mosquitto", "node", "cloud sdks"])("aws-iot", () => {
  test("says with X.509 what the SDK says, on both ports", async () => {
    await using site = await Site.open();
    const stage = await openSite(site);
    const { fake, set, near } = stage;
    site.writeTarget("mqtts", { ...x509(stage), client_id: "ours-8883" });
    site.writeTarget("https", {
      ...x509(stage, { endpoint: `localhost:${fake.httpsPort}` }),
      client_id: "ours-443",
    });
    const { recv } = await site.startBoth();
    await near.publish("plant/line1", '{"t":20}', {
      qos: 2,
      retain: true,
      properties: {
        contentType: "application/json",
        payloadFormatIndicator: true,
        messageExpiryInterval: 60,
        userProperties: { unit: "°C" },
      },
    });
    await settle(site, recv, 1);
    await runAwsSdk({
      mode: "x509",
      host: "localhost",
      port: fake.mqttPort,
      caFile: set.caFile,
      certificate: set.client,
      clientId: "theirs",
      keepAliveSeconds: 30,
      publishes: [
        {
          topic: "plant/line1",
          payload: '{"t":20}',
          contentType: "application/json",
          payloadFormat: 1,
          messageExpiryIntervalSeconds: 60,
          userProperties: [{ name: "unit", value: "°C" }],
        },
      ],
    });
    const theirs = fake.records.connects.find(({ fields }) => fields.clientId === "theirs");
    const theirPublish = fake.records.taken.find(({ connection }) => connection === theirs?.connection);
    for (const clientId of ["ours-8883", "ours-443"]) {
      const ours = fake.records.connects.find(({ fields }) => fields.clientId === clientId);
      expect(ours?.outcome).toBe("accepted");
      expect([ours?.peer.alpn, ours?.peer.servername]).toEqual([theirs?.peer.alpn, theirs?.peer.servername]);
      // The SDK adds a user name with its own version, and asks for topic aliases and the like.
      const wanted = Object.fromEntries(
        Object.entries(theirs?.fields ?? {}).filter(
          ([key]) => !["username", "properties", "clientId"].includes(key),
        ),
      );
      expect(Object.keys(wanted)).toContain("keepalive");
      expect(ours?.fields).toMatchObject(wanted);
      expect(ours?.fields).not.toHaveProperty("will");
      const publish = fake.records.taken.find(({ connection }) => connection === ours?.connection);
      expect({ ...publish?.fields }).toEqual({ ...theirPublish?.fields });
    }
  }, 60_000);

  test("logs in through a custom authorizer, and over a WebSocket signed with keys of a file and of the profile", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const token = "T/o+k=en";
    await using site = await Site.open();
    const stage = await openSite(site, {
      account: ACCOUNT,
      authorizers: {
        "My Auth": {
          tokenKeyName: "tok",
          publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
          allow: (asked) => asked.user === "bob" && asked.password === "pw" && asked.token === token,
          disconnectAfterSeconds: 300,
        },
      },
    });
    const { fake, set, near } = stage;
    const write = (name: string, text: string) => site.workspace.write(name, text, 0o600);
    const base = { endpoint: `localhost:${fake.httpsPort}`, ...QUICK, tls: { ca_file: set.caFile } };
    site.writeTarget("custom", {
      ...base,
      auth: "custom",
      custom_authorizer: {
        name: "My Auth",
        username: "bob",
        password_file: write("pw", "pw\n"),
        token_key: "tok",
        token_file: write("token", `${token}\n`),
        signature_file: write("signature", sign("sha256", Buffer.from(token), privateKey).toString("base64")),
      },
    });
    const region = ACCOUNT.region;
    site.writeTarget("static", {
      ...base,
      auth: "sigv4",
      sigv4: {
        region,
        source: "static",
        access_key_id: KEYS.id,
        secret_access_key_file: write("secret", KEYS.secret),
        session_token_file: write("session", KEYS.token),
      },
    });
    const credentials = `[other]\naws_access_key_id = x\naws_secret_access_key = y\n[plant]\naws_access_key_id = ${KEYS.id}\naws_secret_access_key = ${KEYS.secret}\naws_session_token = ${KEYS.token}\n`;
    site.writeTarget("file", {
      ...base,
      auth: "sigv4",
      sigv4: {
        region,
        source: "file",
        credentials_file: write("credentials", credentials),
        profile: "plant",
      },
    });
    site.writeTarget("environment", { ...base, auth: "sigv4", sigv4: { region } });
    const recv = site.startRecv({
      env: { AWS_ACCESS_KEY_ID: KEYS.id, AWS_SECRET_ACCESS_KEY: KEYS.secret, AWS_SESSION_TOKEN: KEYS.token },
    });
    await waitUntilReady(site.startSend());
    await recv.waitForStatus<RecvStatus>("all connected", ({ targets }) =>
      targets.every(({ state }) => state === "connected"),
    );
    await near.publish("plant/x", "1", { qos: 1 });
    await settle(site, recv, 1);
    expect(fake.records.taken.map(({ topic }) => topic)).toEqual(Array(4).fill("plant/x"));
    for (const secret of [KEYS.secret, KEYS.token, token, "Signature"])
      expect(recv.tail()).not.toContain(secret);
  }, 60_000);

  test("publishes by Basic Ingest under its rule, whose prefix does not count", async () => {
    await using site = await Site.open();
    const stage = await openSite(site);
    const { fake, near } = stage;
    site.writeTarget("aws", {
      ...x509(stage),
      client_id: "plant-7",
      basic_ingest_rule: "plant_rule",
      retain: "forward",
    });
    const { recv } = await site.startBoth();
    await near.publish("a/b/c/d/e/f/g/h", "1", { qos: 1, retain: true });
    await settle(site, recv, 1);
    expect(fake.records.taken.map(({ fields }) => [fields.topic, fields.retain])).toEqual([
      ["$aws/rules/plant_rule/a/b/c/d/e/f/g/h", false],
    ]);
  }, 60_000);

  test("publishes faster than one connection may, over several, and nothing is discarded or out of order", async () => {
    await using site = await Site.open();
    const stage = await openSite(site);
    const { fake, near } = stage;
    // The fake counts by its own clock: it has to run with the real one for rates.
    const timer = setInterval(() => fake.clock.advance(10), 10);
    site.writeTarget("aws", { ...x509(stage), client_id: "plant-7", connections: 3 });
    const { recv } = await site.startBoth();
    const count = 900;
    await near.publishAll(
      Array.from({ length: count }, (_, number) => ({
        topic: `plant/${number % 30}`,
        payload: String(number),
        options: { qos: 1 as const },
      })),
    );
    const status = await settle(site, recv, count);
    clearInterval(timer);
    expect(status.targets[0]).toMatchObject({ connections: 3, ledger: { forwarded: count, lost: {} } });
    expect(fake.records.count("publish")).toEqual({ taken: count });
    for (let topic = 0; topic < 30; topic++) {
      const taken = fake.records.taken.filter((each) => each.topic === `plant/${topic}`);
      const numbers = taken.map(({ payload }) => Number(payload.toString()));
      expect(numbers).toEqual(Array.from({ length: count / 30 }, (_, n) => n * 30 + topic));
    }
  }, 90_000);

  test("names what ends its connection: another client of its id, a certificate nobody knows, keys that are wrong", async () => {
    await using site = await Site.open();
    const stage = await openSite(site, { account: ACCOUNT });
    const { fake, set } = stage;
    site.writeTarget("taken", { ...x509(stage), client_id: "plant-7" });
    site.writeTarget("stranger", {
      ...x509(stage, {
        tls: {
          ca_file: set.caFile,
          cert_file: set.strangerClient.certFile,
          key_file: set.strangerClient.keyFile,
        },
      }),
      client_id: "stranger",
    });
    site.writeTarget("wrong-keys", {
      endpoint: `localhost:${fake.httpsPort}`,
      ...QUICK,
      auth: "sigv4",
      client_id: "wrong",
      tls: { ca_file: set.caFile },
      sigv4: { region: "us-east-1" },
    });
    site.writeTarget("no-file", {
      endpoint: `localhost:${fake.httpsPort}`,
      ...QUICK,
      auth: "sigv4",
      client_id: "nofile",
      tls: { ca_file: set.caFile },
      sigv4: { region: "eu-central-1", source: "file", credentials_file: "/nowhere/credentials" },
    });
    const recv = site.startRecv({ env: { AWS_ACCESS_KEY_ID: KEYS.id, AWS_SECRET_ACCESS_KEY: "other" } });
    await recv.waitForStatus<RecvStatus>(
      "one connected",
      ({ targets }) => targets.find(({ name }) => name === "taken")?.state === "connected",
    );
    void runAwsSdk({
      mode: "x509",
      host: "localhost",
      port: fake.mqttPort,
      caFile: set.caFile,
      certificate: set.client,
      clientId: "plant-7",
    });
    const says = (text: string) =>
      waitFor(
        text,
        30_000,
        () => recv.tail().includes(text),
        () => recv.tail(),
      );
    await says('another client connected with the client id \\"plant-7\\"');
    await says("cannot connect target wrong-keys: localhost");
    await says(
      "cannot connect target no-file: there are no AWS credentials: /nowhere/credentials has no profile",
    );
    await says("cannot connect target stranger:");
  }, 60_000);
});
