import { expect, test } from "bun:test";
import { generate, type Packet, parser } from "mqtt-packet";
import {
  createIngressTap,
  type InboundPublish,
  type InboundRefusal,
  type IngressTap,
} from "../../../../shared/mqtt/ingress-tap.ts";
import { FakeSocket, seededRandom } from "./fake-socket.ts";

type Version = 4 | 5;
type Lab = {
  readonly tap: IngressTap;
  socket: FakeSocket;
  readonly publishes: InboundPublish[];
  readonly refusals: InboundRefusal[];
  readonly problems: string[];
  /** What reached MQTT.js, as hex. */
  passed: string;
  /** Writes as MQTT.js would. */
  write: (bytes: Uint8Array) => void;
  end: () => void;
  /** Resolves with the error that MQTT.js would see. */
  error: () => Promise<Error>;
  feed: (bytes: Uint8Array) => void;
  reconnect: () => void;
  /** What was written to the broker since the last call, as hex. */
  sent: () => Promise<string>;
};

function openLab(version: Version, options: { packetBytesMax?: number; receiveMaximum?: number } = {}): Lab {
  const publishes: InboundPublish[] = [];
  const refusals: InboundRefusal[] = [];
  const problems: string[] = [];
  const tap = createIngressTap({
    version,
    packetBytesMax: options.packetBytesMax ?? 1_000_000,
    receiveMaximum: options.receiveMaximum ?? 100,
    onPublish: (publish) => publishes.push(publish),
    onRefusal: (refusal) => refusals.push(refusal),
    onProtocolError: (reason) => problems.push(reason),
  });
  const lab: Lab = {
    sent: async () => {
      await settle();
      return lab.socket.takeSent();
    },
    tap,
    socket: new FakeSocket(),
    publishes,
    refusals,
    problems,
    passed: "",
    write: () => {},
    end: () => {},
    error: () => Promise.reject(new Error("not connected")),
    feed: (bytes) => {
      lab.socket.emit("data", Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    },
    reconnect: () => {
      lab.socket = new FakeSocket();
      const stream = tap.wrap(lab.socket);
      stream.on("error", () => {});
      stream.on("data", (chunk: Buffer) => {
        lab.passed += chunk.toString("hex");
      });
      lab.write = (bytes) => {
        stream.write(bytes);
      };
      lab.end = () => stream.end();
      lab.error = () => new Promise((resolve) => stream.once("error", resolve));
    },
  };
  lab.reconnect();
  return lab;
}

function publishBytes(
  version: Version,
  qos: 0 | 1 | 2,
  packetId: number,
  more: Partial<Packet> = {},
): Buffer {
  const packet = {
    cmd: "publish",
    topic: "a/b",
    payload: "x",
    qos,
    messageId: packetId,
    dup: false,
    retain: false,
  };
  return generate({ ...packet, ...more } as Packet, { protocolVersion: version });
}

/** Lets the streams hand on what they hold. */
const settle = () => new Promise((resolve) => setImmediate(resolve));
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

function randomPackets(version: Version, seed: number, count: number): Packet[] {
  const random = seededRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;
  const text = () => pick(["a", "größe", "温度", "😀", "x".repeat(130), "\ufffd", "\ufeffbom", "a b"]);
  return Array.from({ length: count }, (_, i): Packet => {
    const messageId = 1 + i;
    const kind = below(10);
    if (kind === 0) return { cmd: "pingresp" };
    if (kind === 1) return { cmd: "pubrel", messageId };
    if (kind === 2) return { cmd: "suback", messageId, granted: [0, 1, 2] };
    if (kind === 3) return { cmd: "puback", messageId };
    const qos = pick([0, 1, 2] as const);
    const packet: Packet = {
      cmd: "publish",
      topic: Array.from({ length: 1 + below(4) }, text).join("/"),
      payload: Buffer.alloc(pick([0, 1, 100, 127, 128, 300]), below(256)),
      qos,
      dup: qos > 0 && random() < 0.3,
      retain: random() < 0.3,
      messageId,
    };
    if (version === 5 && random() < 0.7) {
      packet.properties = {
        ...(random() < 0.5 ? { payloadFormatIndicator: true } : {}),
        ...(random() < 0.5 ? { messageExpiryInterval: 1 + below(4_294_967_295) } : {}),
        ...(random() < 0.5 ? { contentType: text() } : {}),
        ...(random() < 0.5 ? { responseTopic: text() } : {}),
        ...(random() < 0.5 ? { correlationData: Buffer.from(text()) } : {}),
        ...(random() < 0.5 ? { subscriptionIdentifier: 1 + below(268_435_455) } : {}),
        ...(random() < 0.5 ? { userProperties: { [text()]: text(), name: [text(), text()] } } : {}),
      };
    }
    return packet;
  });
}

/** The naive twin: what mqtt-packet makes of the same bytes, in our words. */
function parseWithTwin(version: Version, bytes: Buffer): unknown[] {
  const found: unknown[] = [];
  const twin = parser({ protocolVersion: version });
  twin.on("error", (error) => {
    throw error;
  });
  twin.on("packet", (packet) => {
    if (packet.cmd !== "publish") return;
    const given = packet.properties ?? {};
    const pairs = Object.entries(given.userProperties ?? {}).flatMap(([name, value]) =>
      [value].flat().map((one) => `${name}=${one}`),
    );
    found.push({
      topic: packet.topic,
      payload: Buffer.from(packet.payload).toString("hex"),
      qos: packet.qos,
      retain: packet.retain,
      dup: packet.dup,
      packetId: packet.qos > 0 ? packet.messageId : 0,
      payloadFormat:
        given.payloadFormatIndicator === undefined ? undefined : Number(given.payloadFormatIndicator),
      messageExpirySeconds: given.messageExpiryInterval,
      contentType: given.contentType,
      userProperties: pairs.sort(),
    });
  });
  twin.parse(bytes);
  return found;
}

function describePublish(publish: InboundPublish): unknown {
  const { topic, payload, qos, retain, dup, packetId, properties } = publish;
  return {
    ...{ topic, qos, retain, dup, packetId },
    payload: Buffer.from(payload).toString("hex"),
    payloadFormat: properties?.payloadFormat,
    messageExpirySeconds: properties?.messageExpirySeconds,
    contentType: properties?.contentType,
    userProperties: (properties?.userProperties ?? []).map((pair) => pair.join("=")).sort(),
  };
}

test.each([4, 5] as const)(
  "createIngressTap() agrees with mqtt-packet on random packets, MQTT %p",
  (version) => {
    for (let seed = 1; seed <= 40; seed++) {
      const bytes = Buffer.concat(
        randomPackets(version, seed, 60).map((packet) => generate(packet, { protocolVersion: version })),
      );
      const lab = openLab(version);
      lab.feed(bytes);
      expect(lab.problems).toEqual([]);
      expect(lab.refusals).toEqual([]);
      expect(lab.publishes.map(describePublish)).toEqual(parseWithTwin(version, bytes));
    }
  },
);

test.each([4, 5] as const)(
  "createIngressTap() finds the same at every split point and byte by byte, MQTT %p",
  async (version) => {
    const packets = randomPackets(version, 7, 25);
    packets.splice(5, 0, {
      cmd: "publish",
      topic: "big",
      payload: "y".repeat(600),
      qos: 1,
      messageId: 500,
      dup: false,
      retain: false,
    });
    const bytes = Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: version })));
    const run = async (pieces: Buffer[]) => {
      const lab = openLab(version, { packetBytesMax: 500 });
      for (const piece of pieces) lab.feed(piece);
      await settle();
      const { publishes, refusals, problems, passed } = lab;
      return {
        publishes: publishes.map(describePublish),
        refusals: [...refusals],
        problems: [...problems],
        passed,
        sent: lab.socket.sent,
      };
    };
    const whole = await run([bytes]);
    expect(whole.passed).toContain("d000");
    expect(whole.problems).toEqual([]);
    expect(whole.refusals.map(({ reason }) => reason)).toContain("oversize");
    for (let at = 1; at < bytes.length; at++)
      expect(await run([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
    expect(await run(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))).toEqual(whole);
  },
);

test("createIngressTap() never throws on random or damaged bytes", () => {
  const random = seededRandom(99);
  for (const version of [4, 5] as const) {
    const good = Buffer.concat(
      randomPackets(version, 3, 30).map((p) => generate(p, { protocolVersion: version })),
    );
    for (let round = 0; round < 3000; round++) {
      const bytes = Buffer.from(good);
      if (round % 3 === 0) for (let i = 0; i < bytes.length; i++) bytes[i] = random() * 256;
      else for (let i = 0; i < 3; i++) bytes[Math.floor(random() * bytes.length)] = random() * 256;
      const lab = openLab(version, { packetBytesMax: 1000 });
      lab.feed(bytes);
      expect(lab.problems.length).toBeLessThanOrEqual(1);
    }
  }
});

const MALFORMED: [name: string, version: Version, bytes: string, reason: string][] = [
  ["QoS 3", 4, "36 05 0001 61 0001", "PUBLISH has QoS 3"],
  ["DUP at QoS 0", 4, "38 03 0001 61", "PUBLISH of QoS 0 has the DUP flag"],
  ["a remaining length of five bytes", 4, "30 8080808001", "remaining length is over four bytes"],
  ["a remaining length longer than needed in MQTT 5", 5, "d0 8000", "remaining length is longer than needed"],
  ["CONNECT", 4, "10 00", "packet type 1 is not for a client"],
  ["type 0", 5, "00 00", "packet type 0 is not for a client"],
  ["DISCONNECT in MQTT 3.1.1", 4, "e0 00", "packet type 14 is not for a client"],
  ["PUBREL with flags 0", 4, "60 02 0001", "packet type 6 has the flags 0, must be 2"],
  ["PINGRESP with flags", 4, "d1 00", "packet type 13 has the flags 1, must be 0"],
  [
    "a control packet over 1 MiB",
    4,
    "90 ffffff7f",
    "packet type 9 is 268435460 bytes, must be at most 1048576",
  ],
  ["no topic length", 4, "30 01 00", "PUBLISH ends before its topic"],
  [
    "a topic longer than the packet",
    4,
    "30 03 0002 61",
    "PUBLISH ends inside its topic or packet identifier",
  ],
  ["no packet identifier", 4, "32 03 0001 61", "PUBLISH ends inside its topic or packet identifier"],
  ["packet identifier 0", 4, "32 05 0001 61 0000", "PUBLISH has the packet identifier 0"],
  ["no properties in MQTT 5", 5, "30 03 0001 61", "PUBLISH: property length is malformed"],
  ["properties beyond the packet", 5, "30 04 0001 61 01", "PUBLISH: properties are longer than the packet"],
  ["an unknown property", 5, "30 06 0001 61 02 1100", "PUBLISH: property 17 is unknown"],
  ["a property of CONNACK", 5, "30 07 0001 61 03 210001", "PUBLISH: property 33 is unknown"],
  ["a property twice", 5, "30 08 0001 61 04 0101 0101", "PUBLISH: property 1 is there twice"],
  ["a cut property", 5, "30 06 0001 61 02 0200", "PUBLISH: property 2 is cut short"],
  ["a cut pair", 5, "30 0a 0001 61 06 26 0001 61 0001", "PUBLISH: property 38 is cut short"],
  ["subscription identifier 0", 5, "30 06 0001 61 02 0b00", "PUBLISH: subscription identifier is malformed"],
  ["a topic alias", 5, "30 07 0001 61 03 230001", "PUBLISH: has a topic alias although none was allowed"],
  ["PUBREL without packet identifier", 4, "62 01 00", "PUBREL has a body of 1 bytes"],
  ["PUBREL with packet identifier 0", 4, "62 02 0000", "PUBREL has the packet identifier 0"],
  ["PUBREL with a reason in MQTT 3.1.1", 4, "62 03 0001 00", "PUBREL has a body of 3 bytes"],
  [
    "PUBREL before PUBREC",
    4,
    "34 05 0001 61 0007 62 02 0007",
    "PUBREL came before the PUBREC for packet identifier 7",
  ],
];
test.each(MALFORMED)("createIngressTap() ends the connection on %s", (_name, version, bytes, reason) => {
  for (const bytewise of [false, true]) {
    const lab = openLab(version);
    if (bytewise) for (const byte of hex(bytes)) lab.feed(Buffer.from([byte]));
    else lab.feed(hex(bytes));
    expect(lab.problems).toEqual([reason]);
    expect(lab.socket.destroyed).toBe(true);
  }
});

const REFUSED: [name: string, version: Version, bytes: string, refusal: InboundRefusal][] = [
  [
    "an empty topic",
    4,
    "30 02 0000",
    { reason: "topic-empty", topic: "", qos: 0, dup: false, packetId: 0, packetBytes: 4 },
  ],
  [
    "a wildcard",
    4,
    "32 06 0002 612b 0001",
    { reason: "topic-wildcard", topic: "a+", qos: 1, dup: false, packetId: 1, packetBytes: 8 },
  ],
  [
    "U+0000",
    4,
    "34 05 0001 00 0001",
    { reason: "topic-text", topic: undefined, qos: 2, dup: false, packetId: 1, packetBytes: 7 },
  ],
  [
    "bad UTF-8",
    4,
    "30 03 0001 ff",
    { reason: "topic-text", topic: undefined, qos: 0, dup: false, packetId: 0, packetBytes: 5 },
  ],
  [
    "an encoded surrogate",
    4,
    "30 05 0003 eda080",
    { reason: "topic-text", topic: undefined, qos: 0, dup: false, packetId: 0, packetBytes: 7 },
  ],
  [
    "overlong UTF-8",
    4,
    "30 04 0002 c0af",
    { reason: "topic-text", topic: undefined, qos: 0, dup: false, packetId: 0, packetBytes: 6 },
  ],
  [
    "payload format 2",
    5,
    "30 06 0001 61 02 0102",
    { reason: "payload-format", topic: "a", qos: 0, dup: false, packetId: 0, packetBytes: 8 },
  ],
  [
    "bad text in a property",
    5,
    "30 08 0001 61 04 03 0001 ff",
    { reason: "property-text", topic: "a", qos: 0, dup: false, packetId: 0, packetBytes: 10 },
  ],
];
test.each(REFUSED)(
  "createIngressTap() refuses one message with %s and goes on",
  async (_name, version, bytes, refusal) => {
    const lab = openLab(version);
    lab.feed(hex(bytes));
    lab.feed(publishBytes(version, 0, 0));
    expect(lab.problems).toEqual([]);
    expect(lab.refusals).toEqual([refusal]);
    expect(lab.publishes.length).toBe(1);
    expect(await lab.sent()).toBe("");
    lab.tap.ack(lab.refusals);
    expect(await lab.sent()).toBe(refusal.qos === 0 ? "" : refusal.qos === 1 ? "40020001" : "50020001");
  },
);

test("createIngressTap() skips an oversize PUBLISH without holding it", async () => {
  const lab = openLab(4, { packetBytesMax: 1000 });
  const body = 200_000_000;
  lab.feed(hex("32 8084af5f 0003 612f62 0102"));
  const before = process.memoryUsage().rss;
  const piece = Buffer.alloc(1_000_000);
  for (let left = body - 7; left > 0; left -= piece.length)
    lab.feed(piece.subarray(0, Math.min(left, piece.length)));
  lab.feed(publishBytes(4, 0, 0));
  expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  expect(lab.refusals).toEqual([
    { reason: "oversize", topic: "a/b", qos: 1, dup: false, packetId: 0x102, packetBytes: body + 5 },
  ]);
  expect(lab.publishes.length).toBe(1);
  lab.tap.ack(lab.refusals);
  expect(await lab.sent()).toBe("40020102");
});

test("IngressTap.ack() writes acknowledgements in one piece, once, in the order given", async () => {
  const lab = openLab(5);
  lab.feed(
    Buffer.concat([
      publishBytes(5, 1, 1),
      publishBytes(5, 1, 2),
      publishBytes(5, 2, 3),
      publishBytes(5, 0, 0),
    ]),
  );
  expect(await lab.sent()).toBe("");
  lab.tap.ack(lab.publishes);
  await settle();
  expect(lab.socket.written.length).toBe(1);
  expect(await lab.sent()).toBe("400200014002000250020003");
  lab.tap.ack(lab.publishes);
  expect(await lab.sent()).toBe("");
});

test("createIngressTap() delivers a QoS 2 message once, whatever the broker repeats", async () => {
  const lab = openLab(5);
  lab.feed(publishBytes(5, 2, 9));
  lab.feed(publishBytes(5, 2, 9, { dup: true }));
  expect(await lab.sent()).toBe("");
  lab.tap.ack(lab.publishes);
  expect(await lab.sent()).toBe("50020009");
  lab.feed(publishBytes(5, 2, 9, { dup: true }));
  expect(await lab.sent()).toBe("50020009");
  lab.feed(hex("6203 0009 00"));
  expect(await lab.sent()).toBe("70020009");
  expect(lab.publishes.length).toBe(1);
  lab.feed(hex("6202 0009"));
  expect(await lab.sent()).toBe("70020009");
  lab.feed(publishBytes(5, 2, 9));
  expect(lab.publishes.length).toBe(2);
});

test("createIngressTap() keeps QoS 2 ids over a reconnect with a session and forgets them without", async () => {
  const lab = openLab(4);
  lab.feed(publishBytes(4, 2, 1));
  lab.feed(publishBytes(4, 2, 2));
  lab.tap.ack(lab.publishes.slice(1));
  lab.reconnect();
  lab.feed(hex("20 02 0100"));
  lab.feed(publishBytes(4, 2, 1, { dup: true }));
  lab.feed(publishBytes(4, 2, 2, { dup: true }));
  expect(lab.publishes.length).toBe(2);
  lab.tap.ack(lab.publishes);
  expect(await lab.sent()).toBe("5002000250020001");
  lab.reconnect();
  lab.feed(hex("20 02 0000"));
  lab.feed(publishBytes(4, 2, 1));
  expect(lab.publishes.length).toBe(3);
});

test("createIngressTap() takes a QoS 2 id that a forgetful broker gives to another message for what it is", async () => {
  const lab = openLab(5);
  for (const packetId of [1, 2]) lab.feed(publishBytes(5, 2, packetId));
  lab.tap.ack(lab.publishes.slice(1));
  lab.reconnect();
  lab.feed(hex("20 03 01 00 00"));
  // A broker that was killed has forgotten that it used 1 and 2: what it sends now was never sent before [MQTT-3.3.1-1].
  for (const packetId of [1, 2]) lab.feed(publishBytes(5, 2, packetId, { topic: "new" }));
  expect(lab.publishes.map(({ topic }) => topic)).toEqual(["a/b", "a/b", "new", "new"]);
  // The old one of the same id is not what the PUBREC is for.
  lab.tap.ack(lab.publishes.slice(0, 1));
  expect(await lab.sent()).toBe("");
  lab.tap.ack(lab.publishes.slice(2));
  expect(await lab.sent()).toBe("5002000150020002");
  lab.feed(publishBytes(5, 2, 1, { topic: "new" }));
  expect(lab.publishes.length).toBe(4);
  expect(await lab.sent()).toBe("50020001");
});

test("IngressTap.ack() ignores deliveries of a lost connection, whose packet ids may mean other messages now", async () => {
  const lab = openLab(4);
  lab.feed(publishBytes(4, 1, 5));
  lab.reconnect();
  lab.tap.ack(lab.publishes);
  lab.feed(publishBytes(4, 1, 5, { topic: "other" }));
  lab.tap.ack(lab.publishes.slice(0, 1));
  expect(await lab.sent()).toBe("");
  lab.tap.ack(lab.publishes);
  expect(await lab.sent()).toBe("40020005");
});

test("IngressTap.ack() waits until MQTT.js has written its packet to the end", async () => {
  const lab = openLab(4);
  lab.feed(publishBytes(4, 1, 1));
  const subscribe = generate({ cmd: "subscribe", messageId: 2, subscriptions: [{ topic: "t", qos: 1 }] });
  for (const byte of subscribe.subarray(0, -1)) {
    lab.write(Buffer.from([byte]));
    await settle();
    lab.tap.ack(lab.publishes);
  }
  expect(await lab.sent()).toBe(subscribe.subarray(0, -1).toString("hex"));
  lab.write(subscribe.subarray(-1));
  await settle();
  expect(await lab.sent()).toBe(`${subscribe.subarray(-1).toString("hex")}40020001`);
});

test.each([4, 5] as const)(
  "createIngressTap() rests at the receive maximum until some are acknowledged, version %d",
  (version) => {
    const lab = openLab(version, { receiveMaximum: 2 });
    for (const packetId of [1, 2]) lab.feed(publishBytes(version, 2, packetId));
    expect(lab.socket.isPaused()).toBe(true);
    lab.tap.ack(lab.publishes.slice(0, 1));
    expect(lab.socket.isPaused()).toBe(false);
  },
);

test("createIngressTap() takes what a broker sends beyond the receive maximum in one go", () => {
  const lab = openLab(5, { receiveMaximum: 2 });
  lab.feed(Buffer.concat([1, 2, 3, 4, 5].map((packetId) => publishBytes(5, 1, packetId))));
  expect(lab.problems).toEqual([]);
  expect(lab.publishes.length).toBe(5);
  lab.tap.ack(lab.publishes.slice(0, 3));
  expect(lab.socket.isPaused()).toBe(true);
  lab.tap.ack(lab.publishes.slice(3, 4));
  expect(lab.socket.isPaused()).toBe(false);
});

test("createIngressTap() rests while a broker takes no acknowledgements", async () => {
  const lab = openLab(4);
  lab.socket.isStuck = true;
  const releases = Buffer.concat(Array.from({ length: 20_000 }, () => hex("6202 0001")));
  lab.feed(releases);
  await settle();
  expect(lab.socket.isPaused()).toBe(true);
  lab.socket.unstick();
});

test("IngressTap.pause() does not keep a connection from ending, and takes nothing more", async () => {
  const lab = openLab(4);
  lab.tap.pause();
  lab.end();
  await settle();
  expect(lab.socket.isPaused()).toBe(false);
  lab.feed(publishBytes(4, 1, 1));
  expect(lab.publishes).toEqual([]);
});

test("IngressTap.pause() outlives a reconnect and answers MQTT.js's pings meanwhile", async () => {
  const lab = openLab(4);
  lab.tap.pause();
  expect(lab.socket.isPaused()).toBe(true);
  lab.reconnect();
  expect(lab.socket.isPaused()).toBe(true);
  lab.write(hex("c000"));
  await settle();
  expect(await lab.sent()).toBe("c000");
  expect(lab.passed).toBe("d000");
  lab.tap.resume();
  expect(lab.socket.isPaused()).toBe(false);
  lab.write(hex("c000"));
  await settle();
  expect(lab.passed).toBe("d000");
});

test("createIngressTap() ends with the socket's own error, not with that of a write", async () => {
  const lab = openLab(5);
  const reason = Object.assign(new Error("certificate has expired"), { code: "CERT_HAS_EXPIRED" });
  const ended = lab.error();
  lab.socket.write = (_chunk: unknown, done?: unknown) => {
    if (typeof done === "function") done(new Error("Socket is closed"));
    return false;
  };
  lab.write(hex("c000"));
  lab.socket.destroy(reason);
  expect(await ended).toBe(reason);
});
