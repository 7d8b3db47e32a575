// Which UDP datagrams of a capture are Tidegate's: those that go to a port that was named, or else those whose header is one, and
// from then on all that go where such a one went, so that damaged ones are explained, too.
import { decodeHeader } from "../framing/header.ts";
import type { UdpDatagram } from "./packet.ts";

const DESTINATIONS_MAX = 4096;
const STREAM_MAX = 15;

export class Candidates {
  readonly #port: number | undefined;
  readonly #destinations = new Set<string>();

  constructor(port: number | undefined) {
    this.#port = port;
  }

  has({ destination, destinationPort, payload }: UdpDatagram): boolean {
    if (this.#port !== undefined) return destinationPort === this.#port;
    if (this.#destinations.has(destination)) return true;
    const header = decodeHeader(payload);
    if (typeof header === "string" || header.stream > STREAM_MAX) return false;
    if (this.#destinations.size < DESTINATIONS_MAX) this.#destinations.add(destination);
    return true;
  }
}
