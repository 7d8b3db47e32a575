// Logs for tests: rows that can be told from one another, in a directory of their own, and ways to damage the file.
import { Database } from "bun:sqlite";
import {
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { BlockLog } from "../../../../shared/store/block-log.ts";
import { makePayload } from "../../../support/payloads.ts";

export const PAGE = 4096;

/** The content of row `id`: up to 400 bytes, or, for every seventh, a few pages, or so much that it lies in a segment. */
export function makeContent(id: number): Buffer {
  const part = makePayload(id);
  return id % 7 === 0 ? Buffer.concat(Array.from({ length: id % 2 === 0 ? 60 : 400 }, () => part)) : part;
}

/** Appends rows `from` to `to` of stream 0, ten sequences each, and the values that go with them. */
export function appendRows(log: BlockLog, from: number, to: number): void {
  for (let id = from; id <= to; id++) {
    log.write(() => {
      const facts = { stream: 0, first: (id - 1) * 10, count: 10, skip: 0, timeMs: id, clockDifferenceMs: 0 };
      log.append({ ...facts, content: makeContent(id) });
      log.setValue("next", String(id * 10));
      log.setValue(`key.${id % 50}`, `value of ${id}`);
    });
  }
}

/** As a power cut would leave it: what is in the files at this moment. */
export function copyLog(from: string, to: string, name: string): void {
  mkdirSync(to, { recursive: true });
  for (const suffix of ["", "-wal", "-shm"]) {
    if (existsSync(join(from, name + suffix)))
      copyFileSync(join(from, name + suffix), join(to, name + suffix));
  }
  for (const segment of readdirSync(from).filter((each) => each.startsWith(`${name}.segment-`)))
    copyFileSync(join(from, segment), join(to, segment));
}

/** Takes the second copy of what rows say away, and its pages with it. */
export function forgetIndex(file: string): void {
  const db = new Database(file);
  for (const index of ["block_sequence", "block_segment"]) db.run(`DROP INDEX ${index}`);
  db.run("VACUUM");
  db.close();
}

/** Changes bytes of a file in place. */
export function alterFile(
  path: string,
  alter: (read: (at: number) => number, write: (at: number, byte: number) => void, size: number) => void,
): void {
  const fd = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  alter(
    (at) => {
      readSync(fd, byte, 0, 1, at);
      return byte[0] ?? 0;
    },
    (at, value) => {
      writeSync(fd, Buffer.from([value & 0xff]), 0, 1, at);
    },
    fstatSync(fd).size,
  );
  closeSync(fd);
}

/** A small generator of repeatable numbers below `limit`. */
export function makeRandom(seed: number): (limit: number) => number {
  let state = seed * 2654435761 + 1;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
}
