// The messages a target's broker has not settled: first those that wait to be sent, in order; then those of QoS 1
// and 2 that were sent, by packet id. Pure: it moves no bytes.
// Refuses acknowledgements that answer nothing we sent: the connection that brings one can't be trusted.
//
//   waiting ──► sent ──► (PUBACK) settled                       QoS 1
//      ▲         ├─────► (PUBREC) released ──► (PUBCOMP) settled  QoS 2
//      └─────────┴── the connection was lost ───┘

import type { Message, Qos } from "../message.ts";
import { type AckType, ackName, PUBACK_TYPE, PUBREC_TYPE } from "./egress-ack.ts";
import type { PublishSizes } from "./publish-encode.ts";

export type EgressOutcome =
  | { readonly kind: "forwarded" }
  /** The broker won't take this message, now or later; `reason` names the code and has the broker's own words. */
  | { readonly kind: "refused"; readonly code: number; readonly reason: string }
  /** Its lifetime ended while it waited for a connection. */
  | { readonly kind: "expired" }
  /** It is larger than the broker of this connection allows, or than MQTT can say. */
  | { readonly kind: "oversize" }
  /** The broker ends the connection whenever it gets this message. */
  | { readonly kind: "poison" };

export type Flight = {
  readonly message: Message;
  readonly onSettled: (outcome: EgressOutcome) => void;
  /** Undefined: no packet can hold it. */
  readonly sizes: PublishSizes | undefined;
  /** When it was published, for its message expiry. */
  readonly sinceMs: number;
  /** When it was sent last. */
  sentMs: number;
  /** The QoS it was sent with, which the broker may have lowered. */
  qos: Qos;
  /** The broker may have had it already, on a connection that was lost. */
  dup: boolean;
  isReleased: boolean;
};

/** release: to be answered with PUBREL · settled: done · a string: the broker breaks the protocol. */
export type AckResult = "release" | Flight | string;

export const PACKET_ID_MAX = 65_535;
/** What a waiting message costs beside its bytes. */
const FLIGHT_BYTES = 64;

export class EgressFlights {
  #waiting: Flight[] = [];
  #head = 0;
  #waitingBytes = 0;
  #waitingOpen = 0;
  readonly #sent = new Map<number, Flight>();
  #lastId = 0;

  /** Messages not settled. */
  get count(): number {
    return this.#waiting.length - this.#head + this.#sent.size;
  }

  /** QoS 1 and 2 messages not settled, sent or not: what a receive maximum limits once they are sent. */
  get openCount(): number {
    return this.#sent.size + this.#waitingOpen;
  }

  get sentCount(): number {
    return this.#sent.size;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** The message that was sent first of those that are sent and not settled. */
  get firstSent(): Flight | undefined {
    return this.#sent.values().next().value;
  }

  /** The message to be sent next. */
  get next(): Flight | undefined {
    return this.#waiting[this.#head];
  }

  add(flight: Flight): void {
    this.#waiting.push(flight);
    this.#countWaiting(flight, 1);
  }

  /** Takes out what `next` is. */
  shift(): void {
    const flight = this.#waiting[this.#head];
    if (flight === undefined) return;
    this.#countWaiting(flight, -1);
    this.#head++;
    if (this.#head < this.#waiting.length) return;
    this.#waiting = [];
    this.#head = 0;
  }

  /** The packet id under which this flight, just taken out, is sent. Fewer than 65,535 are sent already. */
  launch(flight: Flight): number {
    let id = this.#lastId;
    do id = id === PACKET_ID_MAX ? 1 : id + 1;
    while (this.#sent.has(id));
    this.#lastId = id;
    this.#sent.set(id, flight);
    return id;
  }

  /** `isRefusal`: the acknowledgement has a reason code of 0x80 or above. */
  acknowledge(type: AckType, packetId: number, isRefusal: boolean): AckResult {
    const flight = this.#sent.get(packetId);
    if (flight === undefined)
      return `${ackName(type)} has the packet identifier ${packetId}, which is not in use`;
    const isExpected =
      type === PUBACK_TYPE
        ? flight.qos === 1
        : flight.qos === 2 && flight.isReleased === (type !== PUBREC_TYPE);
    if (!isExpected) {
      const state = flight.qos === 1 ? "PUBACK" : flight.isReleased ? "PUBCOMP" : "PUBREC";
      return `${ackName(type)} came for packet identifier ${packetId}, which waits for ${state}`;
    }
    if (type === PUBREC_TYPE && !isRefusal) {
      flight.isReleased = true;
      return "release";
    }
    this.#sent.delete(packetId);
    return flight;
  }

  /**
   * The connection is gone, and with it the session: all that was sent waits again, in its order, before the rest.
   * That includes messages after PUBREC: a broker may hold them back until PUBREL, as Mosquitto does, and drops them
   * with the session. Sending them again may deliver twice; not sending them would lose some without a word.
   */
  rewind(): void {
    if (this.#sent.size === 0) return;
    const again = [...this.#sent.values()];
    this.#sent.clear();
    for (const flight of again) {
      flight.dup = true;
      flight.isReleased = false;
      this.#countWaiting(flight, 1);
    }
    this.#waiting = [...again, ...this.#waiting.slice(this.#head)];
    this.#head = 0;
  }

  #countWaiting({ message, sizes }: Flight, sign: 1 | -1): void {
    this.#waitingBytes += sign * (FLIGHT_BYTES + (sizes?.bodyBytes ?? 0));
    if (message.qos > 0) this.#waitingOpen += sign;
  }
}
