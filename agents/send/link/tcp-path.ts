// One TCP path: a connection to the diode's relay that is only ever written to. TCP itself needs the relay's acknowledgements, so
// this type is for diodes whose own host software ends the connection on this side; not one byte of payload can come back
// over it, see tcp-connect.ts. Refuses nothing for good: it connects again and again.
import { lookup } from "node:dns/promises";
import { closeSync } from "node:fs";
import { formatEndpoint } from "../../../shared/config/endpoint.ts";
import { askConnect, beginConnect } from "../../../shared/native/tcp-connect.ts";
import type { TcpSendPath } from "../path-config.ts";
import type { OpenStream } from "./stream-path.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const UNACKNOWLEDGED_MS = 10_000;
const ASK_MS = 5;
const ASK_MAX_MS = 100;
/** The kernel may hold what the path carries in this time: enough to keep it busy, little enough to lose little. */
const BUFFER_MS = 50;
const BUFFER_BYTES_MIN = 65_536;
const BUFFER_BYTES_MAX = 2_097_152;

/** `onDeaf` hears whether the kernel takes the payload out of what comes. */
export async function openTcpStream(
  path: TcpSendPath,
  signal: AbortSignal,
  onDeaf: (deaf: boolean) => void,
): Promise<OpenStream> {
  const { host, port } = path.endpoint;
  const fail = (why: string) => new Error(`cannot connect to ${formatEndpoint(path.endpoint)}: ${why}`);
  const { address } = await lookup(host).catch((error: NodeJS.ErrnoException) => {
    throw fail(error.code === "ENOTFOUND" ? "there is no such name" : error.message);
  });
  const wanted = ((path.rateMbitPerSecond * 1_000_000) / 8 / 1000) * BUFFER_MS;
  const begun = beginConnect({
    address,
    port,
    interface: path.interface,
    localAddress: path.localAddress,
    sendBufferBytes: Math.round(Math.min(BUFFER_BYTES_MAX, Math.max(BUFFER_BYTES_MIN, wanted))),
    unacknowledgedMs: UNACKNOWLEDGED_MS,
  });
  if (typeof begun === "string") throw fail(begun);
  const { fd, deaf } = begun;
  const deadline = performance.now() + CONNECT_TIMEOUT_MS;
  for (let waitMs = ASK_MS; ; waitMs = Math.min(ASK_MAX_MS, waitMs * 2)) {
    const answer = askConnect(fd);
    if (answer === "open") break;
    const why =
      answer !== "wait"
        ? answer.failed
        : signal.aborted || performance.now() > deadline
          ? "no answer"
          : undefined;
    if (why !== undefined) {
      closeSync(fd);
      throw fail(why);
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
  onDeaf(deaf);
  return { fd, close: () => closeSync(fd) };
}
