// Size of the programs, and how long they take to say their version and to be ready.
import { statSync } from "node:fs";
import type { AgentName } from "../support/agents.ts";
import { startBroker } from "./broker.ts";
import { Pair, type Programs } from "./pair.ts";
import { type Spread, spreadOf } from "./statistic.ts";

export type StartResult = {
  readonly megabytes: number;
  readonly versionMs: Spread;
  readonly readyMs: Spread;
};

const AGENTS = ["send", "recv"] as const;

export async function measureStart(
  programs: Programs,
  rounds: number,
): Promise<Record<AgentName, StartResult>> {
  const version: Record<AgentName, number[]> = { send: [], recv: [] };
  const ready: Record<AgentName, number[]> = { send: [], recv: [] };
  for (let round = 0; round < rounds; round++) {
    for (const agent of AGENTS) version[agent].push(timeVersion(programs[agent]));
    const broker = await startBroker();
    const { port: sourcePort } = broker;
    const wishes = { programs, sourcePort, targetPort: sourcePort, qos: 0, durability: "fsync" } as const;
    const pair = await Pair.prepare(wishes);
    for (const agent of ["recv", "send"] as const) ready[agent].push(await pair.startOne(agent));
    await pair.kill();
    await broker.stop();
  }
  const result = (agent: AgentName) => ({
    megabytes: statSync(programs[agent][0] ?? "").size / 1e6,
    versionMs: spreadOf(version[agent]),
    readyMs: spreadOf(ready[agent]),
  });
  return { send: result("send"), recv: result("recv") };
}

function timeVersion(program: readonly string[]): number {
  const begin = performance.now();
  const run = Bun.spawnSync([...program, "--version"]);
  if (run.exitCode !== 0) throw new Error(`cannot read a version: ${program[0]} ended with ${run.exitCode}`);
  return performance.now() - begin;
}
