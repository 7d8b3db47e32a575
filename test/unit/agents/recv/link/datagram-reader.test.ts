import { describe, expect, test } from "bun:test";
import { DatagramReader } from "../../../../../agents/recv/link/datagram-reader.ts";
import { waitFor } from "../../../../support/wait.ts";

async function openReader(onDatagram: (datagram: Buffer) => void = () => {}) {
  const got: Buffer[] = [];
  const failures: Error[] = [];
  const take = (datagram: Buffer) => {
    got.push(Buffer.from(datagram));
    onDatagram(datagram);
  };
  const bound = await Bun.udpSocket({ hostname: "127.0.0.1", socket: { data: (_, bytes) => take(bytes) } });
  const { port } = bound;
  const reader = await DatagramReader.open((bound as unknown as { fd: number }).fd, {
    datagram: take,
    failed: (error) => failures.push(error),
  });
  if (reader === undefined) throw new Error("the reader must open on the machines that tests run on");
  bound.close();
  // What is sent to a reader that is closed is answered with an error.
  const sender = await Bun.udpSocket({ hostname: "127.0.0.1", socket: { error: () => {} } });
  return {
    got,
    failures,
    reader,
    send: (...texts: (string | Buffer)[]) => {
      for (const text of texts) sender.send(text, port, "127.0.0.1");
    },
    wait: (count: number) => waitFor(`${count} datagrams`, 10_000, () => got.length >= count || undefined),
    [Symbol.dispose]: () => {
      reader.close();
      sender.close();
    },
  };
}

describe("DatagramReader", () => {
  test("reads every datagram as it was sent, in order, of any size and in bursts of any length", async () => {
    using line = await openReader();
    const sent: Buffer[] = [];
    for (let round = 0; round < 60; round++) {
      const burst = Array.from({ length: 1 + ((round * 7) % 70) }, (_, at) =>
        Buffer.alloc(1 + ((round * 131 + at * 17) % 1500), round + at),
      );
      burst.push(Buffer.alloc(round % 3 === 0 ? 65_507 : 3, round));
      line.send(...burst);
      sent.push(...burst);
      await line.wait(sent.length);
    }
    expect(line.got.length).toBe(sent.length);
    expect(line.got.every((datagram, at) => datagram.equals(sent[at] as Buffer))).toBe(true);
    expect(line.failures).toEqual([]);
  });

  test("goes on after empty datagrams, alone, first, last and many", async () => {
    using line = await openReader();
    const rounds = [[""], ["", "a"], ["b", ""], ["", "", "", "c", ""], Array(100).fill("")];
    let count = 0;
    for (const round of [...rounds, ...rounds]) {
      line.send(...round);
      count += round.length;
      await line.wait(count);
    }
    const expected = [...rounds, ...rounds].flat();
    expect(line.got.map(String)).toEqual(expected);
    expect(line.failures).toEqual([]);
  });

  test("reads no more once it is closed, in the middle of a burst too", async () => {
    const hold: { line?: Awaited<ReturnType<typeof openReader>> } = {};
    const line = await openReader((datagram) => {
      if (datagram.toString() === "stop") hold.line?.reader.close();
    });
    hold.line = line;
    line.send("a", "stop", "b", "c");
    await line.wait(2);
    line.send("d");
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(line.got.map(String)).toEqual(["a", "stop"]);
    expect(line.failures).toEqual([]);
  });

  test("opens nothing on what is no descriptor", async () => {
    expect(await DatagramReader.open(-1, { datagram: () => {}, failed: () => {} })).toBeUndefined();
  });
});
