import { describe, expect, test } from "bun:test";
import { StreamOrder } from "../../../../../agents/recv/link/order.ts";

const PATIENCE = 100;

function setup(expected = 0, bytesMax = 1_000_000) {
  const events: string[] = [];
  const order = new StreamOrder(expected, PATIENCE, bytesMax, {
    deliver: ({ first, count, skip }) => events.push(`deliver ${first + skip}-${first + count - 1}`),
    gap: ({ first, count }) => events.push(`gap ${first}-${first + count - 1}`),
  });
  const add = (first: number, count: number, nowMs = 0, bytes = 10) =>
    order.add({ first, count, content: Buffer.alloc(bytes), since: 0 }, nowMs);
  return { order, events, add };
}

describe("StreamOrder", () => {
  test("delivers in order whatever the order of arrival", () => {
    const { events, add } = setup();
    for (const first of [3, 1, 4, 2, 0]) expect(add(first, 1)).toBe(true);
    expect(events).toEqual(["deliver 0-0", "deliver 1-1", "deliver 2-2", "deliver 3-3", "deliver 4-4"]);
  });

  test("delivers no sequence twice, also when ranges overlap", () => {
    const { events, add } = setup();
    expect(add(0, 5)).toBe(true);
    expect(add(0, 5)).toBe(false);
    expect(add(2, 2)).toBe(false);
    expect(add(3, 4)).toBe(true);
    expect(add(8, 2)).toBe(true);
    expect(add(8, 2)).toBe(false);
    expect(add(7, 2)).toBe(true);
    expect(events).toEqual(["deliver 0-4", "deliver 5-6", "deliver 7-8", "deliver 9-9"]);
  });

  test("declares a gap only after the patience, once, and goes on behind it", () => {
    const { order, events, add } = setup();
    add(0, 1, 0);
    add(5, 1, 10);
    order.tick(109);
    expect(events).toEqual(["deliver 0-0"]);
    order.tick(110);
    order.tick(1000);
    expect(events).toEqual(["deliver 0-0", "gap 1-4", "deliver 5-5"]);
    expect(add(2, 1, 1001)).toBe(false);
  });

  test("waits for each hole from the arrival of what lies behind it", () => {
    const { order, events, add } = setup();
    add(2, 1, 0);
    add(5, 1, 80);
    order.tick(100);
    expect(events).toEqual(["gap 0-1", "deliver 2-2"]);
    order.tick(179);
    expect(events).toHaveLength(2);
    order.tick(180);
    expect(events.slice(2)).toEqual(["gap 3-4", "deliver 5-5"]);
  });

  test("finds loss at the tail from what the sender says it has sent", () => {
    const { order, events, add } = setup();
    add(0, 3, 0);
    order.noteSent(3, 10);
    order.tick(500);
    expect(events).toEqual(["deliver 0-2"]);
    order.noteSent(5, 510);
    order.tick(609);
    expect(events).toHaveLength(1);
    order.noteSent(9, 600);
    order.tick(610);
    expect(events[1]).toBe("gap 3-4");
    order.noteSent(9, 620);
    order.tick(720);
    expect(events[2]).toBe("gap 5-8");
  });

  test("gives up a hole when what is held behind it exceeds its bound", () => {
    const { order, events, add } = setup(0, 1000);
    for (let first = 1; first < 20; first++) add(first, 1, 0, 100);
    expect(events[0]).toBe("gap 0-0");
    expect(order.heldBytes).toBeLessThanOrEqual(1000);
  });

  test("holds a flood behind one hole without slowing down", () => {
    const { order, events, add } = setup(0, 1_000_000_000);
    for (let first = 200_000; first > 0; first -= 2) add(first, 1, 0, 1);
    order.tick(PATIENCE);
    expect(events.filter((event) => event.startsWith("gap"))).toHaveLength(100_000);
    expect(order.heldBytes).toBe(0);
  });

  test("flush() gives up every hole and the tail", () => {
    const { order, events, add } = setup();
    add(2, 1);
    order.noteSent(6, 0);
    order.flush();
    expect(events).toEqual(["gap 0-1", "deliver 2-2", "gap 3-5"]);
  });
});
