// What we owe the broker for its PUBLISH packets: the acknowledgements of QoS 1 and 2, and the packet ids that
// make QoS 2 exactly-once [MQTT5 4.3]. It outlives connections, because a session does.
// Refuses acknowledgements of deliveries that a lost connection or session has made void: on a new connection the
// same packet id may name another message, and acknowledging that one would lose it.

import type { Qos } from "../message.ts";

/** Anything the broker waits for an acknowledgement of; compared by identity. */
export type Delivery = { readonly qos: Qos; readonly packetId: number; readonly dup: boolean };

/** deliver: new, to be acknowledged · wait: known, still uncommitted · again: known and committed. */
export type Reception = "deliver" | "wait" | "again";

const PUBACK = 0x40;
const PUBREC = 0x50;
const PUBCOMP = 0x70;
const ACK_BYTES = 4;
const COMMITTED = Symbol("committed");

export class InboundSession {
  readonly #once = new Map<number, Delivery>();
  readonly #exactly = new Map<number, Delivery | typeof COMMITTED>();
  /** QoS 2 packet ids that an earlier connection has brought. */
  readonly #earlier = new Set<number>();
  #uncommittedExactly = 0;

  /** How many deliveries the owner has not acknowledged yet. */
  get uncommittedCount(): number {
    return this.#once.size + this.#uncommittedExactly;
  }

  /** A connection is gone: the broker will send its QoS 1 messages again, as new deliveries. */
  dropConnection(): void {
    this.#once.clear();
    for (const packetId of this.#exactly.keys()) this.#earlier.add(packetId);
  }

  /** The broker has no session of ours: no packet id means anything any more [MQTT5 3.2.2.1.1]. */
  dropSession(): void {
    this.#once.clear();
    this.#exactly.clear();
    this.#earlier.clear();
    this.#uncommittedExactly = 0;
  }

  receive(delivery: Delivery): Reception {
    if (delivery.qos === 0) return "deliver";
    if (delivery.qos === 1) {
      this.#once.set(delivery.packetId, delivery);
      return "deliver";
    }
    const known = this.#exactly.get(delivery.packetId);
    if (known !== undefined && !this.#isReused(delivery)) return known === COMMITTED ? "again" : "wait";
    this.#exactly.set(delivery.packetId, delivery);
    this.#earlier.delete(delivery.packetId);
    if (known === undefined || known === COMMITTED) this.#uncommittedExactly++;
    return "deliver";
  }

  /**
   * Whether a broker that was killed, and has come back with an older state of the session, has given an id that we know
   * to another message. What it sends again on a new connection is marked [MQTT-3.3.1-1]; what is not, we do not have.
   */
  #isReused({ packetId, dup }: Delivery): boolean {
    return !dup && this.#earlier.has(packetId);
  }

  /** The bytes that acknowledge these deliveries, in their order; void ones and QoS 0 add nothing. */
  acknowledge(deliveries: Iterable<Delivery>): number[] {
    const bytes: number[] = [];
    for (const delivery of deliveries) {
      const { packetId } = delivery;
      if (delivery.qos === 1 && this.#once.get(packetId) === delivery) {
        this.#once.delete(packetId);
        pushAck(bytes, PUBACK, packetId);
      } else if (delivery.qos === 2 && this.#exactly.get(packetId) === delivery) {
        this.#exactly.set(packetId, COMMITTED);
        this.#uncommittedExactly--;
        pushAck(bytes, PUBREC, packetId);
      }
    }
    return bytes;
  }

  /** The PUBREC for a PUBLISH that came again after its commit. */
  acknowledgeAgain(packetId: number): number[] {
    return pushAck([], PUBREC, packetId);
  }

  /** The PUBCOMP for a PUBREL; an unknown packet id gets one too, so that a broker can finish [MQTT5 4.3.3]. */
  release(packetId: number): number[] | "uncommitted" {
    const known = this.#exactly.get(packetId);
    if (known !== undefined && known !== COMMITTED) return "uncommitted";
    this.#exactly.delete(packetId);
    this.#earlier.delete(packetId);
    return pushAck([], PUBCOMP, packetId);
  }
}

function pushAck(bytes: number[], type: number, packetId: number): number[] {
  // Without a reason code this is "success" in MQTT 3.1.1 and 5 alike [MQTT5 3.4.2.1].
  bytes.push(type, ACK_BYTES - 2, packetId >> 8, packetId & 0xff);
  return bytes;
}
