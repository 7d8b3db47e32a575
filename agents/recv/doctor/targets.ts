// Whether each target can be reached: name, proxy, port, TLS, login, and where the profile has a probe, one message that
// is acknowledged. What fails is one sentence with the next step.
import type { Finding } from "../../../shared/doctor/finding.ts";
import { createSilentLog } from "../../../shared/log.ts";
import type { Message } from "../../../shared/message.ts";
import type { TargetProfile } from "../profile.ts";
import { startBrokerTarget } from "../targets/broker-target.ts";
import { startTarget } from "../targets/start.ts";
import type { Target } from "../targets/target.ts";

const TICK_MS = 20;
const PROBE_MS = 15_000;
/** A provider may have to fetch a login first. */
const LOGIN_TRIES = 3;
const DAY_MS = 86_400_000;
const WARN_DAYS = 30;

/** `directory` is the spool's: an assignment by a provisioning service is kept there. */
export async function checkTarget(profile: TargetProfile, directory: string): Promise<Finding> {
  const subject = `target ${profile.name}`;
  const rim = {
    log: createSilentLog(),
    clock: Date.now,
    steady: () => performance.now(),
    random: Math.random,
    directory,
    durability: "memory" as const,
    clockDifferenceMs: () => undefined,
    senderNowMs: () => undefined,
    lostBefore: () => 0,
    newestContentId: () => 0,
    linkState: () => "waiting",
    describe: () => ({}),
  };
  // No edge node is born or dies for a trial: only the way to the broker is tried.
  const target =
    profile.type === "sparkplug"
      ? startBrokerTarget({ ...profile, status: undefined }, rim)
      : startTarget({ ...profile, status: undefined, connectionsMax: 1 }, rim);
  const timer = setInterval(() => target.tick?.(performance.now()), TICK_MS);
  try {
    const problem = await waitForConnection(target, profile.connectTimeoutSeconds * 1000);
    if (problem !== undefined) return { level: "fail", subject, sentence: problem };
    const refusal = profile.probe && (await publishProbe(target, profile.probe));
    if (refusal !== undefined) return { level: "fail", subject, sentence: refusal };
    return judge(subject, profile, target);
  } finally {
    clearInterval(timer);
    await target.close(1000);
  }
}

function judge(subject: string, profile: TargetProfile, target: Target): Finding {
  const reached = `${target.address} has taken us as ${JSON.stringify(profile.clientId)}`;
  const probed = profile.probe
    ? `, and a probe on ${JSON.stringify(profile.probe.topic)}`
    : "; nothing was published, [probe] topic in the profile would try that, too";
  const days =
    target.certificateEndMs === undefined ? undefined : (target.certificateEndMs - Date.now()) / DAY_MS;
  if (days === undefined || days > WARN_DAYS) return { level: "fine", subject, sentence: reached + probed };
  const sentence = `${reached}${probed}; our certificate ends in ${Math.floor(days)} days, have it renewed`;
  return { level: "warn", subject, sentence };
}

/** What is wrong, or undefined once it is connected. */
async function waitForConnection(target: Target, timeoutMs: number): Promise<string | undefined> {
  const endMs = performance.now() + timeoutMs * 2 + 1000;
  let tries = 0;
  let last: string | undefined;
  while (performance.now() < endMs) {
    if (target.state === "connected") return undefined;
    if (target.state === "down" && target.problem !== last) {
      last = target.problem;
      tries++;
    }
    if (last !== undefined && (tries === LOGIN_TRIES || !/credentials|fetched/.test(last))) return last;
    await Bun.sleep(TICK_MS);
  }
  return last ?? `${target.address} has not answered; look at its log`;
}

async function publishProbe(
  target: Target,
  { topic, qos }: NonNullable<TargetProfile["probe"]>,
): Promise<string | undefined> {
  const payload = Buffer.from(
    JSON.stringify({ probe: "tidegate-recv doctor", time: new Date().toISOString() }),
  );
  const message: Message = {
    topic,
    payload,
    qos,
    retain: false,
    properties: undefined,
    acceptedMs: Date.now(),
  };
  const judgement = target.judge(message, 0);
  if ("outcome" in judgement)
    return `the profile's own rules keep the probe back: ${judgement.detail ?? judgement.outcome}`;
  const settled = new Promise<string | undefined>((resolve) => {
    target.publish(judgement.publish, (outcome, detail) =>
      resolve(outcome === "forwarded" ? undefined : `the broker refuses the probe: ${detail ?? outcome}`),
    );
  });
  const lost = async () => {
    const endMs = performance.now() + PROBE_MS;
    while (performance.now() < endMs && target.state === "connected") await Bun.sleep(TICK_MS);
    if (target.state !== "connected")
      return `the broker ends the connection when the probe comes; have it allow publishing to ${JSON.stringify(judgement.publish.topic)} (tidegate-recv policy says what it needs): ${target.problem}`;
    return "the probe is not acknowledged; the broker may throttle us, or drop what it does not allow without a word";
  };
  return Promise.race([settled, lost()]);
}
