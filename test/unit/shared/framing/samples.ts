// One fixed sender for tests of the wire format: its key, its names and messages of every kind.
import { BlockEncoder } from "../../../../shared/framing/encoder.ts";
import type { Heartbeat } from "../../../../shared/framing/heartbeat.ts";
import type { Message } from "../../../../shared/message.ts";

export const LINK_ID = "plant-7";
export const LINK_KEY = Uint8Array.from({ length: 32 }, (_, i) => i);
export const JOURNAL_ID = 0x0123_4567_89ab_cdefn;
export const EPOCH = 0x6512_3456_dead_beefn;

export function makeEncoder(
  options: Partial<ConstructorParameters<typeof BlockEncoder>[0]> = {},
): BlockEncoder {
  return new BlockEncoder({
    linkId: LINK_ID,
    linkKeys: [LINK_KEY],
    journalId: JOURNAL_ID,
    epoch: EPOCH,
    datagramBytes: 1400,
    repairPercent: 0,
    repairSymbolsMin: 1,
    ...options,
  });
}

export function makeMessage(change: Partial<Message> = {}): Message {
  return {
    topic: "plant/hamburg/line-2/temperature",
    payload: Buffer.from('{"value":21.5}'),
    qos: 1,
    retain: false,
    properties: undefined,
    acceptedMs: 1_700_000_000_000,
    ...change,
  };
}

export const MESSAGES: readonly Message[] = [
  makeMessage(),
  makeMessage({ payload: Buffer.from("x"), qos: 0, acceptedMs: 1_700_000_000_001 }),
  makeMessage({ topic: "größe/ä b/+x".replace("+", ""), payload: Buffer.alloc(0), qos: 2, retain: true }),
  makeMessage({
    properties: {
      payloadFormat: 1,
      messageExpirySeconds: 3600,
      contentType: "application/json",
      userProperties: [
        ["unit", "°C"],
        ["unit", ""],
      ],
    },
    acceptedMs: 1_699_999_999_000,
  }),
  makeMessage({ properties: { messageExpirySeconds: 0 } }),
];

export const HEARTBEAT: Heartbeat = {
  clockMs: 1_700_000_000_000,
  uptimeMs: 12_345,
  intervalMs: 1000,
  stopping: false,
  streams: [{ stream: 0, epochFirst: 100, next: 250, sent: 240, oldest: 17 }],
  sections: [
    { type: "link", name: "", state: "none", counters: new Map([["accepted", 250]]) },
    {
      type: "source",
      name: "line-broker",
      state: "connected",
      counters: new Map([
        ["accepted", 250],
        ["lost/oversize", 1],
      ]),
    },
    { type: "path", name: "path-1", state: "none", counters: new Map([["datagrams", 99]]) },
  ],
};
