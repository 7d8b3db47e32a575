// Captures of every kind give the datagrams that were put in them, and damaged ones never more than an explanation.
import { afterAll, describe, expect, test } from "bun:test";
import { ByteFile } from "../../../../shared/inspect/byte-file.ts";
import { readCapture } from "../../../../shared/inspect/capture.ts";
import { findDatagram } from "../../../../shared/inspect/packet.ts";
import { CAPSULES, ipv4, writePcap, writePcapng } from "../../../interop/wire/pcap.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("capture");
afterAll(() => workspace.remove());

const datagrams = [1, 20, 1400].map((size) => Buffer.alloc(size, size & 0xff));

type Read = {
  readonly found: unknown[];
  readonly times: (number | undefined)[];
  readonly fault: string | undefined;
};

function read(bytes: Buffer): Read {
  const file = new ByteFile(workspace.write("capture", bytes));
  const magic = file.read(4)?.readUInt32BE(0) ?? 0;
  const packets = readCapture(file, magic);
  const [found, times]: [unknown[], (number | undefined)[]] = [[], []];
  for (;;) {
    const next = packets.next();
    if (next.done) {
      file.close();
      return { found, times, fault: next.value };
    }
    const { linkType, bytes: packet, timeMs } = next.value;
    const datagram = findDatagram(linkType, packet);
    found.push(typeof datagram === "string" ? datagram : datagram.payload.toString("hex"));
    times.push(timeMs);
  }
}

const FORMATS: Record<string, (linkType: number, packets: readonly Buffer[]) => Buffer> = {
  "pcap, little-endian": (type, packets) => writePcap(type, packets),
  "pcap, big-endian, nanoseconds": (type, packets) =>
    writePcap(type, packets, { isLittle: false, nanoseconds: true }),
  "pcapng, little-endian": (type, packets) => writePcapng(type, packets),
  "pcapng, big-endian": (type, packets) => writePcapng(type, packets, false),
};

describe("readCapture() and findDatagram()", () => {
  for (const [format, write] of Object.entries(FORMATS)) {
    for (const [layers, { linkType, wrap }] of Object.entries(CAPSULES)) {
      test(`find the datagrams in ${format}: ${layers}`, () => {
        const { found, times, fault } = read(write(linkType, datagrams.map(wrap)));
        expect(found).toEqual(datagrams.map((datagram) => datagram.toString("hex")));
        expect(times.map((ms) => Math.round((ms ?? 0) * 1000) / 1000)).toEqual([
          1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_002,
        ]);
        expect(fault).toBeUndefined();
      });
    }

    test(`say where ${format} is cut, at any byte`, () => {
      const whole = write(
        101,
        datagrams.slice(0, 2).map((datagram) => ipv4(datagram)),
      );
      for (let end = 4; end < whole.length; end++) {
        const { found, fault } = read(whole.subarray(0, end));
        expect(found.length).toBeLessThan(3);
        if (fault !== undefined) expect(fault).toMatch(/^is (cut short|damaged)/);
      }
    });

    test(`take ${format} with any byte changed without an error`, () => {
      const whole = write(
        101,
        datagrams.slice(0, 2).map((datagram) => ipv4(datagram)),
      );
      for (let at = 4; at < whole.length; at++) {
        for (const flip of [0x01, 0x80, 0xff]) {
          const changed = Buffer.from(whole);
          changed[at] = (changed[at] ?? 0) ^ flip;
          expect(read(changed).found.length).toBeLessThan(3);
        }
      }
    });
  }

  test("say of a packet of 4 GB that the file is damaged, and read none of it", () => {
    const file = writePcap(1, []);
    const record = Buffer.alloc(16, 255);
    const { found, fault } = read(Buffer.concat([file, record, Buffer.alloc(1000)]));
    expect(found).toEqual([]);
    expect(fault).toBe("is damaged at byte 24: packet 1 says it has 4294967295 bytes");
  });
});

describe("findDatagram()", () => {
  const datagram = Buffer.from("hello");
  const broken: Record<string, [number, Buffer, string]> = {
    "a first fragment": [101, ipv4(datagram, 0x2000), "fragment"],
    "a later fragment": [101, ipv4(datagram, 0x00b9), "fragment"],
    "a packet that may not be fragmented": [101, ipv4(datagram, 0x4000), "hello"],
    "a link type of radio": [127, ipv4(datagram), "link-type"],
    ARP: [1, Buffer.from(`${"02".repeat(12)}0806${"00".repeat(28)}`, "hex"), "not-ip"],
    TCP: [101, Buffer.from(ipv4(datagram).toString("hex").replace("4011", "4006"), "hex"), "not-udp"],
    "an IPv4 header without end": [101, Buffer.from("45", "hex"), "cut"],
    nothing: [1, Buffer.alloc(0), "cut"],
    "VLAN tags without end": [1, Buffer.from(`${"02".repeat(12)}${"81000001".repeat(3000)}`, "hex"), "cut"],
  };
  for (const [name, [linkType, packet, expected]] of Object.entries(broken)) {
    test(`gives "${expected}" for ${name}`, () => {
      const found = findDatagram(linkType, packet);
      expect(typeof found === "string" ? found : found.payload.toString()).toBe(expected as never);
    });
  }

  test("keeps the size that a cut datagram had on the wire", () => {
    const found = findDatagram(101, ipv4(Buffer.alloc(1000)).subarray(0, 100));
    expect(found).toMatchObject({
      kind: "udp",
      bytes: 1000,
      source: "10.0.0.1:40000",
      destination: "10.0.0.2:14550",
    });
    expect(typeof found === "string" ? 0 : found.payload.length).toBe(72);
  });
});
