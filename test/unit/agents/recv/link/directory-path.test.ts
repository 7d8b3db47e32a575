import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { DirectoryPath } from "../../../../../agents/recv/link/directory-path.ts";
import type { DirectoryRecvPath } from "../../../../../agents/recv/path-config.ts";
import { formatFileName } from "../../../../../shared/framing/file-name.ts";
import { encodeRecordHeader } from "../../../../../shared/framing/record.ts";
import { waitFor } from "../../../../support/wait.ts";
import { Workspace } from "../../../../support/workspace.ts";
import { TestSink } from "./sink.ts";

const workspace = new Workspace("inbox");
afterAll(() => workspace.remove());

const CONFIG: DirectoryRecvPath = {
  name: "path-1",
  type: "directory",
  directory: workspace.path("inbox"),
  pollMs: 10,
  settleMs: 50,
  fileBytesMax: 100_000,
  moveTo: undefined,
  silentAfterMs: 1000,
};
let sink = new TestSink();
let path: DirectoryPath | undefined;

beforeEach(() => {
  rmSync(CONFIG.directory, { recursive: true, force: true });
  mkdirSync(CONFIG.directory);
  sink = new TestSink();
});
afterEach(() => path?.close());

function open(change: Partial<DirectoryRecvPath> = {}): void {
  path = new DirectoryPath({ ...CONFIG, ...change }, "plant-7", sink, () => performance.now());
}

/** Puts a finished file into the inbox as a careful mover does. */
function bring(number: number, texts: readonly string[], linkId = "plant-7"): string {
  const records = texts.map((text) => Buffer.concat([encodeRecordHeader(text.length), Buffer.from(text)]));
  const name = formatFileName(linkId, 1n, number);
  workspace.write("moving", Buffer.concat([...records, encodeRecordHeader(0)]));
  renameSync(workspace.path("moving"), `${CONFIG.directory}/${name}`);
  return name;
}

const isEmpty = () => readdirSync(CONFIG.directory).length === 0;

describe("DirectoryPath", () => {
  test("reads what is there in the order of the names, and deletes it", async () => {
    for (const number of [3, 1, 2]) bring(number, [`n${number}`]);
    open();
    await waitFor("an empty inbox", 5000, isEmpty);
    expect(sink.datagrams).toEqual(["n1", "n2", "n3"]);
    expect(sink.counts.files).toBe(3);
    bring(1, ["again"]);
    await waitFor("an empty inbox", 5000, isEmpty);
    expect(sink.datagrams.at(-1)).toBe("again");
  });

  test("sees a file long before the next look where the system tells of changes", async () => {
    open({ pollMs: 3_600_000 });
    const probe = bring(1, ["probe"]);
    await waitFor("the first look", 5000, () => !existsSync(`${CONFIG.directory}/${probe}`));
    bring(2, ["next"]);
    await waitFor("the next file", 5000, isEmpty);
    expect(sink.datagrams).toEqual(["probe", "next"]);
  });

  test("moves files when it was told to, and says when it cannot", async () => {
    const moveTo = workspace.path("done");
    const name = bring(1, ["a"]);
    open({ moveTo });
    await waitFor("the reason", 5000, () => sink.problem !== undefined);
    expect(sink.problem).toBe(`cannot move ${name} to ${moveTo}: there is no such directory`);
    expect(sink.datagrams).toEqual(["a"]);
    mkdirSync(moveTo);
    await waitFor("the file", 5000, () => existsSync(`${moveTo}/${name}`));
    await waitFor("no problem", 5000, () => sink.problem === undefined);
    expect(sink.datagrams).toEqual(["a"]);
  });

  test("takes no file away before what it brought is kept", async () => {
    sink.keeping = "refused";
    const name = bring(1, ["a"]);
    open();
    await waitFor(
      "the reason",
      5000,
      () => sink.problem === "the spool takes nothing: files stay where they are",
    );
    expect(existsSync(`${CONFIG.directory}/${name}`)).toBe(true);
    sink.keeping = "kept";
    await waitFor("an empty inbox", 5000, isEmpty);
    expect(sink.datagrams).toEqual(["a"]);
  });

  test("leaves a file where it is while something of it waits for another", async () => {
    sink.keeping = "waiting";
    const name = bring(1, ["half a block"]);
    open({ pollMs: 3_600_000 });
    await waitFor("the file to be read", 5000, () => sink.counts.files === 1);
    bring(2, ["the other half"]);
    await waitFor("the other file to be read", 5000, () => sink.counts.files === 2);
    expect(existsSync(`${CONFIG.directory}/${name}`)).toBe(true);
    expect(sink.problem).toBeUndefined();
    sink.keeping = "kept";
    bring(3, ["the next"]);
    await waitFor("an empty inbox", 5000, isEmpty);
    expect(sink.datagrams).toEqual(["half a block", "the other half", "the next"]);
  });

  test("reads on when a file that was cut goes on after all, while it still has to stay", async () => {
    sink.keeping = "waiting";
    const name = bring(1, ["the beginning", "the rest"]);
    const place = `${CONFIG.directory}/${name}`;
    const whole = readFileSync(place);
    writeFileSync(place, whole.subarray(0, 30));
    open();
    await waitFor("the file to be given up", 5000, () => sink.counts.files_cut === 1);
    appendFileSync(place, whole.subarray(30, 35));
    await waitFor("it to stand still once more", 5000, () => sink.counts.files_cut === 2);
    appendFileSync(place, whole.subarray(35));
    await waitFor("the rest", 5000, () => sink.counts.files === 1);
    sink.keeping = "kept";
    await waitFor("an empty inbox", 5000, isEmpty);
    expect(sink.datagrams).toEqual(["the beginning", "the rest"]);
    expect(sink.counts).toEqual({ files_cut: 2, files: 1 });
  });

  test("reads a file that comes again whole under the name of one that was cut", async () => {
    sink.keeping = "waiting";
    const name = bring(1, ["the beginning", "the rest"]);
    const place = `${CONFIG.directory}/${name}`;
    writeFileSync(place, readFileSync(place).subarray(0, 30));
    open();
    await waitFor("the file to be given up", 5000, () => sink.counts.files_cut === 1);
    bring(1, ["the beginning", "the rest"]);
    await waitFor("the whole file", 5000, () => sink.counts.files === 1);
    sink.keeping = "kept";
    await waitFor("an empty inbox", 5000, isEmpty);
    expect(sink.datagrams).toEqual(["the beginning", "the beginning", "the rest"]);
  });

  test("leaves alone what is not of this link, is too large, or is a link to elsewhere, and says so once", async () => {
    const foreign = bring(1, ["x"], "plant-8");
    const large = bring(2, ["y".repeat(60_000), "y".repeat(60_000)]);
    const linked = formatFileName("plant-7", 1n, 3);
    symlinkSync(workspace.write("secret", "secret"), `${CONFIG.directory}/${linked}`);
    open();
    bring(4, ["z"]);
    await waitFor("the good file", 5000, () => sink.datagrams.length === 1);
    await waitFor("three files left", 5000, () => readdirSync(CONFIG.directory).length === 3);
    bring(5, ["later"]);
    await waitFor("the later file", 5000, () => sink.datagrams.length === 2);
    expect(readdirSync(CONFIG.directory).sort()).toEqual([large, linked, foreign].sort());
    expect(sink.counts.files_refused).toBe(2);
  });

  test("waits for an inbox that is not there", async () => {
    rmSync(CONFIG.directory, { recursive: true });
    open();
    await waitFor("the reason", 5000, () => sink.problem !== undefined);
    expect(sink.problem).toBe(`cannot look into ${CONFIG.directory}: there is no such directory`);
    mkdirSync(CONFIG.directory);
    bring(1, ["a"]);
    await waitFor("the file", 5000, () => sink.datagrams.length === 1);
    await waitFor("no problem", 5000, () => sink.problem === undefined);
  });

  test("is not held up by unfinished files, however many there are", async () => {
    for (let number = 0; number < 100; number++)
      workspace.write(`inbox/${formatFileName("plant-7", 1n, number)}`, "TGD1");
    bring(1000, ["whole"]);
    open();
    await waitFor("an empty inbox", 10_000, isEmpty);
    expect(sink.datagrams).toEqual(["whole"]);
    expect(sink.counts).toEqual({ files_cut: 100, cut: 400, files: 1 });
  });
});
