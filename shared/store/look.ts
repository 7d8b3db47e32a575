// Opens a log to look only, and leaves nothing behind: neither in the file nor beside it, where it may be evidence.
//
//   no write-ahead log       nobody writes, and nothing is laid over the file: it is read as it is
//   one, and its index       an agent has it open, or was killed: read beside it
//   one without its index    a copy: SQLite would put an index beside it, so a copy of the copy is read, and thrown away
import { constants, Database } from "bun:sqlite";
import {
  copyFileSync,
  existsSync,
  constants as fileConstants,
  mkdtempSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export type Look = { readonly db: Database; close(): void };

export function openToLook(file: string): Look {
  if (!existsSync(`${file}-wal`)) {
    const address = `${pathToFileURL(file).href}?immutable=1`;
    const db = new Database(address, constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI);
    return { db, close: () => {} };
  }
  if (existsSync(`${file}-shm`)) {
    return { db: new Database(file, { readonly: true, strict: true }), close: () => {} };
  }
  return openCopy(file);
}

function openCopy(file: string): Look {
  const suffixes = ["", "-wal"];
  const needed = suffixes.reduce((sum, suffix) => sum + statSync(file + suffix).size, 0);
  const { bavail, bsize } = statfsSync(tmpdir());
  if (needed > bavail * bsize) {
    throw new Error(
      `it is a copy with a write-ahead log, and ${tmpdir()} has no room for another copy: set TMPDIR to a directory with ${needed} bytes`,
    );
  }
  const directory = mkdtempSync(join(tmpdir(), "tidegate-look-"));
  const close = () => rmSync(directory, { recursive: true, force: true });
  try {
    const copy = join(directory, "log.db");
    for (const suffix of suffixes) copyFileSync(file + suffix, copy + suffix, fileConstants.COPYFILE_FICLONE);
    return { db: new Database(copy, { readonly: true, strict: true }), close };
  } catch (error) {
    close();
    throw error;
  }
}
