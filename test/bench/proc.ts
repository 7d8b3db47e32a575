// What the kernel knows of processes and of the machine: processor time and peak memory. Linux only.
import { readFileSync } from "node:fs";

/** Kernel ticks per second; 100 on every Linux that the agents run on [proc(5)]. */
const TICKS_PER_SECOND = 100;

/** Processor seconds, all threads, user and kernel. */
export function readCpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The program's name, in brackets, may contain spaces.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** The most memory that was ever resident, in MB (10^6). */
export function readPeakMegabytes(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return (Number(match?.[1] ?? 0) * 1024) / 1e6;
}

/** Processor seconds that the whole machine has spent working. */
export function readMachineCpuSeconds(): number {
  const fields =
    readFileSync("/proc/stat", "utf8").split("\n")[0]?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}
