// The users of a listening source: a file of NAME:HASH lines, argon2 or bcrypt, as `tidegate-send passwd` writes it. It
// is read again when it has changed; a file that cannot be used leaves the users as they were. Checks of passwords are
// bounded in number, because each costs memory and time on purpose; a password that was right once is known by a keyed digest.
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { statSync } from "node:fs";
import type { Problem } from "../../../../shared/config/fault.ts";
import { readSecretFile } from "../../../../shared/config/secret-file.ts";

const HASH = /^\$(argon2(id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$|2[aby]\$\d\d\$)[A-Za-z0-9+/.$=]{20,200}$/;
const USERS_MAX = 100_000;
const LOOK_AGAIN_MS = 1000;
/** At a time; more wait, up to the queue's length. */
const CHECKS_MAX = 2;
const QUEUE_MAX = 256;
const KNOWN_MAX = 10_000;

export type Users = ReadonlyMap<string, string>;
export type UsersRead = { readonly ok: true; readonly users: Users } | ({ readonly ok: false } & Problem);

/** The users by name, with their hashes, or what is wrong with the file. */
export function readUsers(path: string): UsersRead {
  const read = readSecretFile(path);
  if (!read.ok) return read;
  const allowed = "must have lines NAME:HASH, as tidegate-send passwd writes them";
  const users = new Map<string, string>();
  const lines = new TextDecoder().decode(read.secret.reveal()).split("\n");
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const at = `${path} line ${index + 1}`;
    const colon = line.indexOf(":");
    const [name, hash] = [line.slice(0, colon), line.slice(colon + 1).trim()];
    if (colon < 1) return { ok: false, problem: `${at} has no name before a colon`, allowed };
    if (!HASH.test(hash)) return { ok: false, problem: `${at} has no argon2 or bcrypt hash`, allowed };
    if (users.has(name)) return { ok: false, problem: `${at} has a name that is there already`, allowed };
    users.set(name, hash);
  }
  if (users.size > USERS_MAX)
    return {
      ok: false,
      problem: `${path} has ${users.size} users`,
      allowed: `must have ${USERS_MAX} at most`,
    };
  return { ok: true, users };
}

/** With the hash that the password fitted: the client may stay as long as its user has it. */
export type Judgement =
  | { readonly verdict: "right"; readonly hash: string }
  | { readonly verdict: "wrong" | "busy" };

export class UserDesk {
  readonly #path: string;
  readonly #onRead: (problem: string | undefined) => void;
  #users: Users;
  #version: string;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #running = 0;
  readonly #queue: (() => void)[] = [];
  readonly #key = randomBytes(32);
  /** Digests of name, hash and password that belong together. */
  readonly #known = new Map<string, Buffer>();

  /** `onRead`: the file has changed and was read; the problem, if it could not be used. */
  constructor(path: string, users: Users, onRead: (problem: string | undefined) => void) {
    this.#path = path;
    this.#users = users;
    this.#version = stamp(path);
    this.#onRead = onRead;
  }

  async judge(name: string, password: Uint8Array, nowMs: number): Promise<Judgement> {
    this.refresh(nowMs);
    const hash = this.#users.get(name);
    const digest = createHmac("sha256", this.#key)
      .update(`${name.length}:${name}${hash}`)
      .update(password)
      .digest();
    const known = this.#known.get(name);
    if (hash !== undefined && known !== undefined && timingSafeEqual(known, digest))
      return { verdict: "right", hash };
    if (this.#queue.length >= QUEUE_MAX) return { verdict: "busy" };
    if (this.#running >= CHECKS_MAX) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#running++;
    try {
      // An unknown name takes as long as a known one, so that nobody can find out which there are.
      const isRight = await verify(password, hash ?? this.#anyHash());
      if (!isRight || hash === undefined) return { verdict: "wrong" };
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(name, digest);
    return { verdict: "right", hash };
  }

  /** Whether the user is there and has this password still. */
  stands(name: string, hash: string): boolean {
    return this.#users.get(name) === hash;
  }

  #anyHash(): string {
    for (const hash of this.#users.values()) return hash;
    return "$2b$10$abcdefghijklmnopqrstuuPzbY4mO0Xy5m1z4m8s0y5cH8b1j8h6e";
  }

  /** Reads the file again when it has changed. */
  refresh(nowMs: number): void {
    if (nowMs - this.#lookedMs < LOOK_AGAIN_MS) return;
    this.#lookedMs = nowMs;
    const version = stamp(this.#path);
    if (version === this.#version) return;
    this.#version = version;
    const read = readUsers(this.#path);
    if (read.ok) this.#users = read.users;
    this.#onRead(read.ok ? undefined : read.problem);
  }
}

async function verify(password: Uint8Array, hash: string): Promise<boolean> {
  try {
    return password.length > 0 && (await Bun.password.verify(password, hash));
  } catch {
    return false;
  }
}

function stamp(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? "" : `${stat.mtimeMs} ${stat.size} ${stat.ino}`;
}
