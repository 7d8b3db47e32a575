// The dissector for Wireshark says of the golden vectors, and of what the compiled agents send, what they hold: with
// Debian's tshark, from captures in a file.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { requireTools, toolPath } from "../../support/requirements.ts";
import { Workspace } from "../../support/workspace.ts";
import golden from "../../vectors/wire.json";
import { encodeRecord, ipv4, ipv4Tcp, PORT, writePcap } from "./pcap.ts";

const DISSECTOR = join(import.meta.dir, "../../../build/wireshark/tidegate.lua");
/** The dissector shows text that is not UTF-8 with a sign in place of it, and does not count it as a fault. */
const LENIENT = /not UTF-8|overlong|surrogate/;

type Row = { readonly [field: string]: string[] | undefined };

requireTools(["tshark"])("tidegate.lua", () => {
  const workspace = new Workspace("dissector");
  afterAll(() => workspace.remove());
  const key = `tidegate-key-1:${Buffer.from(golden.linkKey, "hex").toString("base64")}`;
  const keyFile = workspace.write("link.key", `# a comment\n${key}\n`);
  const OPEN = { link_id: golden.linkId, key_file: keyFile };

  /** One row a packet, the fields asked for as lists of texts. */
  function dissect(
    packets: readonly Buffer[],
    fields: readonly string[],
    preferences: Record<string, string | number>,
  ): Row[] {
    const file = workspace.write("link.pcap", writePcap(101, packets));
    const chosen = Object.entries(preferences).flatMap(([name, value]) => [
      "-o",
      `tidegate.${name}:${value}`,
    ]);
    const wanted = fields.flatMap((field) => ["-e", field]);
    const command = [
      "-X",
      `lua_script:${DISSECTOR}`,
      ...chosen,
      "-r",
      file,
      "-T",
      "json",
      "--no-duplicate-keys",
      ...wanted,
    ];
    const run = Bun.spawnSync([toolPath("tshark"), ...command], {
      env: { ...process.env, HOME: workspace.directory },
    });
    const said = run.stderr.toString().replaceAll(/^Running as user.*\n/gm, "");
    expect({ status: run.exitCode, said }).toEqual({ status: 0, said: "" });
    const rows = JSON.parse(run.stdout.toString()) as {
      _source: { layers: Record<string, string | string[]> };
    }[];
    return rows.map(({ _source: { layers } }) =>
      Object.fromEntries(Object.entries(layers).map(([name, value]) => [name, [value].flat()])),
    );
  }

  const all = golden.vectors.filter((vector) => !("linkKeys" in vector));

  test("refuses the headers that a receiver refuses, for the same reason", () => {
    const REASONS = ["short", "version", "kind", "header", "tag"];
    const wanted = all.flatMap(({ datagrams, outcome }) => {
      const [only] = outcome as { refused?: string }[];
      const isOne = datagrams.length === 1 && outcome.length === 1 && (datagrams[0]?.length ?? 0) > 0;
      return isOne && REASONS.includes(only?.refused ?? "")
        ? [{ hex: datagrams[0] ?? "", reason: only?.refused }]
        : [];
    });
    expect(wanted.length).toBeGreaterThan(15);
    const packets = wanted.map(({ hex }) => ipv4(Buffer.from(hex, "hex")));
    const rows = dissect(packets, ["_ws.expert.message"], { ...OPEN, port: PORT });
    const messages = rows.map((row) =>
      row["_ws.expert.message"]?.map((text) => text.replace(/^tag:.*/, "tag")),
    );
    expect(messages).toEqual(wanted.map(({ reason }) => [reason ?? ""]));
  });

  test("calls the blocks, contents and heartbeats of one datagram malformed that a receiver does, and no others", () => {
    const single = all.filter(({ name, datagrams }) => datagrams.length === 1 && !LENIENT.test(name));
    const judged = single.flatMap(({ name, datagrams, outcome }) => {
      const [only] = outcome as {
        refused?: string;
        frames?: unknown;
        heartbeat?: unknown;
        restored?: number;
      }[];
      const isMalformed = only?.frames === "malformed" || only?.refused?.endsWith("-malformed") === true;
      const isFine = Array.isArray(only?.frames) || only?.heartbeat !== undefined;
      // What needs decompression, or the receiver's own limits, is out of its reach.
      const isBeyond = /zstd|bomb|decompressed|larger than the receiver/.test(name);
      return isBeyond || !(isMalformed || isFine) ? [] : [{ name, hex: datagrams[0] ?? "", isMalformed }];
    });
    expect(judged.filter(({ isMalformed }) => isMalformed).length).toBeGreaterThan(50);
    const rows = dissect(
      judged.map(({ hex }) => ipv4(Buffer.from(hex, "hex"))),
      ["_ws.expert.message"],
      OPEN,
    );
    const said = rows.map(
      (row) => row["_ws.expert.message"]?.some((text) => text.includes("malformed:")) === true,
    );
    expect(judged.map(({ name }, i) => [name, said[i]])).toEqual(
      judged.map(({ name, isMalformed }) => [name, isMalformed]),
    );
  });

  test("opens messages: topics, sequences, flags and properties", () => {
    const vector = all.find(({ name }) => name === "every flag and property, and skips");
    const fields = [
      "topic",
      "sequence",
      "qos",
      "retain",
      "content_type",
      "user_property",
      "expiry",
      "payload",
      "skip.reason",
      "epoch",
    ];
    const names = fields.map((field) => `tidegate.${field}`);
    const [row] = dissect([ipv4(Buffer.from(vector?.datagrams[0] ?? "", "hex"))], names, OPEN);
    const topic = "plant/hamburg/line-2/temperature";
    expect(row).toMatchObject({
      "tidegate.topic": [topic, topic, "größe/ä b/x", topic, topic],
      "tidegate.sequence": ["0", "1", "2", "3", "4", "5", "8"],
      "tidegate.qos": ["1", "0", "2", "1", "1"],
      "tidegate.content_type": ["application/json"],
      "tidegate.user_property": ["unit: °C", "unit: "],
      "tidegate.expiry": ["3600", "0"],
      "tidegate.skip.reason": ["1", "2"],
      "tidegate.epoch": [`0x${golden.epoch}`],
    });
    expect(row?.["tidegate.payload"]?.[1]).toBe("78");
  });

  test("opens heartbeats, and the copy that is their repair symbol", () => {
    const vector = all.find(({ name }) => name === "a heartbeat");
    const packets = (vector?.datagrams ?? []).map((hex) => ipv4(Buffer.from(hex, "hex")));
    const fields = ["tidegate.heartbeat.next", "tidegate.heartbeat.counter", "tidegate.heartbeat.name"];
    const rows = dissect(packets, fields, OPEN);
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      expect(row["tidegate.heartbeat.next"]).toEqual(["250"]);
      expect(row["tidegate.heartbeat.counter"]).toEqual([
        "accepted: 250",
        "accepted: 250",
        "lost/oversize: 1",
        "datagrams: 99",
      ]);
    }
  });

  test("reads headers without a key, and says how to open the rest", () => {
    const [vector] = all;
    const fields = ["tidegate.k", "tidegate.repair", "tidegate.topic", "_ws.expert.message"];
    const rows = dissect(
      (vector?.datagrams ?? []).map((hex) => ipv4(Buffer.from(hex, "hex"))),
      fields,
      {},
    );
    expect(rows).toEqual([
      {
        "tidegate.k": ["1"],
        "tidegate.repair": ["0"],
        "_ws.expert.message": ["sealed; the preferences link id and key file open it"],
      },
      {
        "tidegate.k": ["1"],
        "tidegate.repair": ["1"],
        "_ws.expert.message": ["sealed; the preferences link id and key file open it"],
      },
    ]);
  });

  test("opens what is not sealed without a key, and finds a wrong checksum", () => {
    const clear = golden.vectors.find(({ name }) => name === "not sealed")?.datagrams[0] ?? "";
    const broken = golden.vectors.find(({ name }) => name === "a wrong checksum")?.datagrams[0] ?? "";
    const fields = ["tidegate.topic", "_ws.expert.message"];
    const rows = dissect(
      [clear, broken].map((hex) => ipv4(Buffer.from(hex, "hex"))),
      fields,
      {},
    );
    expect(rows).toEqual([
      { "tidegate.topic": ["plant/hamburg/line-2/temperature"] },
      { "_ws.expert.message": ["tag: forged or corrupted"] },
    ]);
  });

  test("names another link, and a key file that is none", () => {
    const other = golden.vectors.find(({ name }) => name === "another link")?.datagrams[0] ?? "";
    const sealed = all[0]?.datagrams[0] ?? "";
    const packet = (hex: string) => [ipv4(Buffer.from(hex, "hex"))];
    expect(dissect(packet(other), ["_ws.expert.message"], OPEN)).toEqual([
      { "_ws.expert.message": ["link: of another link"] },
    ]);
    const bad = workspace.write("bad.key", "no key\n");
    const [row] = dissect(packet(sealed), ["_ws.expert.message"], { ...OPEN, key_file: bad });
    expect(row?.["_ws.expert.message"]?.[0]).toContain("holds no link key");
  });

  test("leaves other UDP alone, whatever is in it", () => {
    const packets = ["", "00", "01", "0101".padEnd(200, "0"), "ff".repeat(100), "0301".padEnd(200, "5")].map(
      (hex) => ipv4(Buffer.from(hex, "hex")),
    );
    expect(dissect(packets, ["tidegate.version"], {})).toEqual(packets.map(() => ({})));
  });

  test("finds records in TCP, one in two segments, too", () => {
    const [a = "", b = ""] = all[0]?.datagrams ?? [];
    const stream = Buffer.concat([encodeRecord(Buffer.from(a, "hex")), encodeRecord(Buffer.from(b, "hex"))]);
    const packets = [ipv4Tcp(stream.subarray(0, 200), 1), ipv4Tcp(stream.subarray(200), 201)];
    const rows = dissect(packets, ["tidegate.topic", "tidegate.record.length"], OPEN);
    const lengths = rows.flatMap((row) => row["tidegate.record.length"] ?? []);
    expect(lengths).toEqual([a, b].map((hex) => String(hex.length / 2)));
    expect(rows.flatMap((row) => row["tidegate.topic"] ?? [])).toHaveLength(2);
  });

  describe("any datagram with a byte changed or cut off", () => {
    let packets: Buffer[];
    beforeAll(() => {
      const whole = [all[1], all[5]].map((vector) => Buffer.from(vector?.datagrams[0] ?? "", "hex"));
      packets = whole
        .flatMap((datagram) => [
          ...Array.from(datagram, (_, at) => flip(datagram, at)),
          ...Array.from(datagram, (_, end) => datagram.subarray(0, end)).filter(({ length }) => length > 0),
        ])
        .map((datagram) => ipv4(datagram));
    });

    test("is not opened, and no cause for an error of the dissector", () => {
      const rows = dissect(packets, ["tidegate.data", "_ws.expert.message"], { ...OPEN, port: PORT });
      expect(rows).toHaveLength(packets.length);
      expect(rows.filter((row) => row["tidegate.data"] !== undefined)).toEqual([]);
      expect(rows.filter((row) => /Lua|bug/i.test(row["_ws.expert.message"]?.join() ?? ""))).toEqual([]);
    });
  });
});

function flip(datagram: Buffer, at: number): Buffer {
  const changed = Buffer.from(datagram);
  changed[at] = (changed[at] ?? 0) ^ 0x41;
  return changed;
}
