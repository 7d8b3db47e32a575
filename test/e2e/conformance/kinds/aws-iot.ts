// AWS IoT Core: a custom authorizer, or a certificate.
import { AwsIotFake } from "../../../fakes/aws-iot.ts";
import { type Kind, levels, readMark, UNPACED, type Wishes } from "../kind.ts";

const TOKEN = "let-me-in";
/** Reconnects of a test are not to meet "once a second". */
const QUOTAS = { connectsPerSecond: 1000 };
const QUICK = { ...QUOTAS, publishesPerSecond: 100_000, bytesPerSecond: 1_000_000_000 };
/** Fixed header 4, topic 2 and its bytes, packet id 2, no properties 1. */
const roomFor = (topic: string) => 131_072 - 9 - topic.length;

async function start({ site, set, name, login, isPaced }: Wishes) {
  const server = site.use(
    await AwsIotFake.start({
      certificate: set.server,
      clientCaFile: set.caFile,
      quotas: isPaced ? QUOTAS : QUICK,
      authorizers: {
        gate: {
          tokenKeyName: "token",
          allow: ({ token }) => token === TOKEN,
          disconnectAfterSeconds: 3600,
        },
      },
    }),
  );
  const waits = { reconnect_min_ms: 1000, reconnect_max_ms: 1000 };
  const usual = { type: "aws-iot", client_id: name, ...waits, ...(isPaced ? {} : UNPACED) };
  site.workspace.write("targets.d/aws.token", TOKEN, 0o600);
  const profile =
    login === "token"
      ? {
          ...usual,
          endpoint: `localhost:${server.httpsPort}`,
          auth: "custom",
          custom_authorizer: { name: "gate", token_key: "token", token_file: "aws.token" },
          tls: { ca_file: set.caFile },
        }
      : {
          ...usual,
          endpoint: `localhost:${server.mqttPort}`,
          tls: { ca_file: set.caFile, cert_file: "own.pem", key_file: "own.key" },
        };
  return {
    server,
    profile,
    taken: () =>
      server.records.taken.map(({ topic, payload, fields }) => {
        const { userProperties = {} } = (fields.properties ?? {}) as { userProperties?: object };
        return { payload, ...readMark(topic, { ...userProperties }) };
      }),
    expireToken: async () => server.expireCredentials(),
  };
}

export const AWS_IOT: Kind = {
  type: "aws-iot",
  start,
  payloadBytesMax: 131_072,
  edges: [
    { topic: levels(8), payload: "1" },
    { topic: `t${"x".repeat(255)}`, payload: "1" },
    { topic: "ä".repeat(128), payload: "1" },
    { topic: "large", payload: new Uint8Array(roomFor("large")) },
    { topic: "twice", payload: "1", qos: 2, retain: true },
  ],
  beyond: [
    { topic: levels(9), payload: "1", reason: "invalid-topic" },
    { topic: `t${"x".repeat(256)}`, payload: "1", reason: "invalid-topic" },
    { topic: `${"ä".repeat(128)}x`, payload: "1", reason: "invalid-topic" },
    { topic: "large", payload: new Uint8Array(roomFor("large") + 1), reason: "oversize" },
  ],
};
