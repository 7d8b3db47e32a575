// What is known of the edge nodes, on disk: births with current values, one row a node or device, in the form of the send
// agent's snapshots; and the bdSeq of each connection. So that a restarted receiver tells complete births at once.
// Each row has a checksum; one that is damaged is left out, a file that is damaged is put aside and begun anew: the next
// snapshots complete it. Never a reason to stop.
import { Database } from "bun:sqlite";
import { existsSync, renameSync, rmSync } from "node:fs";
import { crc32 } from "node:zlib";
import { begin } from "../../../../shared/sparkplug/birth.ts";
import { parsePayload } from "../../../../shared/sparkplug/payload.ts";
import { readMark, takeSnapshot } from "../../../../shared/sparkplug/snapshot.ts";
import type { Durability } from "../../../../shared/store/block-log.ts";
import { KnownNode, NODE_PART, type NodeMemo } from "./known-node.ts";
import type { KnownNodes } from "./known-nodes.ts";
import { withoutMark } from "./snapshots.ts";

const BD_SEQ_COUNT = 256;
const FORMAT = 1;
/** The write-ahead log is cut back to this when it is empty. */
const WAL_BYTES_KEPT = 16_777_216;
const NEWEST = "newest";
const SNAPSHOTS_SEEN = "snapshots-seen";

type Row = {
  readonly key: string;
  readonly memo: string;
  readonly payload: Uint8Array;
  readonly sum: number;
};

export type MemoryEvents = {
  /** The file was damaged; it was begun anew. */
  damaged(why: string): void;
  /** Rows were left out. */
  incomplete(rows: number): void;
};

export class Memory {
  readonly #file: string;
  readonly #durability: Durability;
  readonly #events: MemoryEvents;
  #db: Database;

  /** Throws what the disk says when it cannot even begin anew. */
  constructor(file: string, durability: Durability, events: MemoryEvents) {
    this.#file = durability === "memory" ? ":memory:" : file;
    this.#durability = durability;
    this.#events = events;
    this.#db = this.#open();
  }

  #open(): Database {
    try {
      return openDatabase(this.#file, this.#durability);
    } catch (error) {
      this.#putAside(error);
      return openDatabase(this.#file, this.#durability);
    }
  }

  #putAside(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    for (const end of ["-wal", "-shm"]) rmSync(`${this.#file}${end}`, { force: true });
    if (existsSync(this.#file)) renameSync(this.#file, `${this.#file}.damaged`);
    this.#events.damaged(why);
  }

  /** Puts all that is kept into `nodes`. */
  load(nodes: KnownNodes): void {
    let rows: Row[];
    try {
      rows = this.#db.query("SELECT key, memo, payload, sum FROM part ORDER BY key").all() as Row[];
      nodes.hasSnapshots = this.#value(SNAPSHOTS_SEEN) === "1";
      const [id, index] = (this.#value(NEWEST) ?? "").split(":").map(Number);
      if (id !== undefined && index !== undefined) nodes.newest = { id, index };
    } catch (error) {
      this.#db.close();
      this.#putAside(error);
      this.#db = openDatabase(this.#file, this.#durability);
      return;
    }
    const incomplete = rows.filter((row) => !restoreRow(nodes, row)).length;
    if (incomplete > 0) this.#events.incomplete(incomplete);
  }

  /** Keeps what has changed; how many bytes that was. Throws what the disk says; then it is to be called again. */
  save(nodes: KnownNodes): number {
    const { dirty, gone } = nodes.changes;
    let bytes = 0;
    this.#db.transaction(() => {
      for (const key of gone) {
        this.#db.query("DELETE FROM part WHERE key = ?1 OR (key > ?1 || '/' AND key < ?1 || '0')").run(key);
        this.#db.query("DELETE FROM value WHERE name = ?1").run(`bdseq/${key}`);
      }
      for (const [known, parts] of dirty) for (const part of parts) bytes += this.#savePart(known, part);
      this.#setValue(NEWEST, `${nodes.newest.id}:${nodes.newest.index}`);
      if (nodes.hasSnapshots) this.#setValue(SNAPSHOTS_SEEN, "1");
    })();
    nodes.noteKept();
    return bytes;
  }

  /** The number of the next connection: 0 at first, one more each time, 0 again after 255 [tck-id-topics-nbirth-bdseq-increment]. */
  nextBdSeq(unit: string): number {
    const key = `bdseq/${unit}`;
    try {
      const last = this.#value(key);
      const next = last === undefined ? 0 : (Number(last) + 1) % BD_SEQ_COUNT;
      this.#setValue(key, String(next));
      return next;
    } catch {
      // A disk that takes nothing: a number that nobody expects is better than no connection.
      return Math.floor(Date.now() / 1000) % BD_SEQ_COUNT;
    }
  }

  close(): void {
    this.#db.close();
  }

  #savePart(known: KnownNode, part: string): number {
    // In place of the time of the snapshot: since when the life is as it is, by the clock over there.
    const sinceMs = known.life(part)?.sinceMs ?? 0;
    const payload = takeSnapshot(known.edge, part === NODE_PART ? undefined : part, sinceMs);
    if (payload === undefined) return 0;
    const key = part === NODE_PART ? known.key : `${known.key}/${part}`;
    const memo = part === NODE_PART ? JSON.stringify(known.memo) : "";
    this.#db
      .query("INSERT OR REPLACE INTO part (key, memo, payload, sum) VALUES (?1, ?2, ?3, ?4)")
      .run(key, memo, payload, sumRow(key, memo, payload));
    return payload.length;
  }

  #value(name: string): string | undefined {
    const row = this.#db.query("SELECT text FROM value WHERE name = ?1").get(name) as { text: string } | null;
    return row?.text;
  }

  #setValue(name: string, text: string): void {
    this.#db.query("INSERT OR REPLACE INTO value (name, text) VALUES (?1, ?2)").run(name, text);
  }
}

function openDatabase(file: string, durability: Durability): Database {
  const db = new Database(file, { create: true, strict: true });
  try {
    db.run("PRAGMA journal_mode = WAL");
    // As the spool: a cursor that survives a power cut must not be ahead of the values that it stands for.
    db.run(`PRAGMA synchronous = ${durability === "fsync" ? "FULL" : "NORMAL"}`);
    db.run(`PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}`);
    const { user_version: format } = db.query("PRAGMA user_version").get() as { user_version: number };
    if (format !== 0 && format !== FORMAT) throw new Error(`its format is ${format}, must be ${FORMAT}`);
    db.run(`PRAGMA user_version = ${FORMAT}`);
    db.run(
      "CREATE TABLE IF NOT EXISTS part (key TEXT PRIMARY KEY, memo TEXT NOT NULL, payload BLOB NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID",
    );
    db.run("CREATE TABLE IF NOT EXISTS value (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function sumRow(key: string, memo: string, payload: Uint8Array): number {
  return crc32(payload, crc32(`${key}\0${memo}`));
}

/** Rows come in order, a node before its devices. False when this one is damaged, or what it belongs to is not there. */
function restoreRow(nodes: KnownNodes, { key, memo, payload, sum }: Row): boolean {
  if (sumRow(key, memo, payload) !== sum) return false;
  const parsed = parsePayload(payload);
  const mark = typeof parsed === "string" ? "no-mark" : readMark(parsed);
  const [group = "", node = "", device] = key.split("/");
  if (typeof parsed === "string" || typeof mark === "string") return false;
  const life = {
    ...begin(withoutMark(parsed), Number(mark.takenMs)),
    timestamp: mark.birthTimestamp,
    isOnline: mark.isOnline,
  };
  if (device !== undefined) {
    const known = nodes.find(group, node);
    if (known === undefined) return false;
    known.edge.devices.set(device, life);
    nodes.restore(known);
    return true;
  }
  const known = new KnownNode(group, node);
  known.edge.life = life;
  known.edge.bdSeq = mark.bdSeq;
  known.edge.seq = mark.seq;
  known.edge.isComplete = mark.isComplete;
  known.memo = JSON.parse(memo) as NodeMemo;
  nodes.restore(known);
  return true;
}
