// What the compiled agents really send, explained by all who can: `inspect` of both programs, the second decoder and the
// dissector. They must agree with what was published. No product code here.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../../support/agents.ts";
import { Collector, type Outgoing, Publisher } from "../../support/mqtt-clients.ts";
import { findObstacle, requireTools, toolPath } from "../../support/requirements.ts";
import { Site } from "../../support/site.ts";
import { UdpRelay } from "../../support/udp-relay.ts";
import { waitFor } from "../../support/wait.ts";
import { CAPSULES, ipv4, writePcap } from "./pcap.ts";
import { decodeAll, findDecoder } from "./second-decoder.ts";

const DISSECTOR = join(import.meta.dir, "../../../build/wireshark/tidegate.lua");
const SMALL = 300;

type Line = { readonly type: string; readonly [key: string]: unknown };
type Frame = { readonly topic?: string | undefined; readonly payload?: string | undefined };

const published: Outgoing[] = Array.from({ length: SMALL }, (_, i) => ({
  topic: `plant/line-${i % 7}/größe`,
  payload: `{"value":${i}}`,
  options: {
    qos: 1,
    properties: i % 50 === 0 ? { contentType: "application/json", userProperties: { i: `${i}` } } : {},
  },
}));
// Too large for a datagram, and for zstd to make it small.
const noise = crypto.getRandomValues(Buffer.alloc(50_000));
published.push({ topic: "plant/large", payload: noise, options: { qos: 1 } });

requireTools(["mosquitto", "tshark"])("what the agents send", () => {
  let site: Site;
  let recorded: Buffer[] = [];
  /** A capture that tshark took on loopback; undefined where it may not. */
  let taken: string | undefined;

  beforeAll(async () => {
    site = await Site.open();
    const [plant, business] = [await site.startBroker(), await site.startBroker()];
    const relay = site.use(await UdpRelay.start(site.linkPort));
    const source = { name: "line-broker", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] };
    const path = { type: "udp", endpoint: `127.0.0.1:${relay.port}`, rate_mbit_per_second: 50 };
    site.writeSend([source], { link: { repair_percent: 25, path: [path] } });
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const far = site.use(await Collector.start({ door: business.port }));
    const capture = await startCapture(site, relay.port);
    await site.startBoth();
    const near = site.use(await Publisher.start({ door: plant.port }));
    await near.publishAll(published);
    await far.waitForCount(published.length);
    recorded = [...relay.recorded];
    const bytes = recorded.reduce((sum, datagram) => sum + datagram.length, 0);
    taken = await capture?.stop(bytes);
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  function capture(datagrams: readonly Buffer[]): string {
    const { wrap } = CAPSULES["Ethernet, two VLAN tags"] ?? { wrap: ipv4 };
    return site.workspace.write("link.pcap", writePcap(1, datagrams.map(wrap)));
  }

  function inspect(agent: "send" | "recv", path: string, ...options: string[]): Line[] {
    const config = ["--config", agent === "send" ? site.sendFile : site.recvFile];
    const run = runProgram(agent, ["inspect", ...config, "--json", ...options, path]);
    expect({ status: run.status, stderr: run.stderr }).toEqual({ status: 0, stderr: "" });
    return run.stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }

  const messagesOf = (lines: readonly Line[]) => lines.filter(({ type }) => type === "message");
  const topics = () => published.map(({ topic }) => topic).sort();

  for (const agent of ["send", "recv"] as const) {
    test(`tidegate-${agent} inspect finds every message once, and nothing missing`, () => {
      const lines = inspect(agent, capture(recorded));
      const messages = messagesOf(lines);
      expect(messages.map(({ topic }) => topic).sort()).toEqual(topics());
      expect(messages.map(({ sequence }) => sequence)).toEqual(published.map((_, i) => i));
      expect(lines.filter(({ type }) => type === "heartbeat").length).toBeGreaterThan(0);
      const summary = lines.at(-1) as Line & { streams: unknown[]; outcomes: Record<string, number> };
      expect(summary.streams).toMatchObject([{ messages: published.length, holes: [], repeated: 0 }]);
      expect(Object.keys(summary.outcomes).sort()).toEqual(["opened", "surplus"]);
      expect(JSON.stringify(lines)).not.toContain("7b2276616c7565");
    });
  }

  test("inspect restores what is missing of each block, and names what cannot be", () => {
    // Byte 33 is the symbol's number, 1 the kind.
    const withoutFirst = recorded.filter((datagram) => datagram[33] !== 0);
    const lines = inspect("recv", capture(withoutFirst), "--payloads");
    expect(messagesOf(lines)).toHaveLength(published.length);
    expect(messagesOf(lines).find(({ topic }) => topic === "plant/large")?.payload).toBe(
      noise.toString("hex"),
    );
    const sourceOnly = withoutFirst.filter((datagram) => (datagram[33] ?? 0) < (datagram[34] ?? 0));
    const broken = inspect("recv", capture(sourceOnly));
    expect(broken.filter(({ outcome }) => outcome === "unfinished").length).toBeGreaterThan(0);
    expect(messagesOf(broken)).toEqual([]);
  });

  test("inspect explains the journal, and the spool", () => {
    const lines = inspect("send", site.workspace.path("journal"));
    expect(
      messagesOf(lines)
        .map(({ topic }) => topic)
        .sort(),
    ).toEqual(topics());
    expect(inspect("recv", site.workspace.path("spool")).at(-1)).toMatchObject({
      type: "summary",
      of: "log",
    });
  });

  test("inspect reads the capture that tshark took", () => {
    if (taken === undefined) {
      console.error("skipped: a capture on loopback needs the right to take one");
      expect(process.env.TIDEGATE_TESTS_MUST_RUN).not.toBe("1");
      return;
    }
    expect(
      messagesOf(inspect("recv", taken))
        .map(({ topic }) => topic)
        .sort(),
    ).toEqual(topics());
  });

  test("the second decoder makes the same messages of it", () => {
    const decoder = findDecoder();
    if ("reason" in decoder) {
      console.error(`skipped: the second decoder: ${decoder.reason}`);
      expect(process.env.TIDEGATE_TESTS_MUST_RUN).not.toBe("1");
      return;
    }
    const [, base64 = ""] = /^tidegate-key-1:(.*)$/m.exec(site.workspace.read("link.key")) ?? [];
    const linkKeys = [Buffer.from(base64, "base64").toString("hex")];
    const datagrams = recorded.map((datagram) => datagram.toString("hex"));
    const [outcome = []] = decodeAll(decoder, [
      { linkId: "plant-7", linkKeys, datagrams, contentBytesMax: 2_000_000 },
    ]);
    const frames = (outcome as { frames?: Frame[] }[]).flatMap((one) => one.frames ?? []);
    const expected = published.map(({ topic, payload }) => ({
      topic,
      payload: Buffer.from(payload as Uint8Array).toString("hex"),
    }));
    const byText = (a: Frame, b: Frame) => `${a.topic} ${a.payload}`.localeCompare(`${b.topic} ${b.payload}`);
    expect(frames.map(({ topic, payload }) => ({ topic, payload })).sort(byText)).toEqual(
      expected.sort(byText),
    );
  });

  test("the dissector opens every datagram, and finds no fault", () => {
    const preferences = { link_id: "plant-7", key_file: site.workspace.path("link.key") };
    const chosen = Object.entries(preferences).flatMap(([name, value]) => [
      "-o",
      `tidegate.${name}:${value}`,
    ]);
    const fields = ["-T", "fields", "-e", "tidegate.data", "-e", "_ws.expert.message"];
    const command = [
      toolPath("tshark"),
      "-X",
      `lua_script:${DISSECTOR}`,
      ...chosen,
      "-r",
      capture(recorded),
      ...fields,
    ];
    const run = Bun.spawnSync(command, { env: { ...process.env, HOME: site.workspace.directory } });
    const rows = run.stdout.toString().split("\n").slice(0, -1);
    expect(rows).toHaveLength(recorded.length);
    expect(rows.filter((row) => !/^[0-9a-f]+\t$/.test(row))).toEqual([]);
  });

  test("inspect ends with 1, and what it could read, when a capture is cut short", () => {
    const path = capture(recorded);
    site.workspace.write("cut.pcap", readFileSync(path).subarray(0, 3000));
    const run = runProgram("recv", ["inspect", "--summary", site.workspace.path("cut.pcap")]);
    expect(run.status).toBe(1);
    expect(run.stdout).toContain("no-key: sealed; --config FILE names the key that opens it");
    expect(run.stderr).toMatch(
      /^cannot read .*cut\.pcap to its end: it is cut short in packet \d+, at byte \d+\n$/,
    );
  });

  test("inspect ends with 2 for wrong arguments, 78 for a wrong configuration, 1 for a file that is nothing", () => {
    expect(runProgram("send", ["inspect"]).status).toBe(2);
    expect(runProgram("send", ["inspect", "--port", "x", site.sendFile]).status).toBe(2);
    expect(runProgram("send", ["inspect", "--config", site.recvFile, site.sendFile]).status).toBe(78);
    const run = runProgram("send", ["inspect", site.sendFile]);
    expect({ status: run.status, stdout: run.stdout }).toEqual({ status: 1, stdout: "" });
    expect(run.stderr).toBe(
      `cannot read ${site.sendFile}: it is no capture (pcap or pcapng), journal or spool\n`,
    );
  });
});

/** `stop` waits until so many bytes are in the file: tshark writes them some time after they went by. */
type Capture = { stop(bytes: number): Promise<string> };

/** tshark on loopback, once it takes packets; undefined where it may not. */
async function startCapture(site: Site, port: number): Promise<Capture | undefined> {
  if (findObstacle(["tshark"]) !== undefined || process.getuid?.() !== 0) return undefined;
  const file = site.workspace.path("taken.pcapng");
  const shark = spawn(toolPath("tshark"), ["-q", "-i", "lo", "-f", `udp dst port ${port}`, "-w", file], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  let hasEnded = false;
  shark.stderr.on("data", (text) => {
    said += text;
  });
  shark.on("exit", () => {
    hasEnded = true;
  });
  const ended = new Promise<void>((resolve) => shark.on("exit", () => resolve()));
  await waitFor(
    "tshark to capture",
    20_000,
    () => hasEnded || said.includes("Capture started"),
    () => said,
  );
  if (hasEnded) return undefined;
  const stop = async (bytes: number) => {
    await waitFor(
      "the capture",
      20_000,
      () => existsSync(file) && statSync(file).size > bytes,
      () => said,
    );
    shark.kill("SIGINT");
    await ended;
    return file;
  };
  site.use({
    [Symbol.asyncDispose]: async () => {
      shark.kill("SIGKILL");
    },
  });
  return { stop };
}
