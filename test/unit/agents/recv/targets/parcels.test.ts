// Parts that are published one by one and settled as one message.
import { expect, test } from "bun:test";
import type { Channels } from "../../../../../agents/recv/targets/channels.ts";
import type { Outgoing } from "../../../../../agents/recv/targets/outcome.ts";
import { type ParcelOutcome, publishParcel } from "../../../../../agents/recv/targets/parcels.ts";
import type { EgressOutcome } from "../../../../../shared/mqtt/egress-tap.ts";
import { makeMessage } from "./messages.ts";

function lab(parts: number) {
  const sent: string[] = [];
  const settle: ((outcome: EgressOutcome) => void)[] = [];
  const outcomes: ParcelOutcome[] = [];
  const channels = {
    publish: ({ topic }: Outgoing, onSettled: (outcome: EgressOutcome) => void) => {
      sent.push(topic);
      settle.push(onSettled);
    },
  } as unknown as Channels;
  const [first, ...rest] = Array.from({ length: parts }, (_, index) =>
    makeMessage({ topic: `part/${index + 1}` }),
  );
  const message = parts === 1 ? first : { ...first, rest };
  publishParcel(channels, message as Outgoing, (outcome) => outcomes.push(outcome));
  return { sent, settle, outcomes };
}

const FORWARDED = { kind: "forwarded" } as const;

test("publishParcel() publishes a message without parts as it is", () => {
  const { sent, settle, outcomes } = lab(1);
  settle[0]?.({ kind: "poison" });
  expect([sent, outcomes]).toEqual([["part/1"], [{ kind: "poison" }]]);
});

test("publishParcel() settles parts once, when the last is settled, whatever their order", () => {
  const { sent, settle, outcomes } = lab(3);
  expect(sent).toEqual(["part/1", "part/2", "part/3"]);
  for (const index of [2, 0]) settle[index]?.(FORWARDED);
  expect(outcomes).toEqual([]);
  settle[1]?.(FORWARDED);
  expect(outcomes).toEqual([FORWARDED]);
});

test("publishParcel() loses the whole with the first part that failed", () => {
  const { settle, outcomes } = lab(4);
  settle[0]?.(FORWARDED);
  settle[2]?.({ kind: "refused", code: 0x87, reason: "not authorized (0x87)" });
  settle[1]?.({ kind: "poison" });
  expect(outcomes).toEqual([]);
  settle[3]?.(FORWARDED);
  expect(outcomes).toEqual([
    { kind: "refused", code: 0x87, reason: "not authorized (0x87)", part: { number: 3, count: 4 } },
  ]);
});
