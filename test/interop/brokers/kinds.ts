// The brokers: RabbitMQ with its MQTT plugin and NATS (both MQTT 3.1.1, QoS 0 and 1), Mosquitto, and HiveMQ Community Edition,
// which announces the limits that its configuration has.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { findTool } from "../../support/requirements.ts";
import type { BrokerKind } from "./broker.ts";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const LOOPBACK = "127.0.0.1";

export const RABBITMQ_BROKER: BrokerKind = {
  name: "rabbitmq",
  tools: [RABBITMQ, "epmd"],
  prepare(workspace, { mqtt, own, other }) {
    const lines = [
      `listeners.tcp.1 = ${LOOPBACK}:${own}`,
      `mqtt.listeners.tcp.1 = ${LOOPBACK}:${mqtt}`,
      "mqtt.allow_anonymous = false",
      "log.console = true",
      "log.file = false",
    ];
    workspace.write("rabbitmq.conf", `${lines.join("\n")}\n`);
    workspace.write("enabled_plugins", "[rabbitmq_mqtt].\n");
    return {
      command: [RABBITMQ],
      env: {
        HOME: workspace.directory,
        // Its name server is of this test, too.
        ERL_EPMD_ADDRESS: LOOPBACK,
        ERL_EPMD_PORT: String(other),
        RABBITMQ_NODENAME: `tidegate-${mqtt}@localhost`,
        RABBITMQ_CONFIG_FILE: workspace.path("rabbitmq"),
        RABBITMQ_ENABLED_PLUGINS_FILE: workspace.path("enabled_plugins"),
        RABBITMQ_MNESIA_BASE: workspace.path("mnesia"),
        RABBITMQ_LOG_BASE: workspace.path("log"),
        RABBITMQ_PID_FILE: workspace.path("pid"),
        RABBITMQ_SERVER_START_ARGS: `-kernel inet_dist_use_interface {127,0,0,1}`,
      },
    };
  },
  tidy: ({ other }) => {
    spawnSync(findTool("epmd") ?? "epmd", ["-port", String(other), "-kill"]);
  },
};

export const NATS_BROKER: BrokerKind = {
  name: "nats",
  tools: ["nats-server"],
  prepare(workspace, { mqtt, own }) {
    const file = workspace.write(
      "nats.conf",
      [
        `listen: "${LOOPBACK}:${own}"`,
        'server_name: "test"',
        `jetstream { store_dir: "${workspace.path("store")}" }`,
        `mqtt { listen: "${LOOPBACK}:${mqtt}" }`,
        'authorization { users: [ { user: "guest", password: "guest" } ] }',
        "",
      ].join("\n"),
    );
    return { command: [findTool("nats-server") ?? "nats-server", "-c", file] };
  },
};

/**
 * With its default window of 20 Mosquitto 2.0.11 delivers messages of QoS 1 and 2 out of order to a subscriber that has it full; the
 * same messages, sent to one with this window no more than 20 at a time, come in order (0 of 40,000 against 61 inversions).
 */
const MOSQUITTO_WINDOW = 1000;

export const MOSQUITTO_BROKER: BrokerKind = {
  name: "mosquitto",
  tools: ["mosquitto"],
  prepare(workspace, { mqtt }) {
    const file = workspace.write(
      "mosquitto.conf",
      [
        ...["user root", `listener ${mqtt} ${LOOPBACK}`, "allow_anonymous true"],
        ...["max_queued_messages 0", `max_inflight_messages ${MOSQUITTO_WINDOW}`, ""],
      ].join("\n"),
    );
    return { command: [findTool("mosquitto") ?? "mosquitto", "-c", file] };
  },
};

/** What HiveMQ is told to announce. */
export const HIVEMQ_LIMITS = { receiveMaximum: 10, packetBytes: 20_000, qosMax: 1 };

/** `jars` is where its libraries are. */
export function hivemqBroker(jars: string): BrokerKind {
  return {
    name: "hivemq",
    tools: ["javac", "mvn"],
    prepare(workspace, { mqtt }) {
      const { receiveMaximum, packetBytes, qosMax } = HIVEMQ_LIMITS;
      workspace.write(
        "conf/config.xml",
        `<?xml version="1.0"?><hivemq>
  <listeners><tcp-listener><port>${mqtt}</port><bind-address>${LOOPBACK}</bind-address></tcp-listener></listeners>
  <mqtt>
    <packets><max-packet-size>${packetBytes}</max-packet-size></packets>
    <receive-maximum><server-receive-maximum>${receiveMaximum}</server-receive-maximum></receive-maximum>
    <quality-of-service><max-qos>${qosMax}</max-qos></quality-of-service>
    <retained-messages><enabled>false</enabled></retained-messages>
  </mqtt>
  <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics>
</hivemq>\n`,
      );
      for (const folder of ["data", "extensions"]) workspace.write(`${folder}/.keep`, "");
      const java = findTool("java") ?? "java";
      return {
        command: [java, "-Xmx256m", "-cp", `${jars}/*`, here("HivemqBroker.java"), workspace.directory],
      };
    },
  };
}
