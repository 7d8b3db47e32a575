import { expect, test } from "bun:test";
import { generate, type Packet } from "mqtt-packet";
import {
  type AckType,
  decodeAck,
  describeReason,
  PUBACK_TYPE,
  PUBCOMP_TYPE,
  PUBREC_TYPE,
} from "../../../../shared/mqtt/egress-ack.ts";
import { seededRandom } from "./fake-socket.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const decode = (version: 4 | 5, body: Buffer, type: AckType = PUBACK_TYPE) =>
  decodeAck(version, type, body, 0, body.length);

test("decodeAck() reads what mqtt-packet writes", () => {
  const names = { puback: PUBACK_TYPE, pubrec: PUBREC_TYPE, pubcomp: PUBCOMP_TYPE } as const;
  for (const [cmd, type] of Object.entries(names)) {
    for (const messageId of [1, 255, 256, 65_535]) {
      const plain = generate({ cmd, messageId } as Packet, { protocolVersion: 4 });
      expect(decode(4, plain.subarray(2), type)).toEqual({ packetId: messageId, code: 0, text: undefined });
      for (const reasonCode of cmd === "pubcomp" ? [0, 0x92] : [0, 0x10, 0x87, 0x97]) {
        for (const reasonString of [undefined, "", "größer", "q".repeat(150)]) {
          const properties =
            reasonString === undefined ? {} : { reasonString, userProperties: { a: "b", c: ["d", "e"] } };
          const packet = { cmd, messageId, reasonCode, properties } as Packet;
          const bytes = generate(packet, { protocolVersion: 5 });
          const bodyStart = (bytes[1] as number) < 0x80 ? 2 : 3;
          const found = decode(5, bytes.subarray(bodyStart), type);
          expect(found).toEqual({ packetId: messageId, code: reasonCode, text: reasonString });
        }
      }
    }
  }
});

const MALFORMED: [name: string, version: 4 | 5, body: string, reason: string][] = [
  ["no byte", 4, "", "PUBACK has a body of 0 bytes"],
  ["one byte", 5, "00", "PUBACK has a body of 1 bytes"],
  ["packet identifier 0", 5, "0000", "PUBACK has the packet identifier 0"],
  ["a reason code in MQTT 3.1.1", 4, "0001 00", "PUBACK has a body of 3 bytes"],
  ["properties that are missing", 5, "0001 00 01", "PUBACK: properties do not end where the packet ends"],
  ["properties that are too many", 5, "0001 00 00 1f", "PUBACK: properties do not end where the packet ends"],
  ["a property length without end", 5, "0001 00 80", "PUBACK: property length is malformed"],
  ["a property length longer than needed", 5, "0001 00 8000", "PUBACK: property length is malformed"],
  ["an unknown property", 5, "0001 00 02 0101", "PUBACK: property 1 is unknown"],
  ["two reason strings", 5, "0001 00 06 1f0000 1f0000", "PUBACK: property 31 is there twice"],
  ["a cut reason string", 5, "0001 00 03 1f0001", "PUBACK: property 31 is cut short"],
  ["a reason string without length", 5, "0001 00 02 1f00", "PUBACK: property 31 is cut short"],
  ["a cut user property", 5, "0001 00 05 26 0000 0001", "PUBACK: property 38 is cut short"],
  ["bad UTF-8", 5, "0001 87 04 1f 0001 ff", "PUBACK: property 31 is not UTF-8"],
];
test.each(MALFORMED)("decodeAck() refuses %s", (_name, version, body, reason) => {
  expect(decode(version, hex(body))).toBe(reason);
});

test("decodeAck() never throws nor reads beyond the end on random bytes", () => {
  const random = seededRandom(4);
  for (let i = 0; i < 30_000; i++) {
    const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 14) }, () => random() * 256));
    // Mostly plausible beginnings, so that the properties are reached.
    if (i % 2 === 0 && bytes.length > 5) bytes.set([bytes.length - 4, random() < 0.5 ? 0x1f : 0x26, 0], 3);
    for (const version of [4, 5] as const) {
      const alone = decode(version, bytes);
      const framed = Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(9, 0xff)]);
      expect(decodeAck(version, PUBACK_TYPE, framed, 3, 3 + bytes.length)).toEqual(alone);
    }
  }
});

test("decodeAck() makes a stranger's words fit for a log", () => {
  const text = `a\u001b[31m\n\u202e${"b".repeat(300)}`;
  const bytes = generate(
    { cmd: "puback", messageId: 1, reasonCode: 0x80, properties: { reasonString: text } },
    { protocolVersion: 5 },
  );
  const found = decode(5, bytes.subarray(3));
  expect(found).toEqual({ packetId: 1, code: 0x80, text: `a?[31m??${"b".repeat(192)}` });
});

test("describeReason() names the code and adds the broker's words", () => {
  expect(describeReason(0x87, undefined)).toBe("not authorized (0x87)");
  expect(describeReason(0x97, "slow down")).toBe("quota exceeded (0x97): slow down");
  expect(describeReason(0xfe, "")).toBe("unknown reason (0xfe)");
});
