// Sizes: messages from one byte to 64 MiB, mixed, and datagrams from the smallest to the largest that is allowed. What
// arrives is what was sent, and neither agent's memory grows with the number of messages.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Agent } from "../support/agents.ts";
import { requireTools } from "../support/requirements.ts";
import { sum } from "../support/status.ts";
import { LinkRig } from "./link-rig.ts";

const MIB = 1_048_576;
const FAST = { rate_mbit_per_second: 1000 };
/** What the receiver's socket buffer can hold while 64 MiB are written to the disk in one go. */
const STEADY = { rate_mbit_per_second: 150 };
const ETHERNET_IP_UDP_BYTES = 38 + 20 + 8;

/** Bytes that zstd cannot shrink, the same for the same size. */
function makeNoise(bytes: number): Buffer {
  const noise = Buffer.allocUnsafe(bytes);
  let state = bytes + 1;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    noise[at] = state >>> 24;
  }
  return noise;
}

function readPeakMib(agent: Agent): number {
  const status = readFileSync(`/proc/${agent.pid}/status`, "utf8");
  return Math.round(Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024);
}

/** Publishes one of each size with small ones in between, and compares all that arrives. */
async function carry(rig: LinkRig, sizes: readonly number[]): Promise<void> {
  const sent = sizes.flatMap((size, index) => [
    { topic: "plant/mixed", payload: makeNoise(size), options: { qos: 1 as const } },
    ...[0, 1, 2].map((small) => ({
      topic: "plant/mixed",
      payload: Buffer.from(`${index}.${small}`),
      options: { qos: 1 as const },
    })),
  ]);
  const before = rig.far.messages.length;
  await rig.near.publishAll(sent);
  await rig.far.waitForCount(before + sent.length, undefined, rig.explain, 50_000);
  const arrived = rig.far.messages.slice(before);
  expect(arrived.map(({ payload }) => payload.length)).toEqual(sent.map(({ payload }) => payload.length));
  for (const [index, { payload }] of arrived.entries())
    expect(payload.equals(sent[index]?.payload ?? Buffer.alloc(0))).toBe(true);
  const got = await rig.readRecv();
  expect(sum(got.ledger.lost)).toBe(0);
}

requireTools(["mosquitto"])("messages of every size", () => {
  test("up to 64 MiB cross whole and in order, and memory stays bounded", async () => {
    const limits = { message_bytes_max: 64 * MIB };
    await using rig = await LinkRig.open({ sendPath: STEADY, send: { limits }, recv: { limits } });
    const { send, recv } = await rig.startBoth();
    await carry(rig, [1, 1000, 1399, 1400, 49_152, 65_536, MIB, 0, 8 * MIB]);
    await carry(rig, [64 * MIB]);
    const after = { send: readPeakMib(send), recv: readPeakMib(recv) };
    for (let round = 0; round < 2; round++) await carry(rig, [64 * MIB, MIB]);
    const peak = { send: readPeakMib(send), recv: readPeakMib(recv) };
    process.stderr.write(
      `peak memory in MiB: first 64 MiB message ${JSON.stringify(after)}, third ${JSON.stringify(peak)}\n`,
    );
    // A few copies of the largest message, however many of them there are.
    for (const side of ["send", "recv"] as const) expect(peak[side]).toBeLessThan(1200);
  }, 180_000);

  test("over the limit are refused whole, counted, and hold nothing up", async () => {
    await using rig = await LinkRig.open({ sendPath: FAST, send: { limits: { message_bytes_max: 10_000 } } });
    const { send } = await rig.startBoth();
    await rig.near.publish("plant/large", makeNoise(10_001), { qos: 1 });
    await carry(rig, [10_000, 5]);
    expect((await rig.readSend()).ledger.lost).toEqual({ oversize: 1 });
    const line = await send.waitForLog("the refusal", ({ msg }) => msg === "message refused: oversize");
    expect(line).toMatchObject({ topic: "plant/large", payloadBytes: 10_001 });
  }, 60_000);

  test("over the receiver's limit alone are lost by name and hold nothing up", async () => {
    await using rig = await LinkRig.open({ sendPath: FAST, recv: { limits: { message_bytes_max: 10_000 } } });
    await rig.startBoth();
    await rig.near.publish("plant/large", makeNoise(MIB), { qos: 1 });
    await rig.near.publish("plant/after", "after", { qos: 1 });
    await rig.far.waitForCount(1, "plant/after", rig.explain);
    const { got } = await rig.settle(2);
    expect(sum(got.ledger.lost)).toBe(1);
    expect(got.link.refused["block-malformed"]).toBeGreaterThan(0);
    expect(got.link.waitingBytes).toBe(0);
  }, 60_000);

  test.each([200, 1400, 8900, 65_000])(
    "cross in datagrams of %d bytes",
    async (datagramBytes) => {
      // The kernel counts each small datagram with its own overhead: the receive buffer must bridge what a busy machine does meanwhile.
      const sendPath = { ...FAST, rate_mbit_per_second: Math.min(1000, datagramBytes / 2) };
      await using rig = await LinkRig.open({ sendPath, sendLink: { datagram_bytes: datagramBytes } });
      await rig.startBoth();
      await carry(rig, [1, 100, datagramBytes, 49_152, 200_000, MIB, 3]);
      const { sent, got } = await rig.settle(28);
      const { datagrams = 0, bytes = 1 } = (sent.link.paths[0] ?? {}) as {
        datagrams?: number;
        bytes?: number;
      };
      expect(bytes / datagrams).toBeLessThanOrEqual(datagramBytes + ETHERNET_IP_UDP_BYTES);
      expect(got.link.restoredSymbols).toBe(0);
    },
    60_000,
  );
});
