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

/** Processor seconds that the whole machine has spent working, what its host took from it included. */
export function readMachineCpuSeconds(): number {
  const fields =
    readFileSync("/proc/stat", "utf8").split("\n")[0]?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

export type Costs = {
  readonly atSeconds: number;
  /** Processor seconds by process. */
  readonly cpu: Readonly<Record<string, number>>;
  readonly runner: number;
  readonly machine: number;
};

export function readCosts(pids: Readonly<Record<string, number>>): Costs {
  const { user, system } = process.cpuUsage();
  return {
    atSeconds: performance.now() / 1000,
    cpu: Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, readCpuSeconds(pid)])),
    runner: (user + system) / 1e6,
    machine: readMachineCpuSeconds(),
  };
}

/** Processor seconds by process between the two, and the share of the machine that others had, 0 to 1. */
export function subtractCosts(
  after: Costs,
  before: Costs,
): { readonly cpu: Readonly<Record<string, number>>; readonly foreignLoad: number } {
  const cpu = Object.fromEntries(
    Object.entries(after.cpu).map(([name, value]) => [name, value - (before.cpu[name] ?? 0)]),
  );
  const own = Object.values(cpu).reduce((sum, each) => sum + each, 0) + after.runner - before.runner;
  const capacity = (after.atSeconds - before.atSeconds) * navigator.hardwareConcurrency;
  return { cpu, foreignLoad: Math.max(0, (after.machine - before.machine - own) / capacity) };
}
