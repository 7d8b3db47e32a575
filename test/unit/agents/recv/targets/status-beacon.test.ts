import { expect, test } from "bun:test";
import { StatusBeacon } from "../../../../../agents/recv/targets/status-beacon.ts";
import type { Message } from "../../../../../shared/message.ts";

const SETTINGS = { topic: "tidegate/status", intervalSeconds: 60, retain: true, qos: 1, will: true } as const;

class Lab {
  linkState = "up";
  nowMs = 0;
  readonly sent: Message[] = [];
  settle: (isForwarded: boolean, isPoison: boolean) => void = () => {};
  readonly beacon = new StatusBeacon(SETTINGS, {
    clock: () => 0,
    linkState: () => this.linkState,
    describe: () => ({ link: this.linkState, state: "running" }),
    publish: (message, onSettled) => {
      this.sent.push(message);
      this.settle = onSettled;
    },
  });

  /** Ticks every 100 ms; each message is settled at once. */
  pass(seconds: number): number {
    const before = this.sent.length;
    for (let at = 0; at < seconds * 10; at++) {
      this.nowMs += 100;
      this.beacon.tick(this.nowMs);
      this.settle(true, false);
      this.settle = () => {};
    }
    return this.sent.length - before;
  }
}

test("StatusBeacon publishes at once when the target connects, when the link changes, and every interval", () => {
  const lab = new Lab();
  expect(lab.pass(120)).toBe(0);
  lab.beacon.noteUp();
  expect(lab.pass(1)).toBe(1);
  lab.linkState = "down";
  expect(lab.pass(1)).toBe(1);
  expect(lab.pass(59)).toBe(0);
  expect(lab.pass(119)).toBe(2);
  lab.beacon.noteDown();
  lab.linkState = "up";
  expect(lab.pass(120)).toBe(0);
  lab.beacon.noteUp();
  expect(lab.pass(1)).toBe(1);
  expect(lab.beacon.published).toBe(5);
  const [first] = lab.sent;
  expect(first).toMatchObject({ topic: "tidegate/status", qos: 1, retain: true, properties: undefined });
  expect(JSON.parse(String(first?.payload))).toEqual({
    time: "1970-01-01T00:00:00.000Z",
    link: "up",
    state: "running",
  });
});

test("StatusBeacon has no two messages under way, however slow the broker is", () => {
  const lab = new Lab();
  lab.beacon.noteUp();
  lab.beacon.tick(0);
  lab.linkState = "down";
  for (let at = 0; at < 600_000; at += 1000) lab.beacon.tick(at);
  expect(lab.sent).toHaveLength(1);
  lab.settle(true, false);
  lab.beacon.tick(600_000);
  expect(lab.sent).toHaveLength(2);
});

test("StatusBeacon goes on after a refusal, and stops when the broker ends the connection over it", () => {
  const lab = new Lab();
  lab.beacon.noteUp();
  lab.beacon.tick(0);
  lab.settle(false, false);
  lab.beacon.tick(60_000);
  expect([lab.sent.length, lab.beacon.lost]).toEqual([2, 1]);
  lab.settle(false, true);
  lab.beacon.tick(120_000);
  lab.beacon.sayStopped();
  expect(lab.sent).toHaveLength(2);
});

test("StatusBeacon.will says offline where it is wanted, and sayStopped() says stopped", () => {
  const lab = new Lab();
  expect({ ...lab.beacon.will, payload: String(lab.beacon.will?.payload) }).toEqual({
    topic: "tidegate/status",
    payload: '{"state":"offline"}',
    qos: 1,
    retain: true,
  });
  lab.beacon.sayStopped();
  expect(lab.sent).toHaveLength(0);
  lab.beacon.noteUp();
  lab.beacon.sayStopped();
  expect(JSON.parse(String(lab.sent[0]?.payload))).toMatchObject({ link: "up", state: "stopped" });
});
