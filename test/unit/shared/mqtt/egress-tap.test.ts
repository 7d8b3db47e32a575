import { expect, test } from "bun:test";
import { generate, type Packet, parser } from "mqtt-packet";
import type { Message, Qos } from "../../../../shared/message.ts";
import {
  createEgressTap,
  type EgressOutcome,
  type EgressSession,
  type EgressTap,
} from "../../../../shared/mqtt/egress-tap.ts";
import { waitFor } from "../../../support/wait.ts";
import { FakeSocket, seededRandom } from "./fake-socket.ts";

type Version = 4 | 5;
const GRANTED: EgressSession = {
  sessionPresent: false,
  receiveMaximum: 65_535,
  packetBytesMax: undefined,
  qosMax: 2,
  retainAvailable: true,
};

/** A tap on a fake socket, with a broker that does only what it is told. */
class Lab {
  readonly problems: string[] = [];
  /** "topic outcome" in the order they were settled. */
  readonly settled: string[] = [];
  readonly refusals: EgressOutcome[] = [];
  readonly tap: EgressTap;
  socket = new FakeSocket();
  nowMs = 1_000_000;
  roomCalls = 0;
  /** Messages that may be sent again. */
  resends = Number.POSITIVE_INFINITY;
  readdress: (message: Message) => Message = (message) => message;
  passed = "";
  /** Writes as MQTT.js would. */
  write: (bytes: Uint8Array) => void = () => {};
  endStream: () => void = () => {};

  constructor(
    readonly version: Version,
    inflightMax = 100,
    quietMs = 1000,
    readdresses = true,
  ) {
    this.tap = createEgressTap({
      version,
      inflightMax,
      quietMs,
      clock: () => this.nowMs,
      mayResend: () => this.resends-- > 0,
      ...(readdresses ? { readdress: (message) => this.readdress(message) } : {}),
      onRoom: () => this.roomCalls++,
      onProtocolError: (reason) => this.problems.push(reason),
    });
    this.connect();
    this.tap.open(GRANTED);
  }

  connect(): void {
    this.socket = new FakeSocket();
    const stream = this.tap.wrap(this.socket);
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => {
      this.passed += chunk.toString("hex");
    });
    this.write = (bytes) => stream.write(bytes);
    this.endStream = () => stream.end();
  }

  /** Breaks the connection and makes the next one. */
  async reconnect(granted: Partial<EgressSession> = {}): Promise<void> {
    this.socket.destroy();
    await settle();
    this.connect();
    this.tap.open({ ...GRANTED, ...granted });
  }

  publish(topic: string, qos: Qos, more: Partial<Message> = {}): void {
    const plain = { payload: Buffer.from("x"), retain: false, properties: undefined, acceptedMs: 0 };
    this.tap.publish({ topic, qos, ...plain, ...more }, (outcome) => {
      this.settled.push(outcome.kind === "forwarded" ? topic : `${topic} ${outcome.kind}`);
      if (outcome.kind === "refused") this.refusals.push(outcome);
    });
  }

  sendNow(topic: string, more: Partial<Message> = {}): boolean {
    const plain = { payload: Buffer.from("x"), retain: false, properties: undefined, acceptedMs: 0 };
    return this.tap.sendNow({ topic, qos: 0, ...plain, ...more });
  }

  feed(bytes: Uint8Array): void {
    this.socket.emit("data", Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  answer(cmd: "puback" | "pubrec" | "pubcomp", ...ids: number[]): void {
    const packets = ids.map((messageId) =>
      generate({ cmd, messageId } as Packet, { protocolVersion: this.version }),
    );
    this.feed(Buffer.concat(packets));
  }

  /** What was written to the broker since the last call, in short: "a/b q1 #7 dup". */
  async sent(): Promise<string[]> {
    await settle();
    return readPackets(this.version, Buffer.from(this.socket.takeSent(), "hex"));
  }
}

function readPackets(version: Version, bytes: Buffer): string[] {
  const found: string[] = [];
  const twin = parser({ protocolVersion: version });
  twin.on("error", (error) => {
    throw error;
  });
  twin.on("packet", (packet) => {
    if (packet.cmd !== "publish") found.push(`${packet.cmd} #${packet.messageId}`);
    else {
      const id = packet.qos > 0 ? ` #${packet.messageId}` : "";
      const flags = `${packet.dup ? " dup" : ""}${packet.retain ? " retain" : ""}`;
      const expiry = packet.properties?.messageExpiryInterval;
      found.push(`${packet.topic} q${packet.qos}${id}${flags}${expiry === undefined ? "" : ` ${expiry}s`}`);
    }
  });
  expect(twin.parse(bytes)).toBe(0);
  return found;
}

/** Lets the streams hand on what they hold. */
const settle = () => new Promise((resolve) => setImmediate(resolve));
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

test.each([4, 5] as const)(
  "EgressTap.publish() settles each QoS when it is due, MQTT %p",
  async (version) => {
    const lab = new Lab(version);
    lab.publish("a", 0);
    lab.publish("b", 1);
    lab.publish("c", 2, { retain: true });
    expect(lab.settled).toEqual([]);
    expect(await lab.sent()).toEqual(["a q0", "b q1 #1", "c q2 #2 retain"]);
    expect(lab.settled).toEqual(["a"]);
    lab.answer("puback", 1);
    lab.answer("pubrec", 2);
    expect(lab.settled).toEqual(["a", "b"]);
    expect(await lab.sent()).toEqual(["pubrel #2"]);
    expect(lab.tap.pending).toBe(1);
    lab.answer("pubcomp", 2);
    expect(lab.settled).toEqual(["a", "b", "c"]);
    expect(lab.tap.pending).toBe(0);
    expect(lab.problems).toEqual([]);
    expect(lab.passed).toBe("");
  },
);

test("EgressTap.publish() writes all messages of one turn at once", async () => {
  const lab = new Lab(5);
  for (let i = 0; i < 50; i++) lab.publish(`t${i}`, i % 3 === 0 ? 0 : 1);
  await settle();
  expect(lab.socket.written.length).toBe(1);
  expect((await lab.sent()).map((line) => line.split(" ")[0])).toEqual(
    Array.from({ length: 50 }, (_, i) => `t${i}`),
  );
});

test("EgressTap.publish() sends large payloads whole and in order", async () => {
  const lab = new Lab(5);
  const payloads = [10, 16_383, 16_384, 65_536, 200_000, 3].map((size, i) => Buffer.alloc(size, i));
  for (const payload of payloads) {
    lab.publish("big", 0, { payload });
    await settle();
  }
  const found: Buffer[] = [];
  const twin = parser({ protocolVersion: 5 });
  twin.on("packet", (packet) => {
    if (packet.cmd === "publish") found.push(Buffer.from(packet.payload));
  });
  twin.parse(lab.socket.sent);
  expect(found.map((each, i) => each.equals(payloads[i] ?? Buffer.alloc(0)))).toEqual(
    payloads.map(() => true),
  );
});

test("EgressTap settles the same at every split point of the acknowledgements and byte by byte", async () => {
  const options = { protocolVersion: 5 } as const;
  const bytes = Buffer.concat([
    generate({ cmd: "puback", messageId: 1 }, options),
    generate({ cmd: "pingresp" }, options),
    generate({ cmd: "pubrec", messageId: 3 }, options),
    generate(
      { cmd: "puback", messageId: 2, reasonCode: 0x97, properties: { reasonString: "too much" } },
      options,
    ),
    generate(
      {
        cmd: "publish",
        topic: "nobody/asked",
        payload: "y".repeat(300),
        qos: 1,
        messageId: 9,
        dup: false,
        retain: false,
      },
      options,
    ),
    generate({ cmd: "pubcomp", messageId: 3 }, options),
    generate({ cmd: "pubrec", messageId: 4, reasonCode: 0x87 }, options),
  ]);
  const run = async (pieces: Buffer[]) => {
    const lab = new Lab(5);
    for (const [i, qos] of ([1, 1, 2, 2] as const).entries()) lab.publish(`t${i + 1}`, qos);
    await settle();
    lab.socket.takeSent();
    for (const piece of pieces) lab.feed(piece);
    const { settled, refusals, problems } = lab;
    return {
      sent: await lab.sent(),
      settled,
      refusals,
      problems,
      passed: lab.passed,
      pending: lab.tap.pending,
    };
  };
  const whole = await run([bytes]);
  expect(whole).toEqual({
    sent: ["pubrel #3"],
    settled: ["t1", "t2 refused", "t3", "t4 refused"],
    refusals: [
      { kind: "refused", code: 0x97, reason: "quota exceeded (0x97): too much" },
      { kind: "refused", code: 0x87, reason: "not authorized (0x87)" },
    ],
    problems: [],
    passed: "d000",
    pending: 0,
  });
  for (let at = 1; at < bytes.length; at++)
    expect(await run([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
  expect(await run(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))).toEqual(whole);
});

test("EgressTap puts its packets between MQTT.js's, never into them, and none after DISCONNECT", async () => {
  const lab = new Lab(5);
  lab.publish("before", 2);
  await settle();
  lab.socket.takeSent();
  // Packets of 131 bytes; the first comes in chunks, as MQTT.js writes them.
  const disconnect = Buffer.concat([hex("e0 8001"), Buffer.alloc(128)]);
  const auth = Buffer.concat([hex("f0 8001"), Buffer.alloc(128)]);
  for (const [from, to] of [
    [0, 1],
    [1, 2],
    [2, 70],
  ] as const) {
    lab.write(auth.subarray(from, to));
    lab.publish(`during${from}`, 0);
    lab.answer("pubrec", ...(from === 0 ? [1] : []));
    await settle();
  }
  expect(lab.socket.sent.equals(auth.subarray(0, 70))).toBe(true);
  expect(lab.settled).toEqual([]);
  lab.socket.takeSent();
  lab.write(auth.subarray(70));
  await settle();
  expect(lab.socket.sent.subarray(0, 61).equals(auth.subarray(70))).toBe(true);
  expect(readPackets(5, lab.socket.sent.subarray(61))).toEqual([
    "pubrel #1",
    "during0 q0",
    "during1 q0",
    "during2 q0",
  ]);
  lab.socket.takeSent();

  lab.publish("last", 0);
  lab.write(disconnect);
  lab.publish("after", 0);
  await settle();
  const end = lab.socket.sent;
  expect(readPackets(5, end.subarray(0, end.length - 131))).toEqual(["last q0"]);
  expect(end.subarray(-131).equals(disconnect)).toBe(true);
  expect(lab.settled.at(-1)).toBe("last");
  lab.endStream();
  await settle();
  expect(lab.tap.pending).toBe(2);
});

const MQTTJS_FORBIDDEN: [name: string, bytes: string][] = [
  ["PUBLISH", "3003 0001 61"],
  ["PUBREL", "6202 0001"],
  ["SUBSCRIBE", "8207 0001 00 0001 61 00"],
  ["UNSUBSCRIBE", "a206 0001 00 0001 61"],
];
test.each(MQTTJS_FORBIDDEN)(
  "EgressTap does not let MQTT.js write %s, whose packet id might be one of ours",
  async (_, bytes) => {
    const lab = new Lab(5);
    lab.write(hex("c000"));
    lab.write(hex(bytes));
    await settle();
    expect(lab.socket.sent.toString("hex")).toBe("c000");
    expect(lab.problems[0]).toStartWith("MQTT.js wrote packet type");
    expect(lab.socket.destroyed).toBe(true);
  },
);

test("EgressTap sends nothing before open(), and then in order", async () => {
  const lab = new Lab(5);
  await lab.reconnect();
  lab.connect();
  for (const [i, qos] of ([1, 0, 2] as const).entries()) lab.publish(`t${i}`, qos);
  expect(lab.tap.room).toBe(0);
  expect(await lab.sent()).toEqual([]);
  lab.tap.open(GRANTED);
  expect(await lab.sent()).toEqual(["t0 q1 #1", "t1 q0", "t2 q2 #2"]);
});

test.each([4, 5] as const)(
  "EgressTap sends what was unsettled again after a reconnect, in each state, MQTT %p",
  async (version) => {
    const lab = new Lab(version, 5, 0);
    lab.publish("q1-acked", 1); // #1
    lab.publish("q2-sent", 2); // #2
    lab.publish("q2-released", 2); // #3
    lab.publish("q0-sent", 0);
    lab.publish("q1-sent", 1); // #4
    lab.publish("q2-done", 2); // #5
    lab.publish("q1-beyond-window", 1);
    lab.publish("q0-behind-it", 0);
    await settle();
    lab.answer("pubrec", 5, 3);
    lab.answer("pubcomp", 5);
    lab.answer("puback", 1);
    // The broken connection takes no more: what the acknowledgements made room for was not sent yet.
    await lab.reconnect();
    expect(lab.settled).toEqual(["q0-sent", "q2-done", "q1-acked", "q0-behind-it"]);
    expect((await lab.sent()).map((line) => line.replace(/ #\d+/, ""))).toEqual([
      "q2-sent q2 dup",
      "q2-released q2 dup",
      "q1-sent q1 dup",
      "q1-beyond-window q1",
      "q0-behind-it q0",
    ]);
    expect(lab.tap.pending).toBe(4);
    // Again lost, and again: nothing is sent twice within a connection.
    await lab.reconnect({ receiveMaximum: 2 });
    expect((await lab.sent()).length).toBe(2);
    expect(lab.tap.room).toBe(0);
    await lab.reconnect();
    expect(await lab.sent()).toHaveLength(4);
    expect(lab.problems).toEqual([]);
  },
);

test("EgressTap sends again only as fast as it may, and nothing past what has to wait", async () => {
  const lab = new Lab(5, 10, 0);
  for (const topic of ["a", "b", "c"]) lab.publish(topic, 1);
  await settle();
  lab.resends = 1;
  await lab.reconnect();
  lab.publish("new", 1);
  expect(await lab.sent()).toEqual(["a q1 #4 dup"]);
  lab.resends = 1;
  lab.tap.goOn();
  expect(await lab.sent()).toEqual(["b q1 #5 dup"]);
  lab.resends = 5;
  lab.tap.goOn();
  expect(await lab.sent()).toEqual(["c q1 #6 dup", "new q1 #7"]);
});

test("EgressTap says for how long the oldest message waits for its acknowledgement", async () => {
  const lab = new Lab(5, 10, 0);
  expect(lab.tap.waitedMs).toBe(0);
  lab.publish("a", 1);
  await settle();
  lab.nowMs += 500;
  lab.publish("b", 1);
  await settle();
  lab.nowMs += 500;
  expect(lab.tap.waitedMs).toBe(1000);
  lab.answer("puback", 1);
  expect(lab.tap.waitedMs).toBe(500);
  await lab.reconnect();
  await settle();
  expect(lab.tap.waitedMs).toBe(0);
});

test("EgressTap sends a message under the name that it has when it is sent, with the sizes of that", async () => {
  const lab = new Lab(5, 10, 0);
  lab.publish("old/a", 1);
  expect(await lab.sent()).toEqual(["old/a q1 #1"]);
  lab.readdress = (message) => ({ ...message, topic: message.topic.replace("old", "much-longer") });
  await lab.reconnect();
  lab.publish("new/b", 1);
  expect(await lab.sent()).toEqual(["much-longer/a q1 #2 dup", "new/b q1 #3"]);
});

test("EgressTap ignores the acknowledgements of a lost connection", async () => {
  const lab = new Lab(5);
  lab.publish("a", 1);
  await settle();
  const old = lab.socket;
  lab.connect();
  lab.tap.open(GRANTED);
  old.emit("data", hex("4002 0001"));
  expect(lab.settled).toEqual([]);
  expect(await lab.sent()).toEqual(["a q1 #2 dup"]);
});

test("EgressTap adapts what goes again to what the new broker allows", async () => {
  const lab = new Lab(5);
  const properties = { messageExpirySeconds: 10 };
  lab.publish("small", 2, { retain: true });
  lab.publish("large", 1, { payload: Buffer.alloc(200) });
  lab.publish("ages", 1, { properties });
  lab.publish("dies", 1, { properties: { messageExpirySeconds: 3 } });
  lab.publish("end", 2);
  expect((await lab.sent())[2]).toBe("ages q1 #3 10s");
  lab.nowMs += 3999;
  await lab.reconnect({ packetBytesMax: 100, qosMax: 1, retainAvailable: false });
  expect(await lab.sent()).toEqual(["small q1 #6 dup", "ages q1 #7 dup 7s", "end q1 #8 dup"]);
  expect(lab.settled).toEqual(["large oversize", "dies expired"]);
  lab.answer("puback", 6, 7, 8);
  expect(lab.settled.slice(2)).toEqual(["small", "ages", "end"]);
  lab.publish("zero", 1);
  await lab.reconnect({ qosMax: 0 });
  expect(await lab.sent()).toEqual(["zero q0"]);
});

test("EgressTap.publish() refuses a message no packet can hold", async () => {
  const lab = new Lab(5);
  lab.publish("a", 1, { properties: { contentType: "x".repeat(65_536) } });
  lab.publish("b", 0, { properties: { messageExpirySeconds: 0 } });
  expect(await lab.sent()).toEqual([]);
  expect(lab.settled).toEqual(["a oversize", "b expired"]);
});

test("EgressTap.room follows the smaller of inflight_max and receive maximum, for QoS 1 and 2 only", async () => {
  const lab = new Lab(5, 10);
  expect(lab.tap.room).toBe(10);
  await lab.reconnect({ receiveMaximum: 3 });
  expect(lab.tap.room).toBe(3);
  lab.publish("a", 0);
  expect(lab.tap.room).toBe(3);
  lab.publish("b", 1);
  lab.publish("c", 2);
  expect(lab.tap.room).toBe(1);
  await settle();
  lab.answer("pubrec", 2);
  expect(lab.tap.room).toBe(1);
  lab.publish("d", 1);
  expect(lab.tap.room).toBe(0);
  await settle();
  const { roomCalls } = lab;
  lab.answer("puback", 1, 3);
  await settle();
  expect(lab.tap.room).toBe(2);
  expect(lab.roomCalls).toBe(roomCalls + 1);
  lab.answer("pubcomp", 2);
  expect(lab.tap.room).toBe(3);
});

test("EgressTap keeps to its window and order when more is published than there is room for", async () => {
  const lab = new Lab(5, 2);
  for (let i = 1; i <= 6; i++) lab.publish(`t${i}`, i === 4 ? 0 : 1);
  expect(await lab.sent()).toEqual(["t1 q1 #1", "t2 q1 #2"]);
  lab.answer("puback", 1);
  expect(await lab.sent()).toEqual(["t3 q1 #3", "t4 q0"]);
  lab.answer("puback", 2, 3);
  expect(await lab.sent()).toEqual(["t5 q1 #4", "t6 q1 #5"]);
});

test("EgressTap holds a bounded number of bytes for a broker that takes nothing, and goes on at drain", async () => {
  const lab = new Lab(5);
  lab.socket.isStuck = true;
  let published = 0;
  for (let turn = 0; turn < 50; turn++) {
    while (lab.tap.room > 0) {
      lab.publish(`t${published}`, 0, { payload: Buffer.alloc(5000) });
      published++;
    }
    await settle();
  }
  expect(lab.socket.writableLength).toBeLessThan(400_000);
  expect(published).toBeLessThan(140);
  // Handed to the socket is forwarded; the rest waits.
  expect(lab.settled.length + lab.tap.pending).toBe(published);
  const { roomCalls } = lab;
  lab.socket.unstick();
  while (lab.tap.pending > 0) await settle();
  expect(lab.settled).toEqual(Array.from({ length: published }, (_, i) => `t${i}`));
  expect(lab.roomCalls).toBeGreaterThan(roomCalls);
  expect((await lab.sent()).length).toBe(published);
});

test("EgressTap keeps what the socket did not get when the connection broke, QoS 0 too", async () => {
  const lab = new Lab(5);
  lab.socket.isStuck = true;
  for (let i = 0; i < 200; i++) lab.publish(`t${i}`, 0, { payload: Buffer.alloc(5000) });
  await settle();
  const handed = lab.settled.length;
  expect(handed).toBeGreaterThan(10);
  expect(handed).toBeLessThan(140);
  await lab.reconnect();
  while (lab.tap.pending > 0) await settle();
  expect((await lab.sent())[0]).toBe(`t${handed} q0`);
  expect(lab.settled).toEqual(Array.from({ length: 200 }, (_, i) => `t${i}`));
});

test("EgressTap stays bounded with a broker that never acknowledges", async () => {
  const lab = new Lab(5, 20);
  for (let turn = 0; turn < 100; turn++) {
    while (lab.tap.room > 0) lab.publish("t", 1);
    await settle();
  }
  expect(lab.tap.pending).toBe(20);
  expect(await lab.sent()).toHaveLength(20);
});

test("EgressTap uses packet ids past 65,535, and none that is in use", async () => {
  const lab = new Lab(4, 3);
  lab.publish("slow", 1);
  await settle();
  const ids = new Set<number>();
  for (let i = 0; i < 70_000; i += 2) {
    lab.publish("t", 1);
    lab.publish("t", 1);
    await Promise.resolve();
    await Promise.resolve();
    const bytes = lab.socket.sent;
    lab.socket.written.length = 0;
    const found = [bytes.readUInt16BE(bytes.length - 3), bytes.readUInt16BE(bytes.length - 11)];
    for (const id of found) ids.add(id);
    lab.answer("puback", ...found);
  }
  expect(ids.size).toBe(65_534);
  expect(ids.has(1)).toBe(false);
  expect(lab.problems).toEqual([]);
  lab.answer("puback", 1);
  expect(lab.settled.at(-1)).toBe("slow");
});

const HOSTILE: [name: string, version: Version, bytes: string, reason: string][] = [
  ["an id not in use", 5, "4002 0009", "PUBACK has the packet identifier 9, which is not in use"],
  ["an id twice", 4, "4002 0001 4002 0001", "PUBACK has the packet identifier 1, which is not in use"],
  ["PUBREC for QoS 1", 5, "5002 0001", "PUBREC came for packet identifier 1, which waits for PUBACK"],
  ["PUBACK for QoS 2", 5, "4002 0002", "PUBACK came for packet identifier 2, which waits for PUBREC"],
  ["PUBCOMP before PUBREC", 5, "7002 0002", "PUBCOMP came for packet identifier 2, which waits for PUBREC"],
  ["a cut PUBACK", 5, "4001 00", "PUBACK has a body of 1 bytes"],
  ["an empty PUBREC", 5, "5000", "PUBREC has a body of 0 bytes"],
  ["packet identifier 0", 4, "7002 0000", "PUBCOMP has the packet identifier 0"],
  ["PUBACK with flags", 5, "4102 0001", "packet type 4 has the flags 1, must be 0"],
  ["a reason code in MQTT 3.1.1", 4, "4003 0001 00", "PUBACK has a body of 3 bytes"],
  ["bad properties", 5, "4006 0001 87 02 2600", "PUBACK: property 38 is cut short"],
  ["SUBACK", 5, "9003 0001 00", "packet type 9 came, which answers nothing we sent"],
  ["UNSUBACK", 4, "b002 0001", "packet type 11 came, which answers nothing we sent"],
  ["PUBREL", 4, "6202 0001", "packet type 6 came, which answers nothing we sent"],
  ["CONNECT", 4, "1000", "packet type 1 is not for a client"],
  ["a remaining length of five bytes", 4, "40 8080808001", "remaining length is over four bytes"],
];
test.each(HOSTILE)(
  "EgressTap ends the connection on %s, and keeps the messages",
  async (_, version, bytes, reason) => {
    for (const bytewise of [false, true]) {
      const lab = new Lab(version);
      lab.publish("once", 1);
      lab.publish("exactly", 2);
      await settle();
      if (bytewise) for (const byte of hex(bytes)) lab.feed(Buffer.from([byte]));
      else lab.feed(hex(bytes));
      expect(lab.problems).toEqual([reason]);
      expect(lab.socket.destroyed).toBe(true);
      const { pending } = lab.tap;
      expect(pending).toBe(2 - lab.settled.length);
      await lab.reconnect();
      expect((await lab.sent()).length).toBe(pending);
    }
  },
);

test("EgressTap.open() refuses a kept session and a receive maximum of 0", async () => {
  for (const granted of [{ sessionPresent: true }, { receiveMaximum: 0 }]) {
    const lab = new Lab(5);
    await lab.reconnect(granted);
    lab.publish("a", 1);
    expect(lab.problems[0]).toStartWith("the broker");
    expect(lab.socket.destroyed).toBe(true);
    await lab.reconnect();
    expect(await lab.sent()).toEqual(["a q1 #1"]);
  }
});

test("EgressTap never throws nor settles twice on random bytes", async () => {
  const random = seededRandom(5);
  for (let round = 0; round < 1500; round++) {
    const lab = new Lab(round % 2 === 0 ? 4 : 5);
    for (let i = 0; i < 6; i++) lab.publish(`t${i}`, ((i % 2) + 1) as Qos);
    await Promise.resolve();
    for (let i = 0; i < 12; i++) {
      const type = [0x40, 0x50, 0x70, 0xd0, random() * 256][Math.floor(random() * 5)] ?? 0;
      lab.feed(Buffer.from([type, 2, 0, 1 + random() * 7]));
    }
    expect(lab.problems.length).toBeLessThanOrEqual(1);
    expect(new Set(lab.settled).size).toBe(lab.settled.length);
    expect(lab.settled.length + lab.tap.pending).toBe(6);
  }
});

test("EgressTap answers MQTT.js's ping when the broker shows life otherwise", async () => {
  const lab = new Lab(5);
  lab.publish("a", 1);
  lab.publish("b", 1);
  await settle();
  lab.answer("puback", 1);
  await settle();
  expect(lab.passed).toBe("");
  lab.write(hex("c000"));
  lab.answer("puback", 2);
  await settle();
  expect(lab.passed).toBe("d000");
  // A drain is life, too; silence is none.
  lab.socket.isStuck = true;
  lab.publish("c", 0, { payload: Buffer.alloc(300_000) });
  await settle();
  lab.write(hex("c000"));
  await settle();
  expect(lab.passed).toBe("d000");
  lab.socket.unstick();
  await settle();
  expect(lab.passed).toBe("d000d000");
  lab.feed(hex("d000"));
  await settle();
  expect(lab.passed).toBe("d000d000d000");
});

test("EgressTap settles as poison the message that ends each connection, in its turn, and sends the rest", async () => {
  const lab = new Lab(5, 100, 100);
  lab.publish("good", 1);
  lab.publish("bad", 2);
  lab.publish("loose", 0);
  lab.publish("late", 1);
  await lab.sent();
  lab.answer("puback", 1);
  for (let round = 1; round <= 5; round++) {
    await lab.reconnect();
    const isTest = round >= 2 && round <= 4;
    if (isTest) {
      // Quiet first, then the suspect alone.
      expect(await lab.sent()).toEqual([]);
      expect(lab.tap.room).toBe(0);
      await waitFor("the test", 2000, () => lab.socket.sent.length > 0);
      expect((await lab.sent()).map((line) => line.split(" ")[0])).toEqual(["bad"]);
    } else if (round === 1) expect((await lab.sent())[0]).toContain("bad q2");
  }
  expect(lab.settled).toEqual(["loose", "good", "bad poison"]);
  expect((await lab.sent()).map((line) => line.split(" ")[0])).toEqual(["late"]);
  expect(lab.tap.room).toBeGreaterThan(0);
  expect(lab.problems).toEqual([]);
});

test("EgressTap goes on with all when the suspect is acknowledged, or the connection outlives the test", async () => {
  for (const isAnswered of [true, false]) {
    const lab = new Lab(4, 100, 100);
    lab.publish("a", 1);
    lab.publish("b", 1);
    await lab.sent();
    await lab.reconnect();
    await lab.sent();
    await lab.reconnect();
    await waitFor("the test", 2000, () => lab.socket.sent.length > 0);
    const [first] = await lab.sent();
    expect(first).toStartWith("a q1");
    if (isAnswered) lab.answer("puback", Number(first?.match(/#(\d+)/)?.[1]));
    await waitFor("the rest", 2000, () => lab.socket.sent.length > 0);
    expect((await lab.sent())[0]).toStartWith("b q1");
    expect(lab.settled).toEqual(isAnswered ? ["a"] : []);
  }
});

for (const version of [4, 5] as const) {
  test(`sendNow() of MQTT ${version} sends in order with what publish() sends, and refuses what has to wait`, async () => {
    const lab = new Lab(version, 1, 1000, false);
    expect(lab.sendNow("a", { retain: true })).toBe(true);
    lab.publish("b", 1);
    // "b" has not been sent yet.
    expect(lab.sendNow("c")).toBe(false);
    expect(await lab.sent()).toEqual(["a q0 retain", "b q1 #1"]);
    expect(lab.sendNow("c")).toBe(true);
    expect(await lab.sent()).toEqual(["c q0"]);
    // No room for "d" in the window: what comes after it waits with it.
    lab.publish("d", 1);
    expect(await lab.sent()).toEqual([]);
    expect(lab.sendNow("e")).toBe(false);
    lab.answer("puback", 1);
    expect(await lab.sent()).toEqual(["d q1 #2"]);
    expect(lab.sendNow("e")).toBe(true);
    expect(lab.sendNow("f", { qos: 1 })).toBe(false);
    expect(lab.sendNow("f", { properties: { messageExpirySeconds: 5 } })).toBe(false);
    expect(lab.sendNow("t".repeat(65_536))).toBe(false);
    expect(await lab.sent()).toEqual(["e q0"]);
    lab.socket.destroy();
    await settle();
    expect(lab.sendNow("g")).toBe(false);
    lab.connect();
    expect(lab.sendNow("g")).toBe(false);
    lab.tap.open(GRANTED);
    expect(lab.sendNow("g")).toBe(true);
    expect(await lab.sent()).toEqual(["d q1 #3 dup", "g q0"]);
  });
}

test("sendNow() keeps to the broker's packet size and its word on retained messages, and stops at a full socket", async () => {
  const lab = new Lab(5, 100, 0, false);
  await lab.reconnect({ packetBytesMax: 20, retainAvailable: false });
  expect(lab.sendNow("g", { payload: Buffer.alloc(15) })).toBe(false);
  expect(lab.sendNow("g", { payload: Buffer.alloc(14), retain: true })).toBe(true);
  expect(await lab.sent()).toEqual(["g q0"]);
  await lab.reconnect();
  const payload = Buffer.alloc(60_000);
  let sent = 0;
  lab.socket.isStuck = true;
  while (sent < 1000 && lab.sendNow("big", { payload })) sent++;
  expect(sent).toBeGreaterThan(0);
  expect(sent).toBeLessThan(100);
});
