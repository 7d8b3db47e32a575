// All edge nodes as they speak on the business side: which connection each has, who is born there, and when it is born again.
//
//   shared     one connection for all; its will is the death of one of them
//   per-node   one each, as many as the profile allows, opened at a bounded rate; who has none shares the main one
import type { BrokerWill } from "../../../../shared/mqtt/connection.ts";
import type { ConnectionFault } from "../../../../shared/mqtt/explain.ts";
import type { Payload } from "../../../../shared/sparkplug/payload.ts";
import type { SparkplugSettings } from "../../types/sparkplug.ts";
import type { BirthReason } from "./figures.ts";
import type { KnownNode } from "./known-node.ts";
import { Line, type LineEvents, type OpenSession } from "./line.ts";
import type { Command } from "./session.ts";
import type { Settle } from "./settling.ts";
import { Voice, type VoiceRim } from "./voice.ts";

export type SpeakerRim = VoiceRim & {
  steady(): number;
  nextBdSeq(unit: string): number;
  /** `known`: whose connection it is; undefined: the main one. */
  open(known: KnownNode | undefined): OpenSession;
  /** The will of the main connection where no node's death is it. */
  mainWill(): BrokerWill | undefined;
  /** The main connection is there, or another. */
  online(known: KnownNode | undefined, refused: readonly string[]): void;
  offline(known: KnownNode | undefined, fault: ConnectionFault, retryMs: number): void;
  /** `line`: where it was heard; the main one may hear what is for a node with one of its own. */
  command(command: Command, line: Line): void;
  oversizeCommand(): void;
  protocolError(reason: string): void;
  drained(): void;
  /** A node gets no connection of its own. */
  noLine(known: KnownNode, why: string): void;
};

/** Connections that are opened in a second. */
const LINES_PER_SECOND = 50;
/** A node that gets no connection in so many attempts, while the main one is there, speaks over that. */
const FAILURES_MAX = 5;
/** Fewer, when it is its login that is refused. */
const REFUSALS_MAX = 3;
const REFUSALS: ReadonlySet<string> = new Set(["auth", "client-id", "banned"]);
const GOODBYE_MS = 2000;
/** Bytes that may wait for a socket when a host's wish for a birth is met. */
const ASKED_WAITING_BYTES_MAX = 4_194_304;

export class Speaker {
  readonly #settings: SparkplugSettings;
  readonly #rim: SpeakerRim;
  readonly main: Line;
  readonly births: Record<BirthReason, number> = {
    connected: 0,
    asked: 0,
    gap: 0,
    snapshot: 0,
    "link-up": 0,
  };
  readonly #voices = new Map<KnownNode, Voice>();
  readonly #lines = new Map<Voice, Line>();
  /** Asked too soon after their last birth. */
  readonly #asked = new Set<Voice>();
  /** Voices that are to get a line of their own. */
  readonly #wanting = new Set<Voice>();
  readonly #failures = new Map<KnownNode, number>();
  #lineTokens = LINES_PER_SECOND;
  #tickMs = 0;
  /** The link is down for so long that all are held for dead. */
  #isSilent = false;
  #isClosing = false;

  constructor(settings: SparkplugSettings, rim: SpeakerRim) {
    this.#settings = settings;
    this.#rim = rim;
    this.main = new Line(
      {
        unit: "",
        willNode: () => (this.isShared ? this.#firstAlive() : undefined),
        otherWill: () => rim.mainWill(),
        nextBdSeq: (unit) => rim.nextBdSeq(unit),
        wall: () => rim.wall(),
      },
      rim.open(undefined),
      this.#events(undefined, () => this.main),
    );
  }

  get isShared(): boolean {
    return this.#settings.connections === "shared";
  }

  get isSilent(): boolean {
    return this.#isSilent;
  }

  get lines(): number {
    return this.#lines.size + 1;
  }

  get born(): number {
    let count = 0;
    for (const { isBorn } of this.#voices.values()) if (isBorn) count++;
    return count;
  }

  /** Messages that wait for a connection. */
  get waiting(): number {
    let sum = 0;
    for (const voice of this.#voices.values()) sum += voice.waiting;
    return sum;
  }

  get waitingBytes(): number {
    let sum = this.main.session.waitingBytes;
    for (const { session } of this.#lines.values()) sum += session.waitingBytes;
    return sum;
  }

  /** All that are alive, or that hosts hold for alive, get a voice; then the connections are opened. */
  begin(nodes: Iterable<KnownNode>): void {
    for (const known of nodes) if (known.isOnline || known.publishedBdSeq !== undefined) this.voice(known);
    this.main.session.connect();
  }

  voice(known: KnownNode): Voice {
    const found = this.#voices.get(known);
    if (found !== undefined) {
      this.#connect(found);
      return found;
    }
    const voice = new Voice(known, this.#rim);
    this.#voices.set(known, voice);
    this.#connect(voice);
    return voice;
  }

  find(known: KnownNode): Voice | undefined {
    return this.#voices.get(known);
  }

  /** Born again from what is known, all devices included. */
  birth(known: KnownNode, reason: BirthReason, settle?: Settle): void {
    const voice = this.voice(known);
    if (this.#isSilent || !known.isOnline) {
      settle?.("forwarded");
      return;
    }
    this.births[reason]++;
    voice.birth(this.#rim.steady(), settle);
  }

  death(known: KnownNode, settle?: Settle): void {
    const voice = this.#voices.get(known);
    if (voice === undefined) settle?.("forwarded");
    else this.#bury(voice, settle);
  }

  /** Says so, now or when its connection is there, and gives that up then. */
  #bury(voice: Voice, settle?: Settle): void {
    voice.death(settle);
    if (voice.known.publishedBdSeq === undefined) this.#endLine(voice);
  }

  /** The birth as it came from the far side. */
  firstBirth(known: KnownNode, payload: Payload, settle: Settle): void {
    const voice = this.voice(known);
    if (this.#isSilent) settle("forwarded");
    else voice.firstBirth(this.#rim.steady(), payload, settle);
  }

  /** It is followed no more. */
  forget(known: KnownNode): void {
    const voice = this.#voices.get(known);
    if (voice === undefined) return;
    this.#bury(voice);
    this.#endLine(voice);
    this.#voices.delete(known);
    this.#asked.delete(voice);
    this.#failures.delete(known);
  }

  /** True while nobody shares the main connection. */
  get isMainIdle(): boolean {
    if (this.isShared) return false;
    for (const { line } of this.#voices.values()) if (line === this.main) return false;
    return true;
  }

  /** A host asks; false when there is nobody to be born. */
  ask(known: KnownNode): boolean {
    const voice = this.#voices.get(known);
    if (voice?.isBorn !== true) return false;
    const earliestMs = voice.bornSteadyMs + this.#settings.rebirthMinMs;
    if (this.#rim.steady() >= earliestMs && !isBehind(voice)) this.birth(known, "asked");
    else {
      voice.rebirthAtMs ??= earliestMs;
      this.#asked.add(voice);
    }
    return true;
  }

  /** A host application has come: it may know nobody. */
  askAll(): void {
    for (const known of this.#voices.keys()) this.ask(known);
  }

  /** The link has been down for long: all are dead as far as anybody knows. Or it is up again. */
  setSilent(isSilent: boolean): void {
    if (isSilent === this.#isSilent) return;
    this.#isSilent = isSilent;
    for (const [known, voice] of this.#voices) {
      if (isSilent) this.#bury(voice);
      else if (known.isOnline) this.birth(known, "link-up");
    }
    this.#claimWill();
  }

  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void {
    this.#lineTokens = Math.min(
      LINES_PER_SECOND,
      this.#lineTokens + ((steadyMs - this.#tickMs) / 1000) * LINES_PER_SECOND,
    );
    this.#tickMs = steadyMs;
    this.main.session.tick(steadyMs);
    for (const { session } of this.#lines.values()) session.tick(steadyMs);
    for (const voice of this.#wanting) {
      if (this.#lineTokens < 1) break;
      this.#lineTokens--;
      this.#wanting.delete(voice);
      this.#openLine(voice);
    }
    for (const voice of this.#asked) {
      const { rebirthAtMs, isBorn, known } = voice;
      if (rebirthAtMs !== undefined && (steadyMs < rebirthAtMs || isBehind(voice))) continue;
      this.#asked.delete(voice);
      // Meanwhile it may have been born for another reason.
      if (rebirthAtMs !== undefined && isBorn) this.birth(known, "asked");
    }
  }

  /** Every connection is replaced by one with the login and certificates of now. */
  renew(): void {
    for (const line of [this.main, ...this.#lines.values()]) this.#renewLine(line);
  }

  /** All die in good order, then the connections end. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.#wanting.clear();
    for (const [known, voice] of this.#voices) if (known.publishedBdSeq !== undefined) voice.death();
    const lines = [this.main, ...this.#lines.values()];
    await Promise.all(lines.map(({ session, willKey }) => session.close(graceMs, willKey !== undefined)));
  }

  #firstAlive(): KnownNode | undefined {
    if (this.#isSilent) return undefined;
    for (const known of this.#voices.keys()) if (known.isOnline) return known;
    return undefined;
  }

  #connect(voice: Voice): void {
    if (voice.line !== undefined || this.#wanting.has(voice) || this.#isClosing) return;
    const { known } = voice;
    if (this.isShared || (this.#failures.get(known) ?? 0) >= FAILURES_MAX) voice.line = this.main;
    else if (this.#lines.size + this.#wanting.size >= this.#settings.connectionsMax) {
      voice.line = this.main;
      this.#rim.noLine(known, `${this.#settings.connectionsMax} edge nodes have one each`);
    } else this.#wanting.add(voice);
    if (voice.line !== this.main) return;
    this.#claimWill();
    // It was not asked to listen while nobody spoke over it.
    if (!this.isShared && !this.main.session.isListening) this.#renewLine(this.main);
  }

  /** The death of the first one is to be the will of the shared connection, and that has to be said when connecting. */
  #claimWill(): void {
    if (!this.isShared || this.main.willKey !== undefined || this.#firstAlive() === undefined) return;
    this.#renewLine(this.main);
  }

  #openLine(voice: Voice): void {
    const { known } = voice;
    const line: Line = new Line(
      {
        unit: known.key,
        willNode: () => known,
        otherWill: () => undefined,
        nextBdSeq: (unit) => this.#rim.nextBdSeq(unit),
        wall: () => this.#rim.wall(),
      },
      this.#rim.open(known),
      this.#events(voice, () => line),
    );
    voice.line = line;
    this.#lines.set(voice, line);
    line.session.connect();
  }

  #endLine(voice: Voice): void {
    this.#wanting.delete(voice);
    const line = this.#lines.get(voice);
    if (line === undefined) return;
    this.#lines.delete(voice);
    voice.line = undefined;
    void line.session.close(GOODBYE_MS, true);
  }

  /** Says goodbye as those do who speak over it, and connects again. */
  #renewLine(line: Line): void {
    if (!line.session.isOnline) return;
    for (const voice of this.#voices.values()) {
      if (voice.line !== line) continue;
      if (voice.isBorn) voice.death();
      voice.lose();
    }
    line.session.renew();
  }

  #events(owner: Voice | undefined, line: () => Line): LineEvents {
    const rim = this.#rim;
    return {
      command: (command) => rim.command(command, line()),
      oversize: () => rim.oversizeCommand(),
      protocolError: (reason) => rim.protocolError(reason),
      drained: () => rim.drained(),
      online: (_broker, refused) => {
        rim.online(owner?.known, refused);
        if (owner !== undefined) this.#failures.delete(owner.known);
        this.#greet(line());
      },
      offline: (fault, retryMs) => {
        for (const voice of this.#voices.values()) if (voice.line === line()) voice.lose();
        rim.offline(owner?.known, fault, retryMs);
        if (owner !== undefined && this.main.session.isOnline) this.#noteFailure(owner, fault);
      },
    };
  }

  /** Births of all that speak over this line; and deaths of those that the hosts hold for alive. */
  #greet(line: Line): void {
    for (const [known, voice] of this.#voices) {
      if (voice.line !== line) continue;
      voice.lose();
      if (known.isOnline && !this.#isSilent) this.birth(known, "connected");
      else this.#bury(voice);
    }
  }

  /** It alone gets none: rather without a will of its own than not at all. */
  #noteFailure(voice: Voice, fault: ConnectionFault): void {
    const { known } = voice;
    const count = (this.#failures.get(known) ?? 0) + 1;
    this.#failures.set(known, count);
    if (count < (REFUSALS.has(fault.id) ? REFUSALS_MAX : FAILURES_MAX)) return;
    this.#failures.set(known, FAILURES_MAX);
    this.#rim.noLine(known, fault.sentence);
    this.#endLine(voice);
    this.#connect(voice);
    if (voice.canSpeak && known.isOnline && !this.#isSilent) this.birth(known, "connected");
  }
}

/** Its broker asks faster than it reads: more births would only pile up here. */
function isBehind({ line }: Voice): boolean {
  return line !== undefined && line.session.waitingBytes > ASKED_WAITING_BYTES_MAX;
}
