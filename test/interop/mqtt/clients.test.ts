// Publishers of four code bases at the listening source: Mosquitto's tools, MQTT.js, Eclipse Paho and HiveMQ's client, over TCP,
// TLS, WebSocket and secure WebSocket, in each version and QoS. All that they publish crosses once, in order.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { connectAsync, type IClientOptions } from "mqtt";
import { createCertificateSet } from "../../support/certificates.ts";
import { Collector } from "../../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../../support/ports.ts";
import { requireTools, toolPath } from "../../support/requirements.ts";
import { Site } from "../../support/site.ts";
import { type SendStatus, unaccounted } from "../../support/status.ts";

const COUNT = 25;
const PAHO = "/usr/lib/python3/dist-packages/paho";
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

type Way = "tcp" | "tls" | "ws" | "wss";

function run(command: string, args: readonly string[], cwd?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text) => {
        output += text;
      });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}: ${output.slice(-2000)}`)),
    );
  });
}

requireTools(["mosquitto", "mosquitto_pub", "/usr/bin/python3", PAHO, "javac", "mvn"])(
  "a listening source",
  () => {
    let site: Site;
    let far: Collector;
    let send: Awaited<ReturnType<Site["startBoth"]>>["send"];
    let caFile: string;
    let ports: Record<Way, number>;
    let jars: string;

    beforeAll(async () => {
      site = await Site.open();
      const certificates = await createCertificateSet(site.workspace.directory);
      caFile = certificates.caFile;
      const { certFile: cert_file, keyFile: key_file } = certificates.server;
      const business = await site.startBroker();
      ports = {
        tcp: await findFreeTcpPort(),
        tls: await findFreeTcpPort(),
        ws: await findFreeTcpPort(),
        wss: await findFreeTcpPort(),
      };
      const listener = Object.entries(ports).map(([way, port]) => ({
        address: `127.0.0.1:${port}`,
        transport: way.startsWith("ws") ? "websocket" : "tcp",
        ...(way.endsWith("s") && way !== "ws" ? { tls: { cert_file, key_file } } : {}),
      }));
      site.writeSend([{ name: "floor", type: "listen", anonymous: true, listener }]);
      site.writeRecv();
      site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
      far = site.use(await Collector.start({ door: business.port }));
      ({ send } = await site.startBoth());
      jars = site.workspace.path("jars");
      await run(toolPath("mvn"), [
        ...["-q", "-B", "-f", here("pom.xml"), "dependency:copy-dependencies"],
        `-DoutputDirectory=${jars}`,
      ]);
    }, 300_000);

    afterAll(() => site[Symbol.asyncDispose]());

    async function expectAll(topic: string): Promise<void> {
      await far.waitForCount(3 * COUNT, topic, () => send.tail());
      for (const qos of [0, 1, 2]) {
        const messages = far.below(`${topic}/${qos}`);
        expect(messages.map(({ payload }) => String(payload))).toEqual(
          Array.from({ length: COUNT }, (_, index) => String(index)),
        );
        expect(new Set(messages.map((message) => message.qos))).toEqual(new Set([qos]));
      }
      expect(far.below(`${topic}/will`)).toEqual([]);
    }

    const MOSQUITTO: [version: string, word: string, way: Way][] = [
      ["3.1", "mqttv31", "tcp"],
      ["3.1.1", "mqttv311", "tcp"],
      ["5", "mqttv5", "tcp"],
      ["3.1.1", "mqttv311", "tls"],
      ["5", "mqttv5", "tls"],
    ];

    test.each(MOSQUITTO)("takes what mosquitto_pub sends: MQTT %s (%s) over %s", async (_, word, way) => {
      const topic = `mosquitto-${word}-${way}`;
      for (const qos of [0, 1, 2]) {
        const lines = Array.from({ length: COUNT }, (_each, index) => `${index}\n`).join("");
        const file = site.workspace.write("lines", lines);
        const tls = way === "tls" ? `--cafile ${caFile}` : "";
        const line = `${toolPath("mosquitto_pub")} -h localhost -p ${ports[way]} ${tls} -V ${word} -q ${qos} -l -t ${topic}/${qos}`;
        await run("/bin/sh", ["-c", `${line} < ${file}`]);
      }
      await expectAll(topic);
    });

    const EACH: [version: string, way: Way][] = (["3.1.1", "5"] as const).flatMap((version) =>
      (["tcp", "tls", "ws", "wss"] as const).map((way): [string, Way] => [version, way]),
    );

    test.each([["3.1", "tcp"] as [string, Way], ...EACH])(
      "takes what MQTT.js sends: MQTT %s over %s",
      async (version, way) => {
        const topic = `mqttjs-${version}-${way}`;
        const scheme = { tcp: "mqtt", tls: "mqtts", ws: "ws", wss: "wss" }[way];
        const path = way.startsWith("ws") ? "/mqtt" : "";
        const options: IClientOptions = {
          protocolVersion: version === "5" ? 5 : version === "3.1" ? 3 : 4,
          ...(version === "3.1" ? { protocolId: "MQIsdp", clientId: "mqttjs-31" } : {}),
          ca: readFileSync(caFile),
          will: { topic: `${topic}/will`, payload: Buffer.from("gone"), qos: 1 as const },
        };
        const client = await connectAsync(`${scheme}://localhost:${ports[way]}${path}`, options);
        for (const qos of [0, 1, 2] as const)
          await Promise.all(
            Array.from({ length: COUNT }, (_, index) =>
              client.publishAsync(`${topic}/${qos}`, String(index), { qos }),
            ),
          );
        await client.endAsync();
        await expectAll(topic);
      },
    );

    test.each([["3.1", "tcp"] as [string, Way], ...EACH])(
      "takes what Eclipse Paho sends: MQTT %s over %s",
      async (version, way) => {
        const topic = `paho-${version}-${way}`;
        const transport = way.startsWith("ws") ? "websockets" : "tcp";
        const ca = way === "tls" || way === "wss" ? [caFile] : [];
        const args = ["localhost", String(ports[way]), version, transport, topic, String(COUNT), ...ca];
        await run("/usr/bin/python3", [here("paho-publisher.py"), ...args]);
        await expectAll(topic);
      },
    );

    test.each([
      ["3.1.1", "tcp"],
      ["5", "tcp"],
      ["3.1.1", "ws"],
      ["5", "ws"],
    ] as [string, Way][])("takes what HiveMQ's client sends: MQTT %s over %s", async (version, way) => {
      const topic = `hivemq-${version}-${way}`;
      const transport = way === "ws" ? "websockets" : "tcp";
      const args = ["localhost", String(ports[way]), version, transport, topic, String(COUNT)];
      await run(toolPath("java"), ["-cp", `${jars}/*`, here("HivemqPublisher.java"), ...args]);
      await expectAll(topic);
    });

    test("has an account that adds up, and nothing refused", async () => {
      const status = await send.readStatus<SendStatus & { sources: { listen?: { refused: object } }[] }>();
      expect(unaccounted(status.ledger)).toBe(0);
      expect(status.ledger.lost).toEqual({});
      expect(status.sources[0]?.listen?.refused).toEqual({});
    });
  },
);
