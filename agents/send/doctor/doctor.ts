// `doctor`: tries all that the configuration names against the world, and writes nothing to the link. While the agent runs its paths and ports are
// taken, so then it is asked instead; only what can be looked at without disturbing it is tried.
import { fetchStatus } from "../../../shared/admin/client.ts";
import type { Finding } from "../../../shared/doctor/finding.ts";
import { checkClock, checkDirectory, checkDurability } from "../../../shared/doctor/host.ts";
import type { SendConfig } from "../config.ts";
import type { SendStatus } from "../status.ts";
import { checkListen } from "./listen.ts";
import { checkPaths } from "./paths.ts";
import { checkOwnFiles, checkSubscribe } from "./subscribe.ts";

export async function* examine(config: SendConfig): AsyncGenerator<Finding> {
  const nowMs = Date.now();
  const { directory, bytesMax, durability } = config.journal;
  yield checkClock(nowMs);
  yield checkDirectory("journal", directory, bytesMax);
  yield* checkDurability("journal", directory, durability);
  const { admin } = config;
  const asked = admin && (await fetchStatus(admin.address, admin.token?.reveal()));
  const status = asked !== undefined && "status" in asked ? (asked.status as SendStatus) : undefined;
  if (status !== undefined) yield* examineRunning(status);
  yield* checkPaths(config, status !== undefined);
  for (const source of config.sources) {
    if (source.type === "listen") yield* await checkListen(source, status !== undefined, nowMs);
    else if (status !== undefined) yield* checkOwnFiles(source, nowMs);
    else yield* await checkSubscribe(source, nowMs);
  }
}

function* examineRunning({ problem, sources, link }: SendStatus): Generator<Finding> {
  const subject = "agent";
  if (problem !== null)
    yield { level: "fail", subject, sentence: `it runs, but takes nothing in: ${problem}` };
  else
    yield {
      level: "fine",
      subject,
      sentence: "it is running: this is what it says of its sources and paths",
    };
  for (const { name, state, problem: why } of sources)
    yield {
      level: state === "connected" ? "fine" : "fail",
      subject: `source ${name}`,
      sentence: why ?? state,
    };
  for (const { name, problem: why } of link.paths) {
    if (why !== null) yield { level: "fail", subject: `path ${name}`, sentence: why };
    else yield { level: "fine", subject: `path ${name}`, sentence: "takes what is written to it" };
  }
}
