// What was measured, by name and version.
import type { Programs } from "./pair.ts";

export function readVersions(programs: Programs): Record<string, string> {
  const run = (command: readonly string[]) =>
    Bun.spawnSync([...command])
      .stdout.toString()
      .trim();
  const PATH = `${process.env.PATH}:/usr/sbin`;
  const mosquitto = Bun.spawnSync(["mosquitto", "-h"], { env: { ...process.env, PATH } }).stdout.toString();
  return {
    tidegate: run([...programs.send, "--version"]).replace(/^tidegate-send /, ""),
    Bun: Bun.version,
    Mosquitto: /version ([\d.]+)/.exec(mosquitto)?.[1] ?? "unknown",
  };
}
