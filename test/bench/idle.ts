// Ten thousand idle connections at the listening source: the memory that each takes, and what a publisher beside them gets across.
import { readFileSync } from "node:fs";
import { waitFor } from "../support/wait.ts";
import { startListening } from "./listen.ts";
import { Worker } from "./worker.ts";

const CONNECTIONS = 10_000;
const MESSAGES = 200_000;

/** As many connections as this process may have at their other end. */
export async function measureIdle(note: (line: string) => void): Promise<void> {
  const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  const count = Math.min(CONNECTIONS, limit - 200);
  const server = await startListening("fsync");
  const worker = new Worker("press");
  const sockets: Bun.Socket<undefined>[] = [];
  const press = async () => {
    const wishes = { port: server.port, qos: 1, count: MESSAGES, name: "bench-press", payloadBytes: 100 };
    const { seconds } = await worker.ask<{ seconds: number }>({ command: "press", ...wishes });
    return MESSAGES / seconds;
  };
  try {
    await press();
    const alone = await press();
    const before = readMegabytes(server.pid);
    let welcomed = 0;
    for (let i = 0; i < count; i++) {
      const id = `idle${String(i).padStart(6, "0")}`;
      const connect = Buffer.concat([Buffer.from("101600044d5154540402ffff000a", "hex"), Buffer.from(id)]);
      sockets.push(
        await Bun.connect({
          hostname: "127.0.0.1",
          port: server.port,
          socket: { open: (socket) => void socket.write(connect), data: () => void welcomed++ },
        }),
      );
    }
    await waitFor(`${count} idle clients`, 60_000, () => welcomed === count);
    const kilobytes = ((readMegabytes(server.pid) - before) * 1000) / count;
    const beside = await press();
    const rates = `QoS 1 beside them ${beside.toFixed(0)} messages/s, without them ${alone.toFixed(0)}`;
    note(`${count} idle connections: ${kilobytes.toFixed(1)} kB each; ${rates}`);
  } finally {
    for (const socket of sockets) socket.terminate();
    await worker.stop();
    await server.stop();
  }
}

/** Resident, in MB (10^6). */
function readMegabytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return (Number(match?.[1]) * 1024) / 1e6;
}
