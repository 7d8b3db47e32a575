// The little that a listening source ever delivers: what the agent itself says to Sparkplug edge nodes, their host's STATE and the
// request to be born again. Nothing that any client has published, and nothing from beyond the link, comes this way.
// One for each connection. QoS 1 is sent once: whoever missed a STATE gets it with the next subscription, as what is retained.
import type { Connect, ProtocolVersion } from "../../../../shared/mqtt/connect-packet.ts";
import { PROPERTY } from "../../../../shared/mqtt/properties.ts";
import { encodeLength } from "../../../../shared/mqtt/server-packets.ts";
import { matchTopic } from "../../../../shared/mqtt/topic.ts";
import type { Session } from "./session.ts";

export type Announcement = {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
};

const PUBLISH = 0x30;
const PACKET_ID_MAX = 65_535;

export class Delivery {
  readonly #session: Session;
  readonly #send: (packet: Buffer) => void;
  readonly #version: ProtocolVersion;
  readonly #receiveMaximum: number;
  readonly #packetBytesMax: number;
  #lastId = 0;
  #unacknowledged = 0;

  constructor(session: Session, { version, properties }: Connect, send: (packet: Buffer) => void) {
    this.#session = session;
    this.#send = send;
    this.#version = version;
    this.#receiveMaximum = properties?.receiveMaximum ?? 65_535;
    this.#packetBytesMax = properties?.maximumPacketSize ?? Number.MAX_SAFE_INTEGER;
  }

  /** Sends it when the session has subscribed to it; not to clients that take no packet so large. */
  say(announcement: Announcement, isKept = false): boolean {
    const subscriptions = this.#session.match(announcement.topic);
    if (subscriptions.length === 0) return false;
    const qos = subscriptions.some((one) => one.qos > 0) ? announcement.qos : 0;
    // What is published goes without the flag, unless the client wants it as it was [MQTT-3.3.1-12, -13].
    const retain = isKept || (announcement.retain && subscriptions.some((one) => one.retainAsPublished));
    const identifiers = subscriptions.flatMap(({ identifier }) => (identifier === 0 ? [] : [identifier]));
    const packet = this.#encode({ ...announcement, qos, retain }, identifiers);
    if (packet !== undefined) this.#send(packet);
    return packet !== undefined;
  }

  /** Sends what is retained to a client that has just subscribed with these filters [MQTT5 3.3.1.3]. */
  sayRetained(filters: readonly string[], retained: Iterable<Announcement>): void {
    for (const announcement of retained)
      if (filters.some((filter) => matchTopic(filter, announcement.topic))) this.say(announcement, true);
  }

  /** Says to a session that goes on what was said while it was away. */
  resume(retained: Iterable<Announcement>): void {
    for (const announcement of retained) this.say(announcement);
  }

  /** A PUBACK has come. */
  acknowledged(): void {
    if (this.#unacknowledged > 0) this.#unacknowledged--;
  }

  #encode(
    { topic, payload, qos: wanted, retain }: Announcement,
    identifiers: readonly number[],
  ): Buffer | undefined {
    // Over what the client takes unacknowledged [MQTT-3.3.4-9] it must do without an acknowledgement.
    const qos = this.#unacknowledged < this.#receiveMaximum ? wanted : 0;
    const name = Buffer.from(topic);
    const body: number[] = [name.length >> 8, name.length & 0xff, ...name];
    if (qos === 1) {
      this.#lastId = (this.#lastId % PACKET_ID_MAX) + 1;
      body.push(this.#lastId >> 8, this.#lastId & 0xff);
    }
    if (this.#version === 5) {
      // [MQTT-3.3.4-3]
      const properties = identifiers.flatMap((id) => [PROPERTY.subscriptionIdentifier, ...encodeLength(id)]);
      body.push(...encodeLength(properties.length), ...properties);
    }
    const length = encodeLength(body.length + payload.length);
    const packet = Buffer.concat([
      Uint8Array.from([PUBLISH | (qos << 1) | (retain ? 1 : 0), ...length, ...body]),
      payload,
    ]);
    if (packet.length > this.#packetBytesMax) return undefined;
    if (qos === 1) this.#unacknowledged++;
    return packet;
  }
}
