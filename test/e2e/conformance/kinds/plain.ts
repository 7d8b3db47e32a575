// Brokers that keep to the MQTT specification: user, password and a certificate. They announce limits and mean them; one
// of the types speaks MQTT 3.1.1, where nothing is announced and the profile has to say what the broker takes.
import { PlainBrokerFake } from "../../../fakes/plain-broker.ts";
import { QUICK } from "../../azure-stage.ts";
import { type Kind, readMark, UNPACED, type Wishes } from "../kind.ts";

const PACKET_BYTES = 20_000;

type Variety = {
  readonly type: string;
  readonly version: "5" | "3.1.1";
  readonly profile: object;
  /** Of each connection. */
  readonly publishesPerSecond: number;
};

function plain({ type, version, profile: own, publishesPerSecond }: Variety): Kind {
  // Fixed header 4, topic 2 and its bytes, packet id 2, and in MQTT 5 no properties 1.
  const roomFor = (topic: string) => PACKET_BYTES - (version === "5" ? 9 : 8) - topic.length;
  const start = async ({ site, set, name, isPaced }: Wishes) => {
    const server = site.use(
      await PlainBrokerFake.start({
        certificate: set.server,
        clientCaFile: set.caFile,
        users: { plant: "secret" },
        limits: { packetBytes: PACKET_BYTES, keepAliveSeconds: 1, ...(isPaced && { publishesPerSecond }) },
      }),
    );
    site.workspace.write("targets.d/password", "secret\n", 0o600);
    const profile = {
      type,
      url: `mqtts://localhost:${server.mqttPort}`,
      client_id: name,
      mqtt_version: version,
      username: "plant",
      password_file: "password",
      tls: { ca_file: set.caFile, cert_file: "own.pem", key_file: "own.key" },
      ...QUICK,
      ...own,
      ...(isPaced ? {} : UNPACED),
    };
    const taken = () =>
      server.records.taken.map(({ topic, payload, fields }) => {
        const { userProperties = {} } = (fields.properties ?? {}) as { userProperties?: object };
        return { payload, ...readMark(topic, { ...userProperties }) };
      });
    return { server, profile, taken };
  };
  return {
    type,
    start,
    payloadBytesMax: PACKET_BYTES,
    edges: [
      { topic: "large", payload: new Uint8Array(roomFor("large")) },
      { topic: "twice", payload: "1", qos: 2, retain: true },
    ],
    beyond: [{ topic: "large", payload: new Uint8Array(roomFor("large") + 1), reason: "oversize" }],
  };
}

/** What MQTT 3.1.1 cannot announce. */
const OLD = { qos_max: 1, retain: "strip", inflight_max: 20, limits: { message_bytes_max: PACKET_BYTES } };

export const MQTT = plain({
  type: "mqtt",
  version: "5",
  profile: { messages_per_second: 90 },
  publishesPerSecond: 100,
});
export const HIVEMQ_CLOUD = plain({
  type: "hivemq-cloud",
  version: "5",
  profile: { messages_per_second: 90 },
  publishesPerSecond: 100,
});
export const EMQX_CLOUD = plain({
  type: "emqx-cloud",
  version: "3.1.1",
  profile: OLD,
  // As of its Serverless plan, which the profile knows.
  publishesPerSecond: 10,
});
