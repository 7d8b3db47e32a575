// A quiet Mosquitto for measuring: no log of packets, no limit that drops messages, and a bridge where one is wanted.
import { acceptsTcp, findFreeTcpPort } from "../support/ports.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

/** 0 (no limit) would announce a receive maximum of 0, which no MQTT 5 bridge accepts. */
const INFLIGHT_MAX = 1000;
const START_DEADLINE_MS = 5000;

export type Broker = { readonly port: number; readonly pid: number; stop(): Promise<void> };

/** `bridge`: forwards everything under bench/ to the broker on that port, at that QoS. */
export async function startBroker(
  bridge?: { readonly port: number; readonly qos: number; readonly caFile?: string | undefined },
  { persistence = false, noDelay = false, port: wantedPort = 0 } = {},
): Promise<Broker> {
  const workspace = new Workspace("bench-broker");
  const port = wantedPort || (await findFreeTcpPort());
  const lines = [
    "user root",
    "log_dest stderr",
    "log_type error",
    "connection_messages false",
    "sys_interval 0",
    ...(persistence
      ? ["persistence true", `persistence_location ${workspace.directory}/`, "autosave_interval 1"]
      : ["persistence false"]),
    "max_queued_messages 0",
    `max_inflight_messages ${INFLIGHT_MAX}`,
    `set_tcp_nodelay ${noDelay}`,
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
  ];
  if (bridge !== undefined) {
    lines.push(
      "connection bench",
      `address 127.0.0.1:${bridge.port}`,
      `topic bench/# out ${bridge.qos}`,
      "bridge_protocol_version mqttv311",
      "cleansession false",
      "notifications false",
      "restart_timeout 1",
      ...(bridge.caFile === undefined ? [] : [`bridge_cafile ${bridge.caFile}`]),
    );
  }
  const config = workspace.write("mosquitto.conf", `${lines.join("\n")}\n`);
  const child = Bun.spawn(["mosquitto", "-c", config], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` },
  });
  await waitFor("mosquitto", START_DEADLINE_MS, () => acceptsTcp(port));
  return {
    port,
    pid: child.pid,
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      workspace.remove();
    },
  };
}
