// Node-RED with two of its own MQTT nodes, one that subscribes and one that publishes: the relay that many plants have. It is installed
// from the registry the first time; where that cannot be, it is left out.
import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acceptsTcp, findFreeTcpPort } from "../support/ports.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

const VERSION = "4.1.8";
const INSTALL_MS = 300_000;
const START_DEADLINE_MS = 60_000;
/** Its nodes connect after its page is there. */
const SETTLE_MS = 2000;

export type NodeRed = { readonly pid: number; stop(): Promise<void> };

/** The program's file; undefined where it cannot be installed. */
export function installNodeRed(note: (line: string) => void): string | undefined {
  const directory = join(tmpdir(), `tidegate-bench-node-red-${VERSION}`);
  const program = join(directory, "node_modules/node-red/red.js");
  if (existsSync(program)) return program;
  mkdirSync(directory, { recursive: true });
  const command = ["npm", "install", "--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts"];
  const { exitCode, stderr } = Bun.spawnSync([...command, "--prefix", directory, `node-red@${VERSION}`], {
    timeout: INSTALL_MS,
  });
  if (exitCode === 0 && existsSync(program)) return program;
  note(`Node-RED is left out, it cannot be installed: ${stderr.toString().trim().split("\n")[0]}`);
  return undefined;
}

export async function startNodeRed(
  program: string,
  sourcePort: number,
  targetPort: number,
  qos: number,
): Promise<NodeRed> {
  const workspace = new Workspace("bench-node-red");
  const port = await findFreeTcpPort();
  const broker = (id: string, brokerPort: number) => {
    const session = { clientid: `node-red-${id}`, autoConnect: true, keepalive: "60", cleansession: true };
    return { id, type: "mqtt-broker", broker: "127.0.0.1", port: brokerPort, protocolVersion: 4, ...session };
  };
  const flows = [
    { id: "flow", type: "tab", label: "relay" },
    broker("plant", sourcePort),
    broker("business", targetPort),
    {
      id: "in",
      z: "flow",
      type: "mqtt in",
      broker: "plant",
      topic: "bench/#",
      qos: String(qos),
      datatype: "buffer",
      wires: [["out"]],
    },
    {
      id: "out",
      z: "flow",
      type: "mqtt out",
      broker: "business",
      topic: "",
      qos: String(qos),
      retain: "false",
      wires: [],
    },
  ];
  workspace.write("flows.json", JSON.stringify(flows));
  workspace.write(
    "settings.js",
    'module.exports = { flowFile: "flows.json", uiHost: "127.0.0.1", logging: { console: { level: "error" } } };\n',
  );
  const args = [
    "--userDir",
    workspace.directory,
    "--settings",
    workspace.path("settings.js"),
    "--port",
    String(port),
  ];
  const child = Bun.spawn(["node", program, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  await waitFor("Node-RED", START_DEADLINE_MS, () => acceptsTcp(port));
  await Bun.sleep(SETTLE_MS);
  return {
    pid: child.pid,
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      workspace.remove();
    },
  };
}
