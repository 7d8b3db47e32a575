// What doctor looks at on any host: directories that must take files and have room, and the clock.
import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { BUILD_INFO } from "../build-info.ts";
import type { Finding } from "./finding.ts";

/** Whether the directory can be made or written to, and has room for all that the configuration allows it to hold. */
export function checkDirectory(subject: string, directory: string, bytesMax: number): Finding {
  const existing = nearestExisting(directory);
  if (!statSync(existing).isDirectory())
    return { level: "fail", subject, sentence: `${existing} is not a directory; name another one` };
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
  } catch {
    const sentence = `${existing} may not be written to by this user; give it to the user that the agent runs as`;
    return { level: "fail", subject, sentence };
  }
  const { bavail, bsize } = statfsSync(existing);
  const free = bavail * bsize;
  const room = `${showBytes(free)} free, may grow to ${showBytes(bytesMax)}`;
  if (free >= bytesMax) return { level: "fine", subject, sentence: `${directory}: ${room}` };
  const sentence = `${directory}: ${room}; make room or lower its bytes_max, or the disk fills up before the limit is reached`;
  return { level: "warn", subject, sentence };
}

/** File systems that a power cut empties, and those on other machines: statfs(2), f_type. */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);
const ELSEWHERE: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x01021997, "9P"],
  [0x00c36400, "Ceph"],
  [0x794c7630, "the layer of a container, which goes with it"],
]);

/** Whether what is written there outlives the host's power, when the configuration promises that it does. */
export function checkDurability(
  subject: string,
  directory: string,
  durability: "fsync" | "os" | "memory",
): Finding[] {
  const { type } = statfsSync(nearestExisting(directory));
  const elsewhere = ELSEWHERE.get(type >>> 0);
  if (elsewhere !== undefined) {
    const sentence = `${directory} is on ${elsewhere}; put it on a disk of this host`;
    return [{ level: "warn", subject, sentence }];
  }
  if (durability !== "fsync" || !IN_MEMORY.has(type >>> 0)) return [];
  const sentence = `${directory} is in memory: durability = "fsync" promises what a power cut takes away; put it on a disk`;
  return [{ level: "warn", subject, sentence }];
}

/** A clock from before this program was made is wrong: certificates and tokens will fail by it. */
export function checkClock(nowMs: number): Finding {
  const subject = "clock";
  const shown = new Date(nowMs).toISOString().slice(0, 16).replace("T", " ");
  const builtMs = Date.parse(BUILD_INFO.date);
  if (!Number.isNaN(builtMs) && nowMs < builtMs)
    return {
      level: "fail",
      subject,
      sentence: `it is ${shown} UTC here, before this program was built; set the clock, or certificates and tokens fail`,
    };
  return { level: "fine", subject, sentence: `${shown} UTC; compare it with a watch, nothing here can` };
}

function nearestExisting(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestExisting(dirname(path));
}

export function showBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
