// Azure IoT Hub: a token of the device's key, or a certificate.
import { IotHubFake } from "../../../fakes/azure-iot-hub.ts";
import { HUB, KEY, QUICK } from "../../azure-stage.ts";
import { type Kind, readMark, repeat, UNPACED, type Wishes } from "../kind.ts";

/** The hub counts the name and value of the application property beside the payload. */
const roomFor = (topic: string) => 262_144 - "topic".length - topic.length;

async function start({ site, set, name, login, isPaced }: Wishes) {
  const device = login === "token" ? name : "client";
  const server = site.use(
    await IotHubFake.start({
      certificate: set.server,
      clientCaFile: set.caFile,
      hub: HUB,
      devices: { [device]: login === "token" ? { keys: [KEY] } : { authority: true } },
      // What is over the throttle is discarded at once.
      quotas: { shapingSeconds: 0, ...(isPaced ? {} : { sendsPerSecond: 100_000 }) },
    }),
  );
  site.workspace.write("targets.d/device.key", KEY, 0o600);
  const tls = { ca_file: set.caFile };
  const profile = {
    type: "azure-iot-hub",
    // A name for each target: the agent refuses two that would throw each other out.
    hub: HUB,
    endpoint: `localhost:${server.mqttPort}`,
    device_id: device,
    event_time: false,
    ...QUICK,
    ...(isPaced ? {} : UNPACED),
    ...(login === "token"
      ? { auth: "sas-key", device_key_file: "device.key", tls }
      : { auth: "x509", tls: { ...tls, cert_file: "own.pem", key_file: "own.key" } }),
  };
  return {
    server,
    profile,
    taken: () =>
      server.telemetry.map(({ application, system, body }) => {
        const { topic = "", ...properties } = application;
        const seen = readMark(decodeURIComponent(topic), properties);
        // It has to say so in both.
        const encoding = system["$.ce"];
        return { payload: body, ...seen, mark: seen.mark === "gzip" ? encoding : seen.mark };
      }),
    expireToken: async () => server.expireCredentials(),
  };
}

export const AZURE_IOT_HUB: Kind = {
  type: "azure-iot-hub",
  start,
  payloadBytesMax: 262_144,
  edges: [
    { topic: "large", payload: new Uint8Array(roomFor("large")) },
    // Each "%" of a value is three characters of a property, and five of the topic that it travels in.
    { topic: "p", payload: "1", userProperties: { p: repeat("%", 13_090) } },
    { topic: "twice", payload: "1", qos: 2, retain: true },
  ],
  beyond: [
    { topic: "large", payload: new Uint8Array(roomFor("large") + 1), reason: "oversize" },
    { topic: "p", payload: "1", userProperties: { p: repeat("%", 13_110) }, reason: "oversize" },
  ],
};
