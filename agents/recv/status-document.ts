// What a target's broker is told of the link: the state and figures that a cloud can raise an alarm from, without
// addresses, and without names of anything in the plant.
import type { RecvStatus } from "./status.ts";

/** docs/operating.md lists the fields. */
export function makeStatusDocument(status: RecvStatus, target: string): object {
  const { link, sender, deadLetters } = status;
  const own = sender?.sections.find(({ type }) => type === "link");
  return {
    state: status.state,
    problem: status.problem,
    linkId: status.linkId,
    uptimeSeconds: status.uptimeSeconds,
    link: {
      state: link.state,
      heartbeatAgeSeconds: link.heartbeatAgeSeconds,
      clockDifferenceMs: link.clockDifferenceMs,
      senderRestarts: link.senderRestarts,
    },
    gaps: link.gaps,
    ledger: status.ledger,
    target: status.targets.find(({ name }) => name === target)?.ledger ?? null,
    sender: sender && {
      state: own?.state ?? null,
      clockMs: sender.clockMs,
      uptimeSeconds: sender.uptimeSeconds,
      stopping: sender.stopping,
      ledger: own?.counters ?? null,
    },
    deadLetters: deadLetters.count,
  };
}
