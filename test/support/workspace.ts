// A temporary directory for one test, and everything in it gone afterwards. Files are made with mode 0600.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export class Workspace {
  readonly directory: string;

  constructor(purpose = "test") {
    this.directory = mkdtempSync(join(tmpdir(), `tidegate-${purpose}-`));
  }

  /** The absolute path of something in here. */
  path(name: string): string {
    return join(this.directory, name);
  }

  /** Writes a file, with the folders above it, and returns its path. */
  write(name: string, content: string | Uint8Array, mode = 0o600): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content, { mode });
    return path;
  }

  read(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}
