// Retained copies of births on $sparkplug/certificates, as a Sparkplug Aware broker would keep them
// [tck-id-conformance-mqtt-aware-basic], so that a host that starts late finds them. Acknowledged one by one, few at a time, the
// newest of each topic only. A broker that refuses them, or ends the connection over them, is not asked again in this run.
import type { EdgeSession } from "./session.ts";

const PREFIX = "$sparkplug/certificates/";
const INFLIGHT_MAX = 8;
/** Connections that may end while copies are unacknowledged, before they are taken for the reason. */
const LOSSES_MAX = 3;

export class Certificates {
  readonly #session: () => EdgeSession;
  readonly #onRefused: (why: string) => void;
  readonly #waiting = new Map<string, Uint8Array>();
  #inflight = 0;
  #losses = 0;
  #isOff: boolean;
  published = 0;

  constructor(isWanted: boolean, session: () => EdgeSession, onRefused: (why: string) => void) {
    this.#isOff = !isWanted;
    this.#session = session;
    this.#onRefused = onRefused;
  }

  put(topic: string, birth: Uint8Array): void {
    if (this.#isOff) return;
    this.#waiting.delete(PREFIX + topic);
    this.#waiting.set(PREFIX + topic, birth);
    this.pump();
  }

  /** To be called when the connection is there, and now and then. */
  pump(): void {
    const session = this.#session();
    for (const [topic, payload] of this.#waiting) {
      if (this.#isOff || !session.isOnline || this.#inflight >= INFLIGHT_MAX) return;
      this.#waiting.delete(topic);
      this.#inflight++;
      session.publish({
        topic,
        payload,
        qos: 1,
        retain: true,
        done: (problem) => this.#settle(problem),
      });
    }
  }

  /** The connection has ended. */
  noteLost(): void {
    if (this.#inflight === 0) return;
    this.#inflight = 0;
    this.#losses++;
    if (this.#losses >= LOSSES_MAX) this.#refuse("the broker ends the connection over them");
  }

  #settle(problem: string | undefined): void {
    this.#inflight = Math.max(0, this.#inflight - 1);
    if (problem === undefined) {
      this.published++;
      this.#losses = 0;
      this.pump();
    } else if (this.#session().isOnline) this.#refuse(problem);
  }

  #refuse(why: string): void {
    if (this.#isOff) return;
    this.#isOff = true;
    this.#waiting.clear();
    this.#onRefused(why);
  }
}
