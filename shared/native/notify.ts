// Tells the service manager how the program is: sd_notify(3) without its library. One datagram a message, to the AF_UNIX socket that
// $NOTIFY_SOCKET names: a path, or "@name" in the abstract namespace. Nothing is read from it, and a write never waits.
import { closeSync } from "node:fs";
import { loadLibc, readErrno } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** sizeof(sun_path) [unix(7)]. */
const NAME_BYTES_MAX = 108;
/** The watchdog hears from us this often within its time. */
const BEATS_PER_WATCHDOG = 3;

export type Environment = Readonly<Record<string, string | undefined>>;

export type Supervisor = {
  /** The agent works: what waits for it may start, and from now on the watchdog is kept quiet. */
  ready(status: string): void;
  /** The agent is going to end, and may take as long as `graceMs` for it. The watchdog is kept quiet until close(). */
  stopping(graceMs: number): void;
  close(): void;
};

const NOBODY: Supervisor = { ready: () => {}, stopping: () => {}, close: () => {} };

/**
 * The service manager that has started this program, or one that hears nothing when there is none. `onFault` is told once, in words, why
 * the manager cannot be reached: it would otherwise end the program for its silence, and nobody would know why.
 */
export function openSupervisor(env: Environment, pid: number, onFault: (why: string) => void): Supervisor {
  const name = env.NOTIFY_SOCKET;
  if (name === undefined || name === "") return NOBODY;
  const socket = openSocket(name);
  if (typeof socket === "string") {
    onFault(`cannot tell the service manager at ${name}: ${socket}`);
    return NOBODY;
  }
  let timer: ReturnType<typeof setInterval> | undefined;
  let told = false;
  const say = (...lines: readonly string[]): void => {
    const why = socket.send(lines.join("\n"));
    // A full queue is the manager's own delay, and the next beat comes soon.
    if (why === undefined || why === "EAGAIN" || told) return;
    told = true;
    onFault(`cannot tell the service manager at ${name}: ${why}`);
  };
  const beatMs = readWatchdogMs(env, pid);
  return {
    ready: (status) => {
      say("READY=1", `STATUS=${oneLine(status)}`);
      if (beatMs !== undefined) timer ??= setInterval(() => say("WATCHDOG=1"), beatMs);
    },
    stopping: (graceMs) => {
      const microseconds = Math.ceil(graceMs) * 1000;
      say("STOPPING=1", `EXTEND_TIMEOUT_USEC=${microseconds}`, "STATUS=stopping");
    },
    close: () => {
      clearInterval(timer);
      socket.close();
    },
  };
}

/** How often to speak; undefined when there is no watchdog, or it watches another process [sd_watchdog_enabled(3)]. */
export function readWatchdogMs(env: Environment, pid: number): number | undefined {
  const { WATCHDOG_USEC, WATCHDOG_PID } = env;
  if (WATCHDOG_USEC === undefined || !/^[1-9]\d{0,15}$/.test(WATCHDOG_USEC)) return undefined;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== `${pid}`) return undefined;
  return Math.max(1, Math.floor(Number(WATCHDOG_USEC) / 1000 / BEATS_PER_WATCHDOG));
}

/** struct sockaddr_un; a reason for what names no such socket. An abstract name has no zero at its end, and starts with one. */
export function encodeUnixAddress(name: string): Uint8Array | string {
  if (!/^[/@]./s.test(name)) return "its name is neither an absolute path nor an abstract name";
  const bytes = Buffer.from(name.startsWith("@") ? `\0${name.slice(1)}` : `${name}\0`, "utf8");
  if (bytes.length > NAME_BYTES_MAX) return `its name is longer than ${NAME_BYTES_MAX} bytes`;
  const out = new Uint8Array(2 + bytes.length);
  new DataView(out.buffer).setUint16(0, AF_UNIX, true);
  out.set(bytes, 2);
  return out;
}

type Socket = { send(text: string): string | undefined; close(): void };

function openSocket(name: string): Socket | string {
  const address = encodeUnixAddress(name);
  if (typeof address === "string") return address;
  const libc = loadLibc();
  if (libc === undefined) return "this system's C library has another name than those that are known";
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return readErrno(libc);
  let open = true;
  return {
    send: (text) => {
      if (!open) return undefined;
      const bytes = Buffer.from(text, "utf8");
      const sent = libc.sendto(fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL, address, address.length);
      return sent < 0n ? readErrno(libc) : undefined;
    },
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}
