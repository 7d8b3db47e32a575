import { describe, expect, test } from "bun:test";
import { DatagramBursts, type Packet } from "../../../../../agents/send/link/datagram-bursts.ts";

/** Datagrams of these sizes, one behind the other in one memory; each is filled with its number. */
function lay(...sizes: number[]): Buffer[] {
  const memory = Buffer.allocUnsafeSlow(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  return sizes.map((size, index) => {
    at += size;
    return memory.subarray(at - size, at).fill(index);
  });
}

/** A kernel that cuts as it was told, takes `room` messages in all, and refuses to cut when `cuts` is false. */
function openKernel({ cuts = true, room = Number.POSITIVE_INFINITY } = {}) {
  let segmentBytes = 0;
  let left = room;
  const arrived: Buffer[] = [];
  const calls: number[] = [];
  const kernel = { refuses: undefined as string | undefined, arrived, calls };
  const sendMany = (packets: readonly Packet[]) => {
    const messages = packets.filter((packet) => Buffer.isBuffer(packet));
    calls.push(messages.length);
    let taken = 0;
    for (const message of messages) {
      if (kernel.refuses !== undefined) throw new Error(kernel.refuses);
      if (left-- <= 0) break;
      taken++;
      const isCut = segmentBytes > 0 && message.length > segmentBytes;
      if (isCut && !cuts) throw new Error("EIO");
      if (isCut && message.length > 64 * segmentBytes) throw new Error("EMSGSIZE");
      const step = isCut ? segmentBytes : message.length;
      for (let at = 0; at < message.length; at += step)
        arrived.push(Buffer.from(message.subarray(at, at + step)));
    }
    return taken;
  };
  const setSegmentBytes = (bytes: number) => {
    segmentBytes = bytes;
    return true;
  };
  return { ...kernel, kernel, bursts: new DatagramBursts(sendMany, setSegmentBytes), sendMany };
}

describe("DatagramBursts", () => {
  test("sends what lies one behind the other in one message, and every datagram arrives as it was", () => {
    const { bursts, arrived, calls } = openKernel();
    const datagrams = lay(...Array(41).fill(1383));
    expect(bursts.send(datagrams, 1, "::1")).toBe(41);
    expect(arrived).toEqual(datagrams);
    expect(calls).toEqual([1]);
  });

  test.each([
    ["sizes that change", () => [...lay(100, 100, 100), ...lay(50, 50), ...lay(300)]],
    ["datagrams larger than those before", () => [...lay(50, 50), ...lay(900), ...lay(60)]],
    ["memories that lie apart", () => [0, 1, 2, 3].map(() => lay(100)[0] as Buffer)],
    ["turns between two blocks", () => lay(9, 9, 9).flatMap((one, at) => [one, lay(9, 9, 9)[at] as Buffer])],
    ["more than one message may hold", () => lay(...Array(9).fill(8900))],
    ["more than one message may be cut into", () => lay(...Array(130).fill(20))],
    ["the largest datagrams", () => lay(65_000, 65_000)],
    ["none", () => []],
  ])("sends %s in order and unchanged", (_, make) => {
    const { bursts, arrived } = openKernel();
    const datagrams = make();
    expect(bursts.send(datagrams, 1, "::1")).toBe(datagrams.length);
    expect(arrived).toEqual(datagrams);
  });

  test("sends datagram by datagram where the kernel refuses to cut, and tries no more", () => {
    const { bursts, arrived, calls } = openKernel({ cuts: false });
    const datagrams = lay(100, 100, 100);
    expect(bursts.send(datagrams, 1, "::1")).toBe(3);
    expect(bursts.send(datagrams, 1, "::1")).toBe(3);
    expect(arrived).toEqual([...datagrams, ...datagrams]);
    expect(calls).toEqual([1, 3, 3]);
  });

  test("sends datagram by datagram where the kernel does not know how to cut", () => {
    const { sendMany, calls, arrived } = openKernel();
    const datagrams = lay(100, 100, 100);
    for (const setSegmentBytes of [() => false, undefined])
      expect(new DatagramBursts(sendMany, setSegmentBytes).send(datagrams, 1, "::1")).toBe(3);
    expect(arrived).toEqual([...datagrams, ...datagrams]);
    expect(calls).toEqual([3, 3]);
  });

  test("says how many left when the kernel has no more room", () => {
    for (const [room, sent] of [
      [0, 0],
      [1, 3],
      [2, 4],
    ] as const) {
      const { bursts, arrived } = openKernel({ room });
      const datagrams = [...lay(100, 100, 100), ...lay(50), ...lay(60)];
      expect(bursts.send(datagrams, 1, "::1")).toBe(sent);
      expect(arrived).toEqual(datagrams.slice(0, sent));
    }
  });

  test("throws what the kernel says, and cuts again when it takes datagrams again", () => {
    const { bursts, kernel, calls, arrived } = openKernel();
    const datagrams = lay(100, 100, 100);
    kernel.refuses = "ENETUNREACH";
    expect(() => bursts.send(datagrams, 1, "::1")).toThrow("ENETUNREACH");
    kernel.refuses = undefined;
    calls.length = 0;
    expect(bursts.send(datagrams, 1, "::1")).toBe(3);
    expect(calls).toEqual([1]);
    expect(arrived).toEqual(datagrams);
  });
});
