import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { DirectoryPath } from "../../../../../agents/send/link/directory-path.ts";
import type { DirectorySendPath } from "../../../../../agents/send/path-config.ts";
import { RecordDecoder } from "../../../../../shared/framing/record.ts";
import { waitFor } from "../../../../support/wait.ts";
import { Workspace } from "../../../../support/workspace.ts";

const workspace = new Workspace("outbox");
afterAll(() => workspace.remove());

const CONFIG: DirectorySendPath = {
  name: "path-1",
  type: "directory",
  directory: workspace.path("outbox"),
  rateMbitPerSecond: 100,
  queueBytesMax: 1_000_000,
  bestEffort: false,
  fileBytesMax: 1000,
  fileSeconds: 3600,
  outboxFilesMax: 3,
  outboxBytesMax: 1_000_000,
};
let nowMs = 0;

beforeEach(() => {
  rmSync(CONFIG.directory, { recursive: true, force: true });
  mkdirSync(CONFIG.directory);
});

function open(change: Partial<DirectorySendPath> = {}, epoch = 0x2an): DirectoryPath {
  const path = new DirectoryPath({ ...CONFIG, ...change }, "plant-7", () => nowMs);
  path.begin(epoch);
  return path;
}

const list = () => readdirSync(CONFIG.directory).sort();

function read(name: string): { datagrams: string[]; isWhole: boolean } {
  const datagrams: string[] = [];
  const decoder = new RecordDecoder({
    datagram: (datagram) => datagrams.push(datagram.toString()),
    skipped: () => expect.unreachable(),
  });
  decoder.push(readFileSync(`${CONFIG.directory}/${name}`));
  return { datagrams, isWhole: decoder.atEndMark };
}

const FIRST = "plant-7_000000000000002a_0000000000.tgd";
const SECOND = "plant-7_000000000000002a_0000000001.tgd";
const HALF = Buffer.alloc(600, "h");

describe("DirectoryPath", () => {
  test("hides a file until it is full, then shows it with its end mark", () => {
    const path = open();
    expect(path.write([Buffer.from("a"), HALF])).toEqual({ written: 2 });
    expect(list()).toEqual([`.${FIRST}.part`]);
    path.write([HALF]);
    expect(list()).toEqual([FIRST]);
    expect(read(FIRST)).toEqual({ datagrams: ["a", `${HALF}`, `${HALF}`], isWhole: true });
    path.write([Buffer.from("b")]);
    path.close();
    expect(list()).toEqual([FIRST, SECOND]);
    expect(read(SECOND)).toEqual({ datagrams: ["b"], isWhole: true });
  });

  test("shows a file after its time, even when nothing follows", async () => {
    const path = open({ fileSeconds: 0.05 });
    path.write([Buffer.from("a")]);
    await waitFor("the file", 5000, () => list()[0] === FIRST);
    path.close();
    expect(list()).toEqual([FIRST]);
  });

  test("has no room while the outbox is full, and has it again when files are taken away", () => {
    const path = open({ fileBytesMax: 100 });
    for (let index = 0; index < 3; index++) expect(path.write([HALF]).written).toBe(1);
    const full = {
      written: 0,
      error: `the outbox ${CONFIG.directory} is full: is anybody taking the files away?`,
    };
    expect(path.write([HALF])).toEqual(full);
    rmSync(`${CONFIG.directory}/${FIRST}`);
    nowMs += 1000;
    expect(path.write([HALF])).toEqual({ written: 1 });
    nowMs += 1000;
    expect(path.write([HALF])).toEqual(full);
  });

  test("counts bytes, too, and no file of another link", () => {
    workspace.write("outbox/plant-8_0000000000000000_0000000000.tgd", Buffer.alloc(5000));
    workspace.write("outbox/notes.txt", Buffer.alloc(5000));
    const path = open({ fileBytesMax: 100, outboxBytesMax: 1500 });
    nowMs += 10_000;
    const written = Array.from({ length: 5 }, () => path.write([HALF]).written);
    expect(written).toEqual([1, 1, 1, 0, 0]);
  });

  test("shows what a killed run has left, and nothing empty", () => {
    open().write([Buffer.from("left")]);
    workspace.write("outbox/.plant-7_0000000000000029_0000000007.tgd.part", "");
    workspace.write("outbox/.plant-8_0000000000000029_0000000007.tgd.part", "x");
    const path = open({}, 0x2bn);
    path.write([Buffer.from("new")]);
    path.close();
    expect(list()).toEqual([
      ".plant-8_0000000000000029_0000000007.tgd.part",
      FIRST,
      FIRST.replace("2a_", "2b_"),
    ]);
    expect(read(FIRST)).toEqual({ datagrams: ["left"], isWhole: false });
  });

  test("says what is wrong with the directory, and goes on when it is mended", () => {
    const path = open();
    rmSync(CONFIG.directory, { recursive: true });
    nowMs += 10_000;
    const missing = `cannot write to ${CONFIG.directory}: there is no such directory`;
    expect(path.write([HALF])).toEqual({ written: 0, error: missing });
    mkdirSync(CONFIG.directory);
    nowMs += 10_000;
    expect(path.write([HALF])).toEqual({ written: 1 });
    path.close();
  });
});
