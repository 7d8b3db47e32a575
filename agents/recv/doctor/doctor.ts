// `doctor`: tries all that the configuration names against the world. While the agent runs its paths are taken and its
// targets' client ids are in use, so then it is asked instead; only what can be looked at without disturbing it is tried.
import { fetchStatus } from "../../../shared/admin/client.ts";
import type { Finding } from "../../../shared/doctor/finding.ts";
import { checkClock, checkDirectory, checkDurability } from "../../../shared/doctor/host.ts";
import type { RecvConfig } from "../config.ts";
import type { RecvStatus } from "../status.ts";
import { judgeAddress, judgeInterfaces, listInterfaces } from "./interfaces.ts";
import { checkPaths } from "./paths.ts";
import { checkTarget } from "./targets.ts";

export async function* examine(config: RecvConfig): AsyncGenerator<Finding> {
  yield checkClock(Date.now());
  yield checkDirectory("spool", config.spool.directory, config.spool.bytesMax);
  yield* checkDurability("spool", config.spool.directory, config.spool.durability);
  yield checkDirectory("dead letters", config.deadLetters.directory, config.deadLetters.bytesMax);
  const { admin } = config;
  const asked = admin && (await fetchStatus(admin.address, admin.token?.reveal()));
  if (asked !== undefined && "status" in asked) {
    yield* examineRunning(asked.status as RecvStatus);
    yield* checkInterfaces(config);
    return;
  }
  yield* await checkPaths(config);
  yield* checkInterfaces(config);
  for (const profile of config.profiles) yield await checkTarget(profile, config.spool.directory);
}

function* checkInterfaces({ link }: RecvConfig): Generator<Finding> {
  for (const path of link.paths) {
    if (path.type !== "udp") continue;
    yield* judgeAddress(path);
    yield* judgeInterfaces(path, listInterfaces(path));
  }
}

function* examineRunning(status: RecvStatus): Generator<Finding> {
  yield {
    level: "fine",
    subject: "agent",
    sentence: "it is running: this is what it says of its paths and targets",
  };
  for (const { name, problem, silentSeconds } of status.link.paths) {
    const subject = `path ${name}`;
    if (problem !== null) yield { level: "fail", subject, sentence: problem };
    else if (silentSeconds === null)
      yield { level: "warn", subject, sentence: "nothing has come yet; look at the sender and the cabling" };
    else yield { level: "fine", subject, sentence: `something came ${silentSeconds.toFixed(1)} s ago` };
  }
  const { state, clockDifferenceMs } = status.link;
  const difference = clockDifferenceMs === null ? "" : `, the clocks differ by ${clockDifferenceMs} ms`;
  yield { level: state === "up" ? "fine" : "warn", subject: "link", sentence: `${state}${difference}` };
  for (const { name, state: targetState, problem } of status.targets) {
    const level = targetState === "connected" ? "fine" : "fail";
    yield { level, subject: `target ${name}`, sentence: problem ?? targetState };
  }
}
