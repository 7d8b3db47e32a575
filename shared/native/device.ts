// Serial devices and named pipes, opened in one direction and without ever waiting. A serial device is set to raw, and to its
// speed, by stty. Refuses what is neither: a regular file would fill the disk, a directory is no stream.
import { spawnSync } from "node:child_process";
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { isatty } from "node:tty";

const STTY_MS = 5000;

/** A file descriptor; throws an Error with a sentence for a person. */
export function openDevice(path: string, direction: "read" | "write", baud: number | undefined): number {
  const { O_RDONLY, O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const fail = (why: string) => new Error(`cannot open ${path}: ${why}`);
  let fd: number;
  try {
    fd = openSync(path, (direction === "read" ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY);
  } catch (error) {
    throw fail(ERRORS[(error as NodeJS.ErrnoException).code ?? ""] ?? String(error));
  }
  const stat = fstatSync(fd);
  const why =
    stat.isFIFO() || stat.isCharacterDevice()
      ? setLine(fd, path, direction, baud)
      : "it is neither a device nor a named pipe";
  if (why === undefined) return fd;
  closeSync(fd);
  throw fail(why);
}

/** Undefined when the line is as it should be, or is none. */
function setLine(
  fd: number,
  path: string,
  direction: "read" | "write",
  baud: number | undefined,
): string | undefined {
  if (!isatty(fd)) return baud === undefined ? undefined : "it is no serial device, and baud is given";
  const speed = baud === undefined ? [] : [`${baud}`];
  const why = runStty(path, [...speed, "raw", "-echo", "clocal", "-crtscts", "-ixon"]);
  // The side that only writes has its receiver switched off, where the driver can: what comes is dropped at once.
  if (why === undefined && direction === "write") runStty(path, ["-cread"]);
  return why;
}

function runStty(path: string, settings: readonly string[]): string | undefined {
  const run = spawnSync("stty", ["-F", path, ...settings], { encoding: "utf8", timeout: STTY_MS });
  if (run.error !== undefined) return `stty, which sets the line, cannot be run: ${run.error.message}`;
  return run.status === 0 ? undefined : `the line cannot be set: ${run.stderr.trim().slice(0, 200)}`;
}

const ERRORS: Record<string, string> = {
  ENOENT: "there is no such file",
  EACCES: "permission denied: a serial device belongs to a group such as dialout",
  ENXIO: "nobody reads the named pipe, or the device is gone",
  ENODEV: "the device is gone",
  EBUSY: "another program has it",
};
