// What a host application on the business side asks of an edge node: to be born again, which is answered here, or anything
// else, which is refused by name. Nothing of it ever goes back over the link. Pure.
import { parsePayload, readBoolean } from "../../../../shared/sparkplug/payload.ts";
import { parseState } from "../../../../shared/sparkplug/state.ts";
import { parseTopic } from "../../../../shared/sparkplug/topic.ts";

const NODE_REBIRTH = "Node Control/Rebirth";
/** Whether a host application says that it is online; one that the broker had retained says nothing of now. */
export function isHostOnline(topic: string, payload: Uint8Array, isRetained: boolean): boolean {
  if (isRetained) return false;
  const parsed = parseTopic(topic);
  if (typeof parsed === "string" || parsed.type !== "STATE") return false;
  const state = parseState(parsed.format, payload);
  return typeof state !== "string" && state.isOnline;
}

/** Not of the specification; Ignition's modules send it to a device. */
const DEVICE_REBIRTH = "Device Control/Rebirth";

export type CommandRefusal =
  /** Not a Sparkplug command, or one that cannot be read. */
  | "malformed"
  /** The broker had kept it: nobody asks now. */
  | "retained"
  /** It would set or trigger something in the plant. */
  | "write"
  /** No node or device of that name has come over the link. */
  | "unknown"
  /** The broker sent what is larger than a command can be. */
  | "oversize";

export type CommandVerdict =
  | { readonly ask: "rebirth"; readonly group: string; readonly node: string; readonly writes: boolean }
  | { readonly refuse: CommandRefusal };

export function judgeCommand(topic: string, payload: Uint8Array, isRetained: boolean): CommandVerdict {
  const parsed = parseTopic(topic);
  if (typeof parsed === "string" || (parsed.type !== "NCMD" && parsed.type !== "DCMD"))
    return { refuse: "malformed" };
  if (isRetained) return { refuse: "retained" };
  const command = parsePayload(payload);
  if (typeof command === "string" || command.metrics.length === 0) return { refuse: "malformed" };
  const { group, node } = parsed;
  // By name only: this metric has no alias [tck-id-operational-behavior-data-commands-rebirth-name-aliases].
  const asks = command.metrics.filter(
    (metric) =>
      (metric.name === NODE_REBIRTH || (parsed.type === "DCMD" && metric.name === DEVICE_REBIRTH)) &&
      readBoolean(metric) === true,
  );
  if (asks.length === 0) return { refuse: "write" };
  return { ask: "rebirth", group, node, writes: asks.length < command.metrics.length };
}
