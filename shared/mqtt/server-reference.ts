// Where a broker sends its clients instead, in CONNACK or DISCONNECT with "use another server" or "server moved"
// [MQTT5 4.13]: a name or address with an optional port, or several of them, of which the first that can be one counts.
// It is followed while it leads somewhere; a connection or attempt there that fails leads back to the address of the
// configuration. Refuses to be sent around: after a few references without a stable connection it goes home.
import { type Endpoint, formatEndpoint, parseEndpoint } from "../config/endpoint.ts";

const USE_ANOTHER_SERVER = 0x9c;
const SERVER_MOVED = 0x9d;
const HOPS_MAX = 3;

export class ServerReference {
  readonly #home: Endpoint;
  #endpoint: Endpoint | undefined;
  #isNew = false;
  #hops = 0;

  constructor(home: Endpoint) {
    this.#home = home;
  }

  /** In place of the configured address; undefined = go there. */
  get endpoint(): Endpoint | undefined {
    return this.#endpoint;
  }

  /** What a CONNACK that refuses, or a DISCONNECT, has said. */
  note(code: number | undefined, reference: string | undefined): void {
    if (code !== USE_ANOTHER_SERVER && code !== SERVER_MOVED) return;
    const endpoint = readReference(reference, this.#home.port);
    if (endpoint === undefined || this.#hops >= HOPS_MAX) return;
    this.#hops++;
    this.#endpoint = endpoint;
    this.#isNew = true;
  }

  /** A connection or attempt has ended; returns where the next one is sent by that, for people. */
  noteEnd(): string | undefined {
    const isNew = this.#isNew;
    this.#isNew = false;
    if (isNew && this.#endpoint !== undefined) return formatEndpoint(this.#endpoint);
    if (this.#endpoint === undefined) this.#hops = 0;
    this.#endpoint = undefined;
    return undefined;
  }

  /** A connection has lasted. */
  noteStable(): void {
    this.#hops = 0;
  }
}

export function readReference(reference: string | undefined, portDefault: number): Endpoint | undefined {
  for (const each of (reference ?? "").split(" ")) {
    const endpoint = each === "" ? "" : parseEndpoint(each, portDefault);
    if (typeof endpoint !== "string" && endpoint.port > 0) return endpoint;
  }
  return undefined;
}
