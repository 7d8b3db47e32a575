// Tells a target's broker how the link is: a JSON document on a topic of the operator's choice, when the target has
// connected, when the link's state changes, and every interval. None of these messages came over the link: they are
// counted here and in no ledger. Pure; refuses to have more than one of them under way.
import type { Message, Qos } from "../../../shared/message.ts";

export type StatusSettings = {
  readonly topic: string;
  readonly intervalSeconds: number;
  readonly retain: boolean;
  readonly qos: Qos;
  /** The broker says "offline" there when the connection ends without a goodbye. */
  readonly will: boolean;
};

export type BeaconRim = {
  /** The wall clock. */
  clock(): number;
  /** Its change makes a message due. */
  linkState(): string;
  describe(): object;
  publish(message: Message, onSettled: (isForwarded: boolean, isPoison: boolean) => void): void;
};

export class StatusBeacon {
  readonly #settings: StatusSettings;
  readonly #rim: BeaconRim;
  #isUp = false;
  #underWay = false;
  /** The broker ends the connection over it: not again in this run. */
  #isBanned = false;
  #toldState: string | undefined;
  #toldMs = 0;
  #published = 0;
  #lost = 0;

  constructor(settings: StatusSettings, rim: BeaconRim) {
    this.#settings = settings;
    this.#rim = rim;
  }

  get published(): number {
    return this.#published;
  }

  get lost(): number {
    return this.#lost;
  }

  /** The target has connected: what it knows may be old. */
  noteUp(): void {
    this.#isUp = true;
    this.#toldState = undefined;
  }

  noteDown(): void {
    this.#isUp = false;
  }

  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void {
    if (!this.#isUp || this.#underWay || this.#isBanned) return;
    const isDue = steadyMs - this.#toldMs >= this.#settings.intervalSeconds * 1000;
    const linkState = this.#rim.linkState();
    if (linkState === this.#toldState && !isDue) return;
    this.#toldState = linkState;
    this.#toldMs = steadyMs;
    this.#publish(this.#rim.describe());
  }

  /** The last word before a goodbye, after which a broker publishes no will. */
  sayStopped(): void {
    if (this.#isUp && !this.#isBanned) this.#publish({ ...this.#rim.describe(), state: "stopped" });
  }

  /** What the broker is to say when we have gone without a goodbye. */
  get will() {
    const { topic, qos, retain, will } = this.#settings;
    if (!will) return undefined;
    return { topic, payload: Buffer.from(JSON.stringify({ state: "offline" })), qos, retain };
  }

  #publish(document: object): void {
    const { topic, qos, retain } = this.#settings;
    const time = this.#rim.clock();
    const payload = Buffer.from(JSON.stringify({ time: new Date(time).toISOString(), ...document }));
    this.#underWay = true;
    const message: Message = { topic, payload, qos, retain, properties: undefined, acceptedMs: time };
    this.#rim.publish(message, (isForwarded, isPoison) => {
      this.#underWay = false;
      this.#isBanned ||= isPoison;
      if (isForwarded) this.#published++;
      else this.#lost++;
    });
  }
}
