// The log on the disk in figures: commits per second, bytes written per byte of content, the time to open a file of
// gigabytes, and the memory meanwhile; beside it a bare segment file, which does no more than append and sync. Not part
// of the tests: `bun test/bench/store.ts [DIRECTORY] [GIGABYTES…]` prints a table; docs/performance.md says what it means.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { BlockLog, Durability } from "../../shared/store/block-log.ts";
import { openBlockLog } from "../../shared/store/open.ts";

const RUN_MS = 4000;
const GIGABYTE = 1024 ** 3;
const HEAD_BYTES = 64;

/** Counters and cursors that change with every row, as the journal's do. */
const VALUES = ["next.0", "sent.0", "repeated.0", "counter.source/line/accepted", "counter.source/line/kept"];

type Store = { append(content: Uint8Array, index: number): void; close(): void };

function openSqlite(directory: string, durability: Durability): Store {
  const log = openBlockLog(directory, "bench.db", durability);
  return { append: (content, index) => appendTo(log, content, index), close: () => log.close() };
}

function appendTo(log: BlockLog, content: Uint8Array, index: number): void {
  log.write(() => {
    log.append({
      stream: 0,
      first: index * 10,
      count: 10,
      skip: 0,
      timeMs: index,
      clockDifferenceMs: 0,
      content,
    });
    for (const name of VALUES) log.setValue(name, String(index));
  });
}

/** The least that any log would do: length, checksum, values and content at the end of a file, and a sync. */
function openSegment(directory: string, durability: Durability): Store {
  mkdirSync(directory, { recursive: true });
  const fd = openSync(join(directory, "bench.segment"), "a");
  return {
    append: (content, index) => {
      const values = Buffer.from(JSON.stringify(VALUES.map((name) => [name, index])));
      const record = Buffer.alloc(HEAD_BYTES + values.length + content.length);
      record.set(content, HEAD_BYTES);
      record.set(values, HEAD_BYTES + content.length);
      record.writeUInt32BE(content.length, 0);
      record.writeUInt32BE(values.length, 4);
      record.writeUInt32BE(crc32(record.subarray(HEAD_BYTES)), 8);
      writeSync(fd, record);
      if (durability === "fsync") fdatasyncSync(fd);
    },
    close: () => closeSync(fd),
  };
}

/** Opening a segment file means reading every record's checksum. */
function scanSegment(directory: string): number {
  const fd = openSync(join(directory, "bench.segment"), "r");
  const head = Buffer.alloc(HEAD_BYTES);
  let records = 0;
  for (let at = 0; readSync(fd, head, 0, HEAD_BYTES, at) === HEAD_BYTES; records++) {
    const body = Buffer.alloc(head.readUInt32BE(0) + head.readUInt32BE(4));
    readSync(fd, body, 0, body.length, at + HEAD_BYTES);
    if (crc32(body) !== head.readUInt32BE(8)) break;
    at += HEAD_BYTES + body.length;
  }
  closeSync(fd);
  return records;
}

function readWrittenBytes(): number {
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1] ?? 0);
}

function measureCommits(directory: string): void {
  const random = crypto.getRandomValues(new Uint8Array(65_536));
  for (const durability of ["fsync", "os"] as const) {
    for (const bytes of [1024, 49_152]) {
      const line: string[] = [];
      // In turns, because the disk has other users.
      for (const [name, open] of [
        ["SQLite", openSqlite],
        ["segment", openSegment],
        ["SQLite", openSqlite],
        ["segment", openSegment],
      ] as const) {
        rmSync(directory, { recursive: true, force: true });
        const store = open(directory, durability);
        const content = random.subarray(0, bytes);
        const written = readWrittenBytes();
        const began = performance.now();
        let rows = 0;
        while (performance.now() - began < RUN_MS) store.append(content, rows++);
        const seconds = (performance.now() - began) / 1000;
        store.close();
        spawnSync("sync", ["-f", directory]);
        const factor = (readWrittenBytes() - written) / (rows * bytes);
        line.push(`${name} ${Math.round(rows / seconds)}/s, ×${factor.toFixed(1)} written`);
      }
      process.stdout.write(`${durability} ${bytes} bytes: ${line.join(" | ")}\n`);
    }
  }
}

function measureOpening(directory: string, gigabytes: number): void {
  const content = crypto.getRandomValues(new Uint8Array(49_152));
  for (const bytes of [49_152, 1024]) {
    rmSync(directory, { recursive: true, force: true });
    const log = openBlockLog(directory, "bench.db", "os");
    const rows = Math.floor((gigabytes * GIGABYTE) / bytes);
    for (let index = 0; index < rows; ) {
      log.write(() => {
        for (let last = Math.min(rows, index + 256); index < last; index++)
          log.append({
            stream: 0,
            first: index,
            count: 1,
            skip: 0,
            timeMs: 0,
            clockDifferenceMs: 0,
            content: content.subarray(0, bytes),
          });
        log.setValue("next.0", String(index));
      });
    }
    log.close();
    for (const state of ["cold", "warm", "damaged"] as const) {
      if (state === "cold") dropCache();
      const began = performance.now();
      if (state === "damaged") alterLeaf(join(directory, "bench.db"));
      const again = openBlockLog(directory, "bench.db", "os");
      const ms = performance.now() - began;
      const readBegan = performance.now();
      let read = 0;
      for (let next = again.read(0, 32); next.length > 0; next = again.read(next.at(-1)?.id ?? 0, 32))
        read += next.length;
      const readMs = performance.now() - readBegan;
      const { rss } = process.memoryUsage();
      const repaired = again.repairs?.length ?? 0;
      again.close();
      process.stdout.write(
        `${gigabytes} GiB of ${bytes}-byte rows, ${state}: open ${(ms / 1000).toFixed(2)} s, read all ${(readMs / 1000).toFixed(2)} s (${read} rows, ${repaired} repairs), memory ${Math.round(rss / 1e6)} MB\n`,
      );
    }
  }
  rmSync(directory, { recursive: true, force: true });
  const segment = openSegment(directory, "os");
  for (let index = 0; index < (gigabytes * GIGABYTE) / 49_152; index++) segment.append(content, index);
  segment.close();
  dropCache();
  const began = performance.now();
  const records = scanSegment(directory);
  process.stdout.write(
    `${gigabytes} GiB segment file, cold: checked in ${((performance.now() - began) / 1000).toFixed(2)} s (${records} records)\n`,
  );
}

function dropCache(): void {
  spawnSync("sh", ["-c", "sync; echo 3 > /proc/sys/vm/drop_caches"]);
}

/** A bit in the first pages: in the tree, not in a content. */
function alterLeaf(path: string): void {
  const fd = openSync(path, "r+");
  const page = Buffer.alloc(4096);
  for (let number = Math.floor(statSync(path).size / 8192); ; number++) {
    readSync(fd, page, 0, 4096, number * 4096);
    if (page[0] !== 0x0d) continue;
    page.fill(0xff, 0, 64);
    writeSync(fd, page, 0, 64, number * 4096);
    closeSync(fd);
    return;
  }
}

const [directory = "bench-store", ...sizes] = process.argv.slice(2);
measureCommits(directory);
for (const size of sizes.length > 0 ? sizes : ["0.1", "1"]) measureOpening(directory, Number(size));
rmSync(directory, { recursive: true, force: true });
