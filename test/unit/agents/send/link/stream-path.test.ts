import { afterEach, describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { StreamPath } from "../../../../../agents/send/link/stream-path.ts";
import { RecordDecoder } from "../../../../../shared/framing/record.ts";
import { openPipe, type Pipe } from "../../../../../shared/native/pipe.ts";
import { waitFor } from "../../../../support/wait.ts";

const paths: StreamPath[] = [];
afterEach(async () => {
  for (const path of paths.splice(0)) await path.close();
});

/** A path into pipes; each opening makes a new one. */
function makePath(repeatBytesMax: number, failures: string[] = []) {
  const pipes: Pipe[] = [];
  const repeats: string[][] = [];
  const path = new StreamPath({
    open: async () => {
      const why = failures.shift();
      if (why !== undefined) throw new Error(why);
      const pipe = openPipe("write");
      if (typeof pipe === "string") throw new Error(pipe);
      pipes.push(pipe);
      return { fd: pipe.near, close: () => closeSync(pipe.near) };
    },
    repeatBytesMax,
    random: () => 0,
    onOpened: (repeat) => repeats.push(repeat.map(String)),
  }).start();
  paths.push(path);
  return { path, pipes, repeats };
}

/** What is in a pipe at this moment, as many bytes as fit. */
function readNow(pipe: Pipe, buffer: Buffer): Buffer {
  // A second opening of the same pipe does not wait, whatever the first one does.
  const fd = openSync(`/proc/self/fd/${pipe.far}`, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return buffer.subarray(0, readSync(fd, buffer));
  } catch {
    return buffer.subarray(0, 0);
  } finally {
    closeSync(fd);
  }
}

function readDatagrams(pipe: Pipe): string[] {
  const found: string[] = [];
  const decoder = new RecordDecoder({
    datagram: (datagram) => found.push(datagram.toString()),
    skipped: () => {},
  });
  const buffer = Buffer.alloc(65_536);
  decoder.push(readNow(pipe, buffer));
  return found;
}

describe("StreamPath", () => {
  test("has no room while it opens, tells why it cannot, and opens again", async () => {
    const { path, repeats } = makePath(1000, ["cannot open it: first", "cannot open it: second"]);
    expect(path.write([Buffer.from("a")])).toEqual({ written: 0 });
    await waitFor("the reason", 5000, () => path.write([Buffer.from("a")]).error === "cannot open it: first");
    await waitFor("the stream", 5000, () => path.write([Buffer.from("a")]).written === 1);
    expect(repeats).toEqual([[]]);
  });

  test("gives back what was written last when the stream breaks", async () => {
    const { path, pipes, repeats } = makePath(100);
    await waitFor("the stream", 5000, () => pipes.length === 1);
    const datagrams = Array.from({ length: 50 }, (_, index) => Buffer.from(`number ${index}`.padEnd(10)));
    for (const datagram of datagrams) expect(path.write([datagram]).written).toBe(1);
    const [first] = pipes;
    if (first === undefined) throw new Error("there must be a pipe");
    expect(readDatagrams(first)).toHaveLength(50);
    closeSync(first.far);
    const broken = path.write([Buffer.from("x")]);
    expect(broken).toEqual({ written: 0, error: "the other end has closed the connection" });
    await waitFor("the next stream", 5000, () => repeats.length === 2);
    const repeat = repeats[1] ?? [];
    expect(repeat.at(-1)).toBe("number 49 ");
    // At least as much as was asked for, and at most twice that.
    expect(repeat.length).toBeWithin(10, 21);
    expect(repeat).toEqual(datagrams.slice(-repeat.length).map(String));
  });

  test("finishes a record that was begun by itself", async () => {
    const { path, pipes } = makePath(1000);
    await waitFor("the stream", 5000, () => pipes.length === 1);
    const datagram = Buffer.alloc(50_000, "d");
    const written = path.write([datagram, datagram, datagram]).written;
    expect(written).toBe(2); // A pipe holds 65,536 bytes.
    const [pipe] = pipes;
    if (pipe === undefined) throw new Error("there must be a pipe");
    const found: number[] = [];
    const decoder = new RecordDecoder({ datagram: (each) => found.push(each.length), skipped: () => {} });
    const buffer = Buffer.alloc(65_536);
    await waitFor("both datagrams", 5000, () => {
      decoder.push(readNow(pipe, buffer));
      return found.length === 2;
    });
    expect(found).toEqual([50_000, 50_000]);
  });
});
