// The fake of AWS IoT Core driven by the AWS IoT Device SDK, so that the fake is no invention of ours: what the vendor's
// own client does must work there, and what the fake announces and answers must be understood.
import { afterAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import { presignWebSocketUrl } from "../../../agents/recv/targets/aws/sigv4.ts";
import { AwsIotFake, type AwsIotOptions } from "../../fakes/aws-iot.ts";
import { createCertificateSet } from "../../support/certificates.ts";
import { requireTools } from "../../support/requirements.ts";
import { Workspace } from "../../support/workspace.ts";
import { type AwsPlan, runAwsSdk } from "./aws-sdk.ts";

const workspace = new Workspace("aws-sdk");
const certificates = await createCertificateSet(workspace.directory);
afterAll(() => workspace.remove());

const KEYS = {
  accessKeyId: "AKIDEXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG",
  sessionToken: "tok+/=en",
};
const ACCOUNT = {
  region: "eu-central-1",
  keys: { AKIDEXAMPLE: { secret: KEYS.secretAccessKey, token: KEYS.sessionToken } },
};

function start(options: Partial<AwsIotOptions> = {}): Promise<AwsIotFake> {
  return AwsIotFake.start({
    certificate: certificates.server,
    clientCaFile: certificates.caFile,
    ...options,
  });
}

function x509(fake: AwsIotFake): AwsPlan {
  return {
    mode: "x509",
    host: "localhost",
    port: fake.mqttPort,
    caFile: certificates.caFile,
    certificate: certificates.client,
    clientId: "plant-7",
  };
}

requireTools(["node", "cloud sdks"])("AWS IoT Device SDK and AwsIotFake", () => {
  describe("X.509", () => {
    test("the SDK connects with ALPN on both ports, and understands what is announced", async () => {
      await using fake = await start();
      for (const [clientId, port] of [
        ["a", fake.mqttPort],
        ["b", fake.httpsPort],
      ] as const) {
        const report = await runAwsSdk({ ...x509(fake), clientId, port, keepAliveSeconds: 1300 });
        expect(report.events[0]).toMatchObject({
          name: "connectionSuccess",
          settings: {
            maximumQos: 1,
            receiveMaximumFromServer: 100,
            maximumPacketSizeToServer: 131_072,
            serverKeepAlive: 1200,
          },
        });
      }
      expect(
        fake.records.connects.map(({ peer, outcome }) => [peer.door, peer.alpn, peer.servername, outcome]),
      ).toEqual([
        ["mqtt", "x-amzn-mqtt-ca", "localhost", "accepted"],
        ["https", "x-amzn-mqtt-ca", "localhost", "accepted"],
      ]);
      expect(fake.records.count("close")).toEqual({ "client DISCONNECT": 2 });
    });

    test("the SDK's message arrives with all its properties", async () => {
      await using fake = await start();
      const message = {
        topic: "plant/line1",
        payload: '{"t":20}',
        contentType: "application/json",
        payloadFormat: 1,
        messageExpiryIntervalSeconds: 60,
        userProperties: [{ name: "unit", value: "°C" }],
      } as const;
      const report = await runAwsSdk({ ...x509(fake), publishes: [message] });
      expect(report.publishes).toEqual([{ reasonCode: 0 }]);
      expect(fake.records.taken.map(({ topic, fields }) => [topic, fields])).toEqual([
        [
          "plant/line1",
          {
            topic: "plant/line1",
            payload: '{"t":20}',
            qos: 1,
            retain: false,
            dup: false,
            properties: {
              payloadFormatIndicator: true,
              messageExpiryInterval: 60,
              contentType: "application/json",
              userProperties: { unit: "°C" },
            },
          },
        ],
      ]);
    });

    test("the SDK's 3.1.1 client connects and publishes", async () => {
      await using fake = await start();
      const report = await runAwsSdk({ ...x509(fake), mqtt: 4, publishes: [{ topic: "a", payload: "x" }] });
      expect(report.publishes).toEqual([{ reasonCode: 0 }]);
      const capture = fake.records.capture();
      expect(JSON.parse(JSON.stringify(capture))).toEqual(capture);
      expect(capture.map(({ command }) => command)).toEqual(["connect", "publish", "disconnect", "close"]);
      expect(fake.records.connects[0]?.fields).toMatchObject({ protocolVersion: 4, clean: true });
    });

    test("the SDK reports each refusal as what it is", async () => {
      await using fake = await start({
        policy: { connect: ["plant-*"] },
        quotas: { connectsPerSecond: 1000 },
      });
      const will = { topic: "a", payload: "gone" };
      const reports = [
        await runAwsSdk({ ...x509(fake), clientId: "other" }),
        await runAwsSdk({ ...x509(fake), will }),
        await runAwsSdk({ ...x509(fake), connect: { sessionExpiryIntervalSeconds: 60 } }),
        await runAwsSdk({ ...x509(fake), clientId: `plant-${"x".repeat(123)}` }),
      ];
      expect(reports.map(({ events }) => events[0]?.connack?.reasonCode)).toEqual([0x87, 0x87, 0x87, 0x85]);
    });

    test("the SDK paces itself so that the fake discards nothing", async () => {
      await using fake = await start();
      const report = await runAwsSdk({
        ...x509(fake),
        publishes: [{ topic: "a", payload: "x", times: 250 }],
      });
      expect(fake.records.count("publish")).toEqual({ taken: 250 });
      expect(report.publishes.filter(({ reasonCode }) => reasonCode === 0)).toHaveLength(250);
      // 100 at once and 150 at 100 a second: had the SDK sent faster, the fake would have shown it.
      expect(report.publishMs).toBeGreaterThan(1000);
    });

    const ENDS: [title: string, publish: AwsPlan["publishes"], code: number, reason: string][] = [
      ["9 levels", [{ topic: "a/b/c/d/e/f/g/h/i", payload: "x" }], 0x90, "topic too deep"],
      ["257 bytes of topic", [{ topic: "x".repeat(257), payload: "x" }], 0x90, "topic too long"],
      [
        "a retained message",
        [{ topic: "a", payload: "x", retain: true }],
        0x87,
        "FORBIDDEN_ACCESS: RetainPublish",
      ],
      ["a reserved topic", [{ topic: "$SYS/a", payload: "x" }], 0x90, "reserved topic"],
    ];
    for (const [title, publishes = [], code, reason] of ENDS) {
      test(`the SDK is disconnected over ${title}`, async () => {
        await using fake = await start();
        const report = await runAwsSdk({
          ...x509(fake),
          publishes: [{ topic: "a", payload: "y" }],
          awaitDisconnection: false,
        });
        expect(report.publishes).toEqual([{ reasonCode: 0 }]);
        fake.clock.advance(1000);
        const ended = await runAwsSdk({
          ...x509(fake),
          publishes: publishes.map((each) => ({ ...each, qos: 0 })),
          awaitDisconnection: true,
        });
        expect(ended.events.find(({ name }) => name === "disconnection")?.disconnect?.reasonCode).toBe(code);
        expect(fake.records.closes.at(-1)?.reason).toBe(reason);
      });
    }
  });

  describe("WebSocket", () => {
    const signed = (fake: AwsIotFake): AwsPlan => ({
      mode: "sigv4",
      host: "localhost",
      port: fake.httpsPort,
      caFile: certificates.caFile,
      clientId: "plant-7",
      region: ACCOUNT.region,
      keys: KEYS,
      publishes: [{ topic: "a", size: 70_000 }],
    });

    test("the SDK's signature opens it, and a wrong one does not", async () => {
      await using fake = await start({ account: ACCOUNT, quotas: { connectsPerSecond: 1000 } });
      expect((await runAwsSdk(signed(fake))).publishes).toEqual([{ reasonCode: 0 }]);
      expect(fake.records.taken[0]?.payload).toHaveLength(70_000);
      expect(fake.records.connects[0]?.peer).toMatchObject({ door: "https", upgrade: { path: "/mqtt" } });
      for (const keys of [
        { ...KEYS, secretAccessKey: "other" },
        { ...KEYS, sessionToken: "other" },
        { ...KEYS, accessKeyId: "OTHER" },
      ]) {
        const report = await runAwsSdk({ ...signed(fake), keys });
        expect(report.events[0]?.name).toBe("connectionFailure");
      }
      await runAwsSdk({ ...signed(fake), region: "us-east-1" });
      expect(fake.doors[1]?.upgradeFaults).toEqual([
        "wrong signature",
        "wrong token",
        "unknown key",
        "wrong region",
      ]);
    });

    test("presignWebSocketUrl() makes the query that the SDK makes, but for what the SDK signs besides", async () => {
      await using fake = await start({ account: ACCOUNT });
      await runAwsSdk(signed(fake));
      const query = new URLSearchParams(fake.records.connects[0]?.peer.upgrade?.query);
      const atMs = Date.parse(
        (query.get("X-Amz-Date") ?? "").replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5"),
      );
      const ours = new URL(
        presignWebSocketUrl({ host: "localhost", region: ACCOUNT.region, keys: KEYS, atMs }),
      ).searchParams;
      // The SDK signs the header "connection", too, so its signature is another one.
      expect(query.get("X-Amz-SignedHeaders")).toBe("connection;host");
      for (const params of [query, ours]) {
        params.delete("X-Amz-SignedHeaders");
        params.delete("X-Amz-Signature");
        params.sort();
      }
      expect(ours.toString()).toBe(query.toString());
    });
  });

  describe("custom authorizer", () => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const authorizers = {
      MyAuth: {
        tokenKeyName: "tok",
        publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
        allow: ({ user, password }: { user: string; password: string }) =>
          user === "bob" && password === "pw",
        disconnectAfterSeconds: 300,
      },
    };
    const authorizer = {
      authorizerName: "MyAuth",
      username: "bob",
      password: "pw",
      tokenKeyName: "tok",
      tokenValue: "v",
      tokenSignature: sign("sha256", Buffer.from("v"), privateKey).toString("base64"),
    };

    test("the SDK gets in by ALPN and over WebSocket, and not with another password", async () => {
      await using fake = await start({ authorizers });
      const plan = { host: "localhost", port: fake.httpsPort, caFile: certificates.caFile } as const;
      const codes: unknown[] = [];
      for (const [clientId, mode, password] of [
        ["a", "custom", "pw"],
        ["b", "websocket-custom", "pw"],
        ["c", "custom", "other"],
      ] as const) {
        // Over WebSocket the SDK leaves the encoding of the signature to its user.
        const tokenSignature =
          mode === "custom" ? authorizer.tokenSignature : encodeURIComponent(authorizer.tokenSignature);
        const report = await runAwsSdk({
          ...plan,
          clientId,
          mode,
          authorizer: { ...authorizer, password, tokenSignature },
        });
        codes.push(report.events[0]?.connack?.reasonCode);
      }
      expect(codes).toEqual([0, 0, 0x87]);
      expect(fake.records.connects.map(({ peer }) => [peer.alpn, peer.upgrade?.path])).toEqual([
        ["mqtt", undefined],
        [undefined, "/mqtt"],
        ["mqtt", undefined],
      ]);
    });
  });
});
