// The MQTT broker of an Azure Event Grid namespace: a token in a file, or a certificate.
import { renameSync } from "node:fs";
import { EventGridFake } from "../../../fakes/azure-event-grid.ts";
import { waitFor } from "../../../support/wait.ts";
import { type Kind, levels, readMark, UNPACED, type Wishes } from "../kind.ts";

/** The agent takes no token that begins to be good over five minutes from now. */
const TOKEN_SECONDS = 240;
/** Fixed header 4, topic 2 and its bytes, packet id 2, no properties 1. */
const roomFor = (topic: string) => 524_288 - 9 - topic.length;
const user = (bytes: number) => ({ p: "v".repeat(bytes - 1) });

async function start({ site, set, name, login, isPaced }: Wishes) {
  const server = site.use(
    await EventGridFake.start({
      certificate: set.server,
      clientCaFile: set.caFile,
      clients: ["client"],
      // Bytes are not what these tests wait for.
      quotas: {
        connectsPerSecond: 1000,
        publishesPerSecond: isPaced ? 100 : 100_000,
        bytesPerSecond: 1_000_000_000,
      },
    }),
  );
  const file = `targets.d/${name}.jwt`;
  const issue = () => {
    site.workspace.write(`${file}.new`, `${server.issueToken("plant", TOKEN_SECONDS)}\n`, 0o600);
    renameSync(site.workspace.path(`${file}.new`), site.workspace.path(file));
  };
  const usual = {
    type: "azure-event-grid",
    endpoint: `localhost:${server.mqttPort}`,
    client_id: name,
    reconnect_min_ms: 1000,
    reconnect_max_ms: 1000,
    ...UNPACED,
    ...(isPaced && { messages_per_second: 90 }),
  };
  if (login === "token") issue();
  const profile =
    login === "token"
      ? { ...usual, auth: "jwt", jwt_file: `${name}.jwt`, tls: { ca_file: set.caFile } }
      : {
          ...usual,
          username: "client",
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
    /** Time passes for the service, so that it takes the old token no more. */
    expireToken: async () => {
      const refused = server.records.count("connect")["token expired"] ?? 0;
      server.expireCredentials();
      server.clock.advance(TOKEN_SECONDS * 1000);
      await waitFor(
        "the old token to be refused",
        20_000,
        () => (server.records.count("connect")["token expired"] ?? 0) > refused,
      );
      issue();
    },
  };
}

export const AZURE_EVENT_GRID: Kind = {
  type: "azure-event-grid",
  start,
  payloadBytesMax: 524_288,
  edges: [
    { topic: levels(15), payload: "1" },
    { topic: "x".repeat(256), payload: "1" },
    { topic: "large", payload: new Uint8Array(roomFor("large")) },
    { topic: "u", payload: "1", userProperties: user(32_768) },
    { topic: "twice", payload: "1", qos: 2, retain: true },
  ],
  beyond: [
    { topic: levels(16), payload: "1", reason: "invalid-topic" },
    { topic: "x".repeat(257), payload: "1", reason: "invalid-topic" },
    { topic: "ä".repeat(129), payload: "1", reason: "invalid-topic" },
    { topic: "large", payload: new Uint8Array(roomFor("large") + 1), reason: "oversize" },
    { topic: "u", payload: "1", userProperties: user(32_769), reason: "oversize" },
  ],
};
