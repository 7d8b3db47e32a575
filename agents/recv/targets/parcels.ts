// Publishes a message that was split: its parts one after the other, and settled as the one message that it is. One part
// that the target does not take makes a loss of the whole, with the number of the part; the others may have arrived, and
// whoever puts parts together drops them in time.
import type { EgressOutcome } from "../../../shared/mqtt/egress-tap.ts";
import type { Channels } from "./channels.ts";
import type { Outgoing } from "./outcome.ts";

export type ParcelOutcome = EgressOutcome & {
  /** The number of the part that failed, and of how many. */
  readonly part?: { readonly number: number; readonly count: number };
};

/** `onSettled` is called once, after this call, when the last part is settled. */
export function publishParcel(
  channels: Channels,
  message: Outgoing,
  onSettled: (outcome: ParcelOutcome) => void,
): void {
  if (message.rest === undefined) {
    channels.publish(message, onSettled);
    return;
  }
  const parts = [message, ...message.rest];
  let left = parts.length;
  let failure: ParcelOutcome | undefined;
  for (const [index, part] of parts.entries()) {
    channels.publish(part, (outcome) => {
      left--;
      if (outcome.kind !== "forwarded")
        failure ??= { ...outcome, part: { number: index + 1, count: parts.length } };
      if (left === 0) onSettled(failure ?? { kind: "forwarded" });
    });
  }
}
