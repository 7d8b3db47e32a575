// What the figures were measured on.
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";

export function describeMachine(): Record<string, string> {
  const [first] = cpus();
  const sysctl = (name: string) => readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "utf8").trim();
  return {
    cores: String(cpus().length),
    processor: first?.model ?? "unknown",
    memory: `${(totalmem() / 1e9).toFixed(0)} GB`,
    Linux: sysctl("kernel.osrelease"),
    "net.core.rmem_max": sysctl("net.core.rmem_max"),
  };
}
