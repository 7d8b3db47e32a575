import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { InboxFile } from "../../../../../agents/recv/link/inbox-file.ts";
import { encodeRecordHeader } from "../../../../../shared/framing/record.ts";
import { Workspace } from "../../../../support/workspace.ts";
import { TestSink } from "./sink.ts";

const workspace = new Workspace("inbox-file");
afterAll(() => workspace.remove());

const PATH = workspace.path("file");
const LIMITS = { fileBytesMax: 100_000, settleMs: 1000 };
const END = encodeRecordHeader(0);
let sink = new TestSink();

beforeEach(() => {
  rmSync(PATH, { force: true });
  sink = new TestSink();
});

function record(text: string): Buffer {
  return Buffer.concat([encodeRecordHeader(text.length), Buffer.from(text)]);
}

function open(): InboxFile {
  return new InboxFile(PATH, sink, LIMITS, 0);
}

describe("InboxFile", () => {
  test("reads a whole file once, and says that it is whole", async () => {
    writeFileSync(PATH, Buffer.concat([record("a"), record("b"), END]));
    const file = open();
    expect(await file.read(0)).toEqual({ state: "whole" });
    expect(await file.read(1)).toEqual({ state: "whole" });
    expect(sink.datagrams).toEqual(["a", "b"]);
  });

  test("goes on with a file that grows, cut at every byte", async () => {
    const whole = Buffer.concat([record("first"), record("second"), END]);
    for (let cut = 0; cut < whole.length; cut++) {
      sink = new TestSink();
      writeFileSync(PATH, whole.subarray(0, cut));
      const file = open();
      expect(await file.read(0)).toEqual({ state: "growing" });
      appendFileSync(PATH, whole.subarray(cut));
      expect(await file.read(1)).toEqual({ state: "whole" });
      expect(sink.datagrams).toEqual(["first", "second"]);
      expect(sink.counts).toEqual({});
      rmSync(PATH);
    }
  });

  test("gives up a file that has not grown for the time to settle, and counts what is cut", async () => {
    writeFileSync(PATH, Buffer.concat([record("a"), record("bcdef").subarray(0, 10)]));
    const file = open();
    expect(await file.read(100)).toEqual({ state: "growing" });
    expect(await file.read(1099)).toEqual({ state: "growing" });
    appendFileSync(PATH, "c");
    expect(await file.read(1100)).toEqual({ state: "growing" });
    expect(await file.read(2099)).toEqual({ state: "growing" });
    expect(await file.read(2100)).toEqual({ state: "cut" });
    file.end();
    expect(sink.datagrams).toEqual(["a"]);
    expect(sink.counts).toEqual({ cut: 11 });
  });

  test("begins anew with another file under its name, and with one that was cut short", async () => {
    writeFileSync(PATH, Buffer.concat([record("a"), record("b").subarray(0, 8)]));
    const file = open();
    expect(await file.read(0)).toEqual({ state: "growing" });
    truncateSync(PATH, 0);
    appendFileSync(PATH, record("x").subarray(0, 8));
    expect(await file.read(1)).toEqual({ state: "growing" });
    rmSync(PATH);
    writeFileSync(workspace.path("other"), ""); // So that the inode is not used again.
    writeFileSync(PATH, Buffer.concat([record("a"), record("b"), END]));
    expect(await file.read(2)).toEqual({ state: "whole" });
    expect(sink.datagrams).toEqual(["a", "a", "b"]);
  });

  test("refuses a symbolic link, a directory and a file over its limit; tells one that is gone", async () => {
    const secret = workspace.write("secret", record("secret"));
    symlinkSync(secret, PATH);
    expect(await open().read(0)).toEqual({ state: "refused" });
    rmSync(PATH);
    expect(await new InboxFile(workspace.directory, sink, LIMITS, 0).read(0)).toEqual({ state: "refused" });
    writeFileSync(PATH, Buffer.alloc(100_001));
    expect(await open().read(0)).toEqual({ state: "refused" });
    rmSync(PATH);
    expect(await open().read(0)).toEqual({ state: "gone", why: "ENOENT" });
    expect(sink.datagrams).toEqual([]);
  });
});
