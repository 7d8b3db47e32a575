// All sessions of a listening source: who takes which over, when they end, when a will is due [MQTT5 3.1.2.5, 4.1].
// Bounded: over its maximum the session that has been without a connection for longest goes. Wills are kept in the
// journal before their client is accepted, so that one whose client the agent's own death cut off is published at the next start.
import type { Connect, Will } from "../../../../shared/mqtt/connect-packet.ts";
import { ACK } from "../../../../shared/mqtt/server-packets.ts";
import type { Notes } from "../../journal.ts";
import { matchName } from "./access.ts";
import type { Keeper } from "./keeper.ts";
import { formatWill, parseRecord, parseWill, Session, type SessionClient } from "./session.ts";

/** A session expiry that means never [MQTT5 3.1.2.11.2]. */
const NEVER = 0xffff_ffff;

export type BookOptions = {
  readonly source: string;
  readonly sessionsMax: number;
  readonly sessionExpirySecondsMax: number;
  /** Those that many connections may have at a time. */
  readonly sharedClientIds: readonly string[];
};

export type BookRim = {
  /** The wall clock, for what must outlast the process. */
  clock(): number;
  steady(): number;
  /** A name that no two sessions share. */
  newGeneration(): string;
  /** Sessions given up because there were too many. */
  onEvicted(clientId: string): void;
};

export type Opened = {
  readonly session: Session;
  readonly present: boolean;
  /** What must be in the journal before the client may be told. */
  readonly notes: Notes;
};

export class SessionBook {
  readonly #options: BookOptions;
  readonly #keeper: Keeper;
  readonly #rim: BookRim;
  readonly #sessions = new Map<string, Session>();
  /** Sessions without a connection, the longest away first. */
  readonly #away = new Set<Session>();

  constructor(options: BookOptions, keeper: Keeper, rim: BookRim) {
    this.#options = options;
    this.#keeper = keeper;
    this.#rim = rim;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Takes up what an earlier run has kept. Doubtful notes give up sessions, but never wills. */
  restore(trustNotes: boolean): void {
    const { source } = this.#options;
    const gone = new Map<string, undefined>();
    const byGeneration = new Map<string, Session>();
    const nowMs = this.#rim.clock();
    for (const [clientId, text] of this.#keeper.readNotes(`session/${source}/`)) {
      const record = trustNotes ? parseRecord(text) : undefined;
      const awayMs = record?.awaySinceMs ? Math.max(0, nowMs - record.awaySinceMs) : 0;
      if (record === undefined || awayMs >= record.expirySeconds * 1000) {
        gone.set(`session/${source}/${clientId}`, undefined);
        continue;
      }
      const session = new Session(source, clientId, record.generation, record.expirySeconds);
      session.record(0);
      for (const subscription of record.subscriptions) session.subscribe(...subscription);
      session.endsMs = this.#rim.steady() + record.expirySeconds * 1000 - awayMs;
      byGeneration.set(record.generation, session);
      this.#sessions.set(clientId, session);
      this.#away.add(session);
    }
    for (const name of this.#keeper.readNotes(`qos2/${source}/`).keys()) {
      const [generation = "", packetId] = name.split("/");
      const session = byGeneration.get(generation);
      if (session === undefined) gone.set(`qos2/${source}/${name}`, undefined);
      else session.setId(Number(packetId), "kept");
    }
    if (gone.size > 0) this.#keeper.note(gone, () => {});
    for (const [generation, text] of this.#keeper.readNotes(`will/${source}/`)) {
      const kept = parseWill(text);
      const session = byGeneration.get(generation);
      if (kept === undefined)
        this.#keeper.note(new Map([[`will/${source}/${generation}`, undefined]]), () => {});
      else if (session === undefined) this.#publish(kept.will, `will/${source}/${generation}`);
      else this.#scheduleWill(session, kept.will);
    }
  }

  /**
   * Gives the client its session. One whose id others use as well gets one of its own: nobody loses anything by it,
   * and it ends with its connection.
   */
  open(connect: Connect, clientId: string, expirySeconds: number, client: SessionClient): Opened {
    if (!this.#options.sharedClientIds.some((ids) => matchName(ids, clientId)))
      return this.#open(connect, clientId, expirySeconds, client);
    // No client id can have U+0000 in it [MQTT-1.5.4-2].
    const own = `${clientId}\0${this.#rim.newGeneration()}`;
    return this.#open({ ...connect, cleanStart: true }, own, 0, client);
  }

  /** Its session, as it was or new; whoever had it before loses it [MQTT-3.1.4-3]. */
  #open(connect: Connect, clientId: string, expirySeconds: number, client: SessionClient): Opened {
    const known = this.#sessions.get(clientId);
    // A will with a delay is not sent when the session goes on within it [MQTT-3.1.3-9].
    const goesOn = known?.isDurable === true && !connect.cleanStart;
    if (known?.client !== undefined) {
      const { client: old } = known;
      this.#leave(known, { keepWill: true, goesOn });
      old.takeOver();
    }
    const notes = new Map<string, string | undefined>();
    let session = goesOn && !known.hasEnded ? known : undefined;
    const present = session !== undefined;
    if (session === undefined) {
      if (known !== undefined && !known.hasEnded)
        for (const [name] of this.#end(known)) notes.set(name, undefined);
      session = new Session(this.#options.source, clientId, this.#rim.newGeneration(), 0);
      this.#makeRoom();
      this.#sessions.set(clientId, session);
    } else this.#cancelWill(session, notes);
    this.#away.delete(session);
    session.client = client;
    session.expirySeconds = this.#limitExpiry(expirySeconds);
    session.endsMs = Number.POSITIVE_INFINITY;
    if (session.isDurable) for (const [name, value] of session.record(0)) notes.set(name, value);
    else for (const [name] of session.forgetNotes()) notes.set(name, undefined);
    session.will = connect.will;
    if (connect.will !== undefined) notes.set(session.willName, formatWill(clientId, connect.will));
    return { session, present, notes };
  }

  #limitExpiry(seconds: number): number {
    const max = this.#options.sessionExpirySecondsMax;
    return seconds === NEVER ? max : Math.min(seconds, max);
  }

  /** Its connection has ended; the will stays unless the client took it back. A session that another has is left alone. */
  close(session: Session, client: SessionClient, keepWill: boolean): void {
    if (session.client !== client) return;
    this.#leave(session, { keepWill, goesOn: false });
  }

  #leave(session: Session, { keepWill, goesOn }: { keepWill: boolean; goesOn: boolean }): void {
    session.client = undefined;
    const { will } = session;
    if (will !== undefined && !keepWill) {
      session.will = undefined;
      this.#keeper.note(new Map([[session.willName, undefined]]), () => {});
    } else if (will !== undefined) this.#scheduleWill(session, will);
    if (!session.isDurable) {
      const notes = this.#end(session);
      if (notes.size > 0) this.#keeper.note(notes, () => {});
      return;
    }
    session.endsMs = this.#rim.steady() + session.expirySeconds * 1000;
    this.#away.add(session);
    if (!goesOn) this.#keeper.note(session.record(this.#rim.clock()), () => {});
  }

  /** The client wants another end for its session than it asked for at first [MQTT5 3.14.2.2.2]. */
  changeExpiry(session: Session, seconds: number): void {
    session.expirySeconds = this.#limitExpiry(seconds);
  }

  /** Keeps changed subscriptions. */
  noteChange(session: Session, onKept: () => void): void {
    if (session.isDurable) this.#keeper.note(session.record(0), onKept);
    else onKept();
  }

  /** Publishes the wills whose time has come and ends the sessions whose time is over. */
  tick(): void {
    const nowMs = this.#rim.steady();
    for (const session of this.#away) {
      if (session.will !== undefined && session.willDueMs <= nowMs) this.#publishWill(session);
      if (session.endsMs > nowMs) continue;
      const notes = this.#end(session);
      if (notes.size > 0) this.#keeper.note(notes, () => {});
    }
  }

  /** The agent stops: all connections end, and with them what has no delay. The rest waits for the next start. */
  publishWills(): void {
    for (const session of this.#sessions.values()) {
      if (session.will !== undefined && session.client !== undefined && session.will.delaySeconds === 0)
        this.#publishWill(session);
    }
  }

  #scheduleWill(session: Session, will: Will): void {
    session.will = will;
    const delayMs = Math.min(will.delaySeconds, session.expirySeconds) * 1000;
    session.willDueMs = this.#rim.steady() + delayMs;
    if (delayMs === 0) this.#publishWill(session);
  }

  #cancelWill(session: Session, notes: Map<string, string | undefined>): void {
    if (session.will !== undefined) notes.set(session.willName, undefined);
    session.will = undefined;
  }

  #publishWill(session: Session): void {
    const { will } = session;
    session.will = undefined;
    if (will !== undefined) this.#publish(will, session.willName);
  }

  /** The will goes across and out of the notes in one transaction: it is never published twice. */
  #publish(will: Will, name: string): void {
    const { topic, payload, qos, retain, properties } = will;
    const message = { topic, payload, qos, retain, properties, acceptedMs: this.#rim.clock() };
    this.#keeper.accept(this.#options.source, message, () => {}, new Map([[name, undefined]]));
  }

  /** What must go from the journal. A will that still waits for its delay is due now [MQTT-3.1.2-8]. */
  #end(session: Session): Map<string, undefined> {
    this.#publishWill(session);
    this.#away.delete(session);
    if (this.#sessions.get(session.clientId) === session) this.#sessions.delete(session.clientId);
    return session.end();
  }

  #makeRoom(): void {
    if (this.#sessions.size < this.#options.sessionsMax) return;
    const [oldest] = this.#away;
    if (oldest === undefined) return;
    this.#rim.onEvicted(oldest.clientId);
    const notes = this.#end(oldest);
    if (notes.size > 0) this.#keeper.note(notes, () => {});
  }

  /** A QoS 2 message is settled: the client is told, on whatever connection it has now. */
  settleId(session: Session, packetId: number, code: number): void {
    if (session.hasEnded) {
      // The session ended while the journal took the message: its identifier must not stay behind.
      if (session.isKept) this.#keeper.note(session.idGone(packetId), () => {});
      return;
    }
    if (code < 0x80) session.setId(packetId, "kept");
    else session.forgetId(packetId);
    session.client?.acknowledge(ACK.pubrec, packetId, code);
  }

  /** The client has released the identifier; it is told so once that is kept. */
  releaseId(session: Session, packetId: number): void {
    const done = () => {
      if (session.hasEnded) return;
      session.forgetId(packetId);
      session.client?.acknowledge(ACK.pubcomp, packetId, 0);
    };
    if (!session.isDurable) {
      done();
      return;
    }
    if (session.idState(packetId) === "releasing") return;
    session.setId(packetId, "releasing");
    this.#keeper.note(session.idGone(packetId), done);
  }
}
