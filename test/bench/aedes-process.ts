// aedes in a process of its own: as a broker, or as one that hands on what it takes.
import { fileURLToPath } from "node:url";
import { acceptsTcp } from "../support/ports.ts";
import { waitFor } from "../support/wait.ts";
import type { Broker } from "./broker.ts";

export async function startAedes(port: number, targetPort?: number, qos = 0): Promise<Broker> {
  const file = fileURLToPath(new URL("aedes.ts", import.meta.url));
  const target = targetPort === undefined ? [] : [String(targetPort), String(qos)];
  const child = Bun.spawn([process.execPath, file, String(port), ...target], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await waitFor("aedes", 10_000, () => acceptsTcp(port));
  return {
    port,
    pid: child.pid,
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
