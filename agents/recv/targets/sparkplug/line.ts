// A connection and the edge nodes that speak over it. It knows the bdSeq of its present connection, which is that of the will
// that was left with the broker and of each NBIRTH that follows; and whose death that will is.
import type { BrokerSession, BrokerWill } from "../../../../shared/mqtt/connection.ts";
import type { ConnectionFault } from "../../../../shared/mqtt/explain.ts";
import { formatTopic } from "../../../../shared/sparkplug/topic.ts";
import type { KnownNode } from "./known-node.ts";
import { phraseDeath } from "./phrases.ts";
import type { Command, EdgeSession, SessionEvents } from "./session.ts";

/** Attempts that ended before a CONNECT could be sent: its bdSeq has not been used. */
const UNSENT: ReadonlySet<string> = new Set([
  "no-login",
  "proxy-unreachable",
  "proxy-auth",
  "proxy-refused",
  "proxy-protocol",
  "dns",
  "refused",
  "unreachable",
]);

export type LineOptions = {
  /** Name of its bdSeq: the node's key, or empty for the shared one. */
  readonly unit: string;
  /** Whose death the will of the next connection is. */
  readonly willNode: () => KnownNode | undefined;
  /** A will for the time when no node's death is one. */
  readonly otherWill: () => BrokerWill | undefined;
  readonly nextBdSeq: (unit: string) => number;
  readonly wall: () => number;
};

export type LineEvents = {
  online(broker: BrokerSession, refused: readonly string[]): void;
  offline(fault: ConnectionFault, retryMs: number): void;
  command(command: Command): void;
  oversize(): void;
  protocolError(reason: string): void;
  drained(): void;
};

export type OpenSession = (nextWill: () => BrokerWill | undefined, events: SessionEvents) => EdgeSession;

export class Line {
  readonly unit: string;
  readonly session: EdgeSession;
  /** What the broker said when it took us; undefined before. */
  broker: BrokerSession | undefined;
  /** Key of the node whose death is the will of the present connection. */
  willKey: string | undefined;
  #bdSeq = 0;
  #isUnsent = false;
  /** Deaths that no broker has acknowledged yet. */
  #deaths = 0;

  constructor(options: LineOptions, open: OpenSession, events: LineEvents) {
    this.unit = options.unit;
    const nextWill = () => {
      if (!this.#isUnsent) this.#bdSeq = options.nextBdSeq(options.unit);
      this.#isUnsent = false;
      const known = options.willNode();
      this.willKey = known?.key;
      return known === undefined ? options.otherWill() : willOf(known, this.#bdSeq, options.wall());
    };
    this.session = open(nextWill, {
      ...events,
      online: (broker, refused) => {
        this.broker = broker;
        events.online(broker, refused);
      },
      offline: (fault, retryMs) => {
        this.#isUnsent = UNSENT.has(fault.id);
        events.offline(fault, retryMs);
      },
    });
  }

  get bdSeq(): number {
    return this.#bdSeq;
  }

  /** Acknowledged, so that a goodbye can wait for it; while too many are not, a broker that never does gets them at QoS 0. */
  publishDeath(topic: string, payload: Uint8Array): void {
    if (this.#deaths >= DEATHS_UNACKNOWLEDGED_MAX) {
      this.session.publish({ topic, payload, qos: 0, retain: false });
      return;
    }
    this.#deaths++;
    const done = () => this.#deaths--;
    this.session.publish({ topic, payload, qos: 1, retain: false, done });
  }

  /** Whether the broker of the present connection takes a PUBLISH of this size. */
  takes(topic: string, payloadBytes: number): boolean {
    const most = this.broker?.packetBytesMax;
    return most === undefined || Buffer.byteLength(topic) + payloadBytes + HEAD_BYTES <= most;
  }
}

const DEATHS_UNACKNOWLEDGED_MAX = 1000;

/** Fixed header, topic length, packet identifier, property length. */
const HEAD_BYTES = 10;

function willOf({ group, node }: KnownNode, bdSeq: number, nowMs: number): BrokerWill {
  return {
    topic: formatTopic({ type: "NDEATH", group, node, device: undefined }),
    payload: Buffer.from(phraseDeath(bdSeq, nowMs)),
    qos: 1,
    retain: false,
  };
}
