// What all connections of a listening source share: configuration, sessions, users, limits, and the figures of what was
// refused. Acknowledgements that one commit has made due leave together, one write a client.
import { randomBytes } from "node:crypto";
import { type Logger, LogLimiter } from "../../../../shared/log.ts";
import { PartialBudget } from "../../../../shared/mqtt/client-stream.ts";
import { TopicCache } from "../../../../shared/mqtt/topic-cache.ts";
import type { ListenSource } from "../../listen-config.ts";
import type { AccessRule } from "./access.ts";
import { Bans } from "./bans.ts";
import type { Announcement } from "./delivery.ts";
import type { Keeper } from "./keeper.ts";
import type { ConnectionRefusal } from "./refusal.ts";
import { SessionBook } from "./session-book.ts";
import { TokenBucket } from "./token-bucket.ts";
import { UserDesk } from "./users.ts";

export type ListenRim = { readonly log: Logger; clock(): number; steady(): number };

/** What a PUBLISH may hold beside its payload: header, topic, properties. */
const PACKET_OVERHEAD_BYTES = 256 * 1024;
/** Unfinished packets of all connections together: at least this, and enough for some of the largest messages. */
const PARTIAL_BYTES_MIN = 134_217_728;
/** Accepted and not in the journal yet, QoS 1 and 2: above it clients are not read from until half of it is left. */
const WAITING_BYTES_MAX = 33_554_432;
const REFUSAL_LOG_MS = 10_000;

/** A connection, as far as the hub deals with it. */
export type HubClient = {
  /** Delivers it, when the client has subscribed to it. */
  deliver(announcement: Announcement): boolean;
  flush(): void;
  wake(): void;
  tick(nowMs: number): void;
  /** Users or access rules are others than before: it may have to go. */
  review(): void;
};

export class Hub {
  readonly book: SessionBook;
  readonly bans: Bans;
  readonly users: UserDesk | undefined;
  readonly partials: PartialBudget;
  readonly topics = new TopicCache();
  readonly clients = new Set<HubClient>();
  /** What the agent says to clients, as a broker keeps what is retained. */
  readonly retained = new Map<string, Announcement>();
  readonly refusals = new Map<ConnectionRefusal, number>();
  readonly publishBytesMax: number;
  /** What keeps the users file or a revocation list from being read, by file. */
  readonly #fileProblems = new Map<string, string>();
  #access: readonly AccessRule[];
  isPaused = false;
  sessionsEvicted = 0;
  readonly #connectionRate: TokenBucket;
  readonly #limiter = new LogLimiter(REFUSAL_LOG_MS);
  readonly #resting = new Set<HubClient>();
  #owing: HubClient[] = [];
  #waitingBytes = 0;

  constructor(
    readonly config: ListenSource,
    readonly messageBytesMax: number,
    readonly keeper: Keeper,
    readonly rim: ListenRim,
  ) {
    this.#access = config.access;
    this.publishBytesMax = messageBytesMax + PACKET_OVERHEAD_BYTES;
    this.partials = new PartialBudget(Math.max(PARTIAL_BYTES_MIN, 8 * this.publishBytesMax));
    this.bans = new Bans({
      failuresMax: config.banAfterFailures,
      windowMs: config.banWindowSeconds * 1000,
      banMs: config.banSeconds * 1000,
    });
    this.#connectionRate = new TokenBucket(config.connectionsPerSecondMax, rim.steady());
    const { usersFile, users } = config;
    if (usersFile !== undefined && users !== undefined)
      this.users = new UserDesk(usersFile, users, (problem) => {
        this.noteFileRead(usersFile, problem);
        if (problem === undefined) this.#review();
      });
    const { name: source, sessionsMax, sessionExpirySecondsMax, sharedClientIds } = config;
    this.book = new SessionBook({ source, sessionsMax, sessionExpirySecondsMax, sharedClientIds }, keeper, {
      clock: () => rim.clock(),
      steady: () => rim.steady(),
      newGeneration: () => randomBytes(8).toString("hex"),
      onEvicted: (clientId) => {
        this.sessionsEvicted++;
        this.warn("sessions-max", `the session of ${quote(clientId)} went: there were too many`);
      },
    });
  }

  /** Why a new connection must not be taken. */
  judgeArrival(address: string): ConnectionRefusal | undefined {
    const nowMs = this.rim.steady();
    if (this.bans.isBanned(address, nowMs)) return "banned";
    if (this.clients.size >= this.config.connectionsMax) return "connections-max";
    return this.#connectionRate.tryTake(nowMs) ? undefined : "connection-rate";
  }

  refuse(reason: ConnectionRefusal, address: string, detail: string): void {
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
    this.warn(reason, `a client at ${address} was refused: ${detail}`, address);
  }

  /** A failed log-in; too many of them shut the address out. */
  noteFailure(address: string): void {
    if (!this.bans.fail(address, this.rim.steady())) return;
    const { name, banSeconds } = this.config;
    const why = `source ${name}: ${address} is shut out for ${banSeconds} seconds: too many failed log-ins`;
    this.rim.log.warn({ source: name, address }, why);
  }

  warn(reason: string, sentence: string, kind = ""): void {
    const alike = this.#limiter.allow(`${reason} ${kind}`, this.rim.steady(), reason);
    if (alike === undefined) return;
    const { name } = this.config;
    this.rim.log.warn({ source: name, reason, alike }, `source ${name}: ${sentence}`);
  }

  /** Of addresses that there are too many of to have a line each. */
  #warnOfHeldBack(nowMs: number): void {
    const { name } = this.config;
    for (const [reason, held] of this.#limiter.heldBack(nowMs))
      this.rim.log.warn({ source: name, reason, alike: held }, `source ${name}: ${reason}: ${held} more`);
  }

  get fileProblem(): string | undefined {
    for (const problem of this.#fileProblems.values()) return problem;
    return undefined;
  }

  /** The users file or a revocation list has changed and was read again, or could not be. */
  noteFileRead(file: string, problem: string | undefined): void {
    const { name } = this.config;
    if (problem === undefined) {
      this.#fileProblems.delete(file);
      this.rim.log.info({ source: name, file }, `source ${name}: ${file} read again`);
      return;
    }
    this.#fileProblems.set(file, problem);
    this.rim.log.error(
      { source: name, why: problem },
      `source ${name}: cannot read again: ${problem}; what was read before stays in force`,
    );
  }

  get access(): readonly AccessRule[] {
    return this.#access;
  }

  /** Takes other access rules without a restart. */
  setAccess(access: readonly AccessRule[]): void {
    this.#access = access;
    this.rim.log.info({ source: this.config.name }, `source ${this.config.name}: access rules read again`);
    this.#review();
  }

  /** Whoever would not be let in as it is goes, before it can send another byte. */
  #review(): void {
    for (const client of [...this.clients]) client.review();
  }

  /** The client has acknowledgements to send: they go once everything that the commit settles is known. */
  owe(client: HubClient): void {
    if (this.#owing.length === 0) queueMicrotask(() => this.#flush());
    this.#owing.push(client);
  }

  #flush(): void {
    const owing = this.#owing;
    this.#owing = [];
    for (const client of owing) client.flush();
  }

  /** Bytes that wait for the journal; true when the client should rest until wake(). */
  addWaiting(bytes: number, client: HubClient): boolean {
    this.#waitingBytes += bytes;
    if (this.#waitingBytes < WAITING_BYTES_MAX) return false;
    this.#resting.add(client);
    return true;
  }

  subtractWaiting(bytes: number): void {
    this.#waitingBytes -= bytes;
    if (this.#resting.size === 0 || this.#waitingBytes > WAITING_BYTES_MAX / 2) return;
    const resting = [...this.#resting];
    this.#resting.clear();
    for (const client of resting) client.wake();
  }

  /** Says it to all clients that have subscribed to it; how many they are. */
  deliver(announcement: Announcement): number {
    let count = 0;
    for (const client of this.clients) if (client.deliver(announcement)) count++;
    return count;
  }

  forget(client: HubClient): void {
    this.clients.delete(client);
    this.#resting.delete(client);
  }

  tick(): void {
    const nowMs = this.rim.steady();
    this.users?.refresh(nowMs);
    for (const client of this.clients) client.tick(nowMs);
    if (!this.isPaused) this.book.tick();
    this.#warnOfHeldBack(nowMs);
  }
}

/** A name from outside, fit for a log. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 128 ? `${text.slice(0, 128)}…` : text);
}
