// Whether each path of the link can be opened. A TCP path is connected and closed again, a device is opened and closed, a program is only
// looked for, and no path is written to.
import { accessSync, closeSync, constants, readdirSync, statSync } from "node:fs";
import type { Finding } from "../../../shared/doctor/finding.ts";
import { checkDirectory } from "../../../shared/doctor/host.ts";
import { COMMAND_ENVIRONMENT } from "../../../shared/native/command.ts";
import { openDevice } from "../../../shared/native/device.ts";
import type { SendConfig } from "../config.ts";
import { openTcpStream } from "../link/tcp-path.ts";
import {
  type DirectorySendPath,
  type PipeSendPath,
  type SendPath,
  showSendPath,
  type TcpSendPath,
} from "../path-config.ts";
import { checkUdpPath } from "./udp-path.ts";

/** `isRunning`: the agent has them open, so that only what disturbs nobody is tried. */
export async function* checkPaths({ link }: SendConfig, isRunning: boolean): AsyncGenerator<Finding> {
  for (const path of link.paths) {
    const subject = `path ${path.name}`;
    yield* judgeRate(subject, path, link.datagramBytes);
    if (path.type === "udp") yield* await checkUdpPath(path, link.datagramBytes);
    else if (path.type === "directory") yield* checkOutbox(subject, path);
    else if (!isRunning) yield await tryStream(subject, path);
  }
}

/** From here on only large datagrams keep up: their number is what costs (docs/speeds.md). */
const LARGE_DATAGRAMS_MBIT = 5000;
const LARGE_DATAGRAM_BYTES = 4000;
/** What is urgent waits for the datagram before it. */
const DATAGRAM_SECONDS_MAX = 0.5;

function* judgeRate(subject: string, path: SendPath, datagramBytes: number): Generator<Finding> {
  if (path.type === "directory") return;
  const rate = path.rateMbitPerSecond;
  const seconds = (datagramBytes * 8) / (rate * 1e6);
  if (seconds > DATAGRAM_SECONDS_MAX) {
    const sentence = `a datagram of ${datagramBytes} bytes takes ${seconds.toFixed(1)} s at this rate, and what is urgent waits for it; set datagram_bytes = 200`;
    yield { level: "warn", subject, sentence };
  }
  if (path.type === "udp" && rate >= LARGE_DATAGRAMS_MBIT && datagramBytes < LARGE_DATAGRAM_BYTES) {
    const sentence = `one processor core does not keep up with datagrams of ${datagramBytes} bytes at ${rate} Mbit/s; set datagram_bytes = 8900 where all of the way takes jumbo frames`;
    yield { level: "warn", subject, sentence };
  }
}

async function tryStream(subject: string, path: TcpSendPath | PipeSendPath): Promise<Finding> {
  try {
    return { level: "fine", subject, sentence: await openAndClose(path) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { level: "fail", subject, sentence: `${why}; ${NEXT[path.type]}` };
  }
}

const NEXT = {
  tcp: "start the diode's relay, and compare its address with endpoint",
  pipe: "mend that, or name another command or device",
} as const;

async function openAndClose(path: Exclude<SendPath, { type: "udp" | "directory" }>): Promise<string> {
  const shown = showSendPath(path);
  if (path.type === "tcp") {
    const stream = await openTcpStream(path, new AbortController().signal, (deaf) => {
      if (!deaf) throw new Error("the kernel filter against input could not be set");
    });
    stream.close();
    return `${shown} takes connections`;
  }
  const { end } = path;
  if (end.kind === "device") {
    closeSync(openDevice(end.device, "write", end.baud));
    return `${shown} can be written to`;
  }
  const found = Bun.which(shown, COMMAND_ENVIRONMENT);
  if (found === null) throw new Error(`there is no program ${shown} that this user may run`);
  return `${found} is there; it is started when the agent runs`;
}

/** Nothing makes the outbox but whoever empties it. */
function* checkOutbox(subject: string, path: DirectorySendPath): Generator<Finding> {
  const { directory, outboxBytesMax, outboxFilesMax } = path;
  const fail = (sentence: string): Finding => ({ level: "fail", subject, sentence });
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined)
    return yield fail(`there is no directory ${directory}; make it, or mount what it lies on`);
  const room = checkDirectory(subject, directory, outboxBytesMax);
  if (room.level === "fail") return yield room;
  try {
    accessSync(directory, constants.R_OK);
  } catch {
    return yield fail(
      `${directory} may not be listed by this user; give it to the user that the agent runs as`,
    );
  }
  yield room;
  const waiting = readdirSync(directory).filter((name) => !name.startsWith(".")).length;
  if (waiting < outboxFilesMax) return;
  yield fail(
    `${waiting} files wait in ${directory}, as many as outbox_files_max allows; start what moves them across`,
  );
}
