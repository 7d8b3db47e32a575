// A listening source without sockets and without a journal: a keeper that commits when it is told to, wires that collect what
// the server writes, a clock that is set by hand. What survives a restart are the notes of what was committed.
import { generate, type IConnectPacket, type Packet, parser } from "mqtt-packet";
import pino from "pino";
import { Client } from "../../../../../../agents/send/ingress/listen/client.ts";
import { Hub } from "../../../../../../agents/send/ingress/listen/hub.ts";
import type { Keeper } from "../../../../../../agents/send/ingress/listen/keeper.ts";
import type { Wire } from "../../../../../../agents/send/ingress/listen/wire.ts";
import type { Notes } from "../../../../../../agents/send/journal.ts";
import type { ListenSource } from "../../../../../../agents/send/listen-config.ts";
import type { Message } from "../../../../../../shared/message.ts";

export const LISTEN: ListenSource = {
  name: "floor",
  type: "listen",
  listeners: [],
  anonymous: true,
  usersFile: undefined,
  users: undefined,
  access: [],
  sharedClientIds: [],
  subscriptions: "accept",
  dollarTopics: "keep-back",
  receiveMaximum: 10,
  topicAliasMaximum: 5,
  keepaliveSecondsMax: 600,
  connectTimeoutSeconds: 10,
  sessionsMax: 100,
  sessionExpirySecondsMax: 1000,
  connectionsMax: 100,
  connectionsPerSecondMax: 100,
  messagesPerSecondMax: 0,
  banAfterFailures: 3,
  banWindowSeconds: 60,
  banSeconds: 60,
  sparkplug: undefined,
};

export const MESSAGE_BYTES_MAX = 1000;

type Event = {
  readonly notes: Notes | undefined;
  readonly settle: (() => void) | undefined;
  readonly book?: () => void;
};

export class FakeKeeper implements Keeper {
  readonly kept: Message[] = [];
  readonly lost: string[] = [];
  /** QoS of what was lost. */
  readonly lostQos: number[] = [];
  readonly aside: string[] = [];
  #waiting: Event[] = [];

  constructor(readonly notes = new Map<string, string>()) {}

  accept(_source: string, message: Message, settle?: () => void, notes?: Notes): void {
    const copy = { ...message, payload: Buffer.from(message.payload) };
    this.#waiting.push({ notes, settle, book: () => this.kept.push(copy) });
  }

  refuse(
    _source: string,
    reason: string,
    topic: string,
    _bytes: number,
    qos: number,
    settle: () => void,
    notes?: Notes,
  ): void {
    this.#waiting.push({ notes, settle, book: () => this.lost.push(`${reason} ${topic}`.trim()) });
    this.lostQos.push(qos);
  }

  setAside(_source: string, rule: string, _qos: number, settle: () => void, notes?: Notes): void {
    this.#waiting.push({ notes, settle, book: () => this.aside.push(rule) });
  }

  note(notes: Notes, settle: () => void): void {
    this.#waiting.push({ notes, settle });
  }

  readNotes(prefix: string): Map<string, string> {
    const found = [...this.notes].filter(([name]) => name.startsWith(prefix));
    return new Map(found.map(([name, value]) => [name.slice(prefix.length), value]));
  }

  /** As the journal does: everything that waits, all or nothing, then in the order in which it came. */
  commit(): void {
    const events = this.#waiting;
    this.#waiting = [];
    for (const { notes, book } of events) {
      book?.();
      for (const [name, value] of notes ?? []) {
        if (value === undefined) this.notes.delete(name);
        else this.notes.set(name, value);
      }
    }
    for (const { settle } of events) settle?.();
  }
}

export class FakeWire implements Wire {
  readonly listener = "127.0.0.1:1883";
  isCongested = false;
  isResting = false;
  isEnded = false;
  readonly chunks: Uint8Array[] = [];

  constructor(
    readonly address = "10.0.0.9",
    readonly certificateUser: string | undefined = undefined,
  ) {}

  write(bytes: Uint8Array): void {
    if (!this.isEnded) this.chunks.push(Buffer.from(bytes));
  }

  rest(wanted: boolean): void {
    this.isResting = wanted;
  }

  end(): void {
    this.isEnded = true;
  }
}

export class Lab {
  readonly keeper: FakeKeeper;
  readonly hub: Hub;
  steadyMs = 1_000_000;

  constructor(
    config: Partial<ListenSource> = {},
    notes = new Map<string, string>(),
    trustNotes = true,
    public wallMs = 1_700_000_000_000,
  ) {
    this.keeper = new FakeKeeper(notes);
    this.hub = new Hub({ ...LISTEN, ...config }, MESSAGE_BYTES_MAX, this.keeper, {
      log: pino({ level: "silent" }),
      clock: () => this.wallMs,
      steady: () => this.steadyMs,
    });
    this.hub.book.restore(trustNotes);
  }

  /** The agent dies; a new one has what was committed. */
  restart(trustNotes = true): Lab {
    return new Lab(this.hub.config, new Map(this.keeper.notes), trustNotes);
  }

  pass(ms: number): void {
    this.steadyMs += ms;
    this.wallMs += ms;
    this.hub.tick();
  }

  /** Commits, and lets everything that follows from it happen. */
  async commit(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      this.keeper.commit();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  dial(address?: string, certificateUser?: string): Dialled {
    return new Dialled(this, new FakeWire(address, certificateUser));
  }

  /** A client that is connected. */
  async join(connect: Partial<IConnectPacket> = {}): Promise<Dialled> {
    const dialled = this.dial();
    dialled.connect(connect);
    await this.commit();
    return dialled;
  }
}

export class Dialled {
  readonly client: Client;
  version = 5;

  constructor(
    readonly lab: Lab,
    readonly wire: FakeWire,
  ) {
    this.client = new Client(lab.hub, wire);
  }

  connect(connect: Partial<IConnectPacket> = {}): void {
    this.version = connect.protocolVersion ?? 5;
    this.send({
      cmd: "connect",
      protocolId: this.version === 3 ? "MQIsdp" : "MQTT",
      protocolVersion: 5,
      clientId: "c1",
      clean: true,
      keepalive: 60,
      ...connect,
    } as IConnectPacket);
  }

  send(...packets: Packet[]): void {
    const bytes = packets.map((packet) => generate(packet, { protocolVersion: this.version }));
    this.client.receive(Buffer.concat(bytes));
  }

  /** Spaces may stand between groups. */
  sendHex(hex: string): void {
    this.client.receive(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  }

  /** What the server has written since the last call, as words: "connack 0", "puback 7 0", … */
  read(): string[] {
    const words: string[] = [];
    const reader = parser({ protocolVersion: this.version });
    reader.on("packet", (packet) => words.push(describe(packet as Packet & Shown)));
    reader.on("error", (error) => words.push(`error ${error.message}`));
    reader.parse(Buffer.concat(this.wire.chunks.splice(0)));
    return words;
  }

  /** The packets as mqtt-packet gives them. */
  readPackets(): Packet[] {
    const packets: Packet[] = [];
    const reader = parser({ protocolVersion: this.version });
    reader.on("packet", (packet) => packets.push(packet));
    reader.parse(Buffer.concat(this.wire.chunks.splice(0)));
    return packets;
  }
}

type Shown = {
  reasonCode?: number;
  returnCode?: number;
  sessionPresent?: boolean;
  granted?: (number | object)[];
};

function describe(packet: Packet & Shown): string {
  const code = (packet.reasonCode ?? packet.returnCode ?? 0).toString(16);
  switch (packet.cmd) {
    case "connack":
      return `connack ${code}${packet.sessionPresent ? " present" : ""}`;
    case "disconnect":
      return `disconnect ${code}`;
    case "suback":
    case "unsuback":
      return `${packet.cmd} ${packet.messageId} ${(packet.granted ?? []).map((each) => Number(each).toString(16)).join(",")}`;
    case "pingresp":
      return "pingresp";
    default:
      return `${packet.cmd} ${packet.messageId} ${code}`;
  }
}
