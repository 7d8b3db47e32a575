// `inspect` reads a capture that is far larger than the memory it may take. The capture is made as it is read, through a named
// pipe, so that it needs no disk either: sealed blocks, some that lack too much, as a long outage leaves them.
import { expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { splitContent } from "../../shared/framing/block.ts";
import { ContentWriter } from "../../shared/framing/content.ts";
import { KIND_MESSAGES } from "../../shared/framing/header.ts";
import { ipv4, writePcap } from "../interop/wire/pcap.ts";
import { findProgram } from "../support/agents.ts";
import { requireTools } from "../support/requirements.ts";
import { Workspace } from "../support/workspace.ts";
import { LINK_ID, LINK_KEY, makeEncoder, makeMessage } from "../unit/shared/framing/samples.ts";

const CAPTURE_BYTES = 500_000_000;
/** By then inspect has all the unfinished blocks that it may keep: 32 MiB of them. */
const FILLED_BYTES = 250_000_000;
/** What the runtime's own heap goes up and down by. */
const GROWTH_BYTES_MAX = 160_000_000;
const MESSAGES_A_BLOCK = 20;
const RAW_IP = 101;
const FILE_HEADER_BYTES = 24;

/** The packets of one block after another; two of three lack one symbol too many, every fiftieth is not there at all. */
function* makeCapture() {
  const encoder = makeEncoder({ repairPercent: 10 });
  const writer = new ContentWriter();
  const tally = { blocks: 0, datagrams: 0, messages: 0, unfinished: 0, absent: 0 };
  yield { bytes: writePcap(RAW_IP, []), tally };
  for (let block = 0; ; block++) {
    for (let index = 0; index < MESSAGES_A_BLOCK; index++)
      writer.addMessage(
        makeMessage({ topic: `plant/${block % 5000}`, payload: crypto.getRandomValues(Buffer.alloc(2000)) }),
      );
    const [whole] = splitContent(block * MESSAGES_A_BLOCK, MESSAGES_A_BLOCK, writer.take(), 50_000);
    if (whole === undefined) throw new Error("a content makes a block");
    const datagrams = encoder.encode(KIND_MESSAGES, 0, whole);
    const repair = datagrams[0]?.readUInt8(35) ?? 0;
    const kept = block % 50 === 1 ? [] : block % 3 === 0 ? datagrams : datagrams.slice(repair + 1);
    tally.blocks++;
    tally.datagrams += kept.length;
    if (kept.length === datagrams.length) tally.messages += MESSAGES_A_BLOCK;
    else if (kept.length === 0) tally.absent++;
    else tally.unfinished++;
    const packets = writePcap(
      RAW_IP,
      kept.map((datagram) => ipv4(datagram)),
    );
    yield { bytes: packets.subarray(FILE_HEADER_BYTES), tally };
  }
}

requireTools(["mkfifo"])("inspect", () => {
  test("takes no more memory for a capture of 500 MB than for its beginning", async () => {
    using workspace = new Workspace("inspect-huge");
    const fifo = workspace.path("link.pcap");
    expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
    workspace.write("link.key", `tidegate-key-1:${Buffer.from(LINK_KEY).toString("base64")}\n`);
    const config = workspace.write(
      "send.toml",
      `[link]
id = "${LINK_ID}"
key_file = "link.key"
[[link.path]]
type = "udp"
endpoint = "127.0.0.1:14550"
[journal]
directory = "journal"
[[source]]
name = "line"
type = "subscribe"
url = "mqtt://127.0.0.1:1883"
topics = ["plant/#"]
`,
    );
    const child = spawn(findProgram("send"), ["inspect", "--json", "--summary", "--config", config, fifo]);
    let printed = "";
    let said = "";
    child.stdout.on("data", (text) => (printed += text));
    child.stderr.on("data", (text) => (said += text));
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    const resident = () =>
      1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]);

    const pipe = await Promise.race([open(fifo, "w"), ended.then(() => undefined)]);
    if (pipe === undefined) throw new Error(said);
    let written = 0;
    const early: number[] = [];
    const late: number[] = [];
    let last = { blocks: 0, datagrams: 0, messages: 0, unfinished: 0, absent: 0 };
    for (const { bytes, tally } of makeCapture()) {
      await pipe.writeFile(bytes);
      written += bytes.length;
      last = tally;
      if (tally.blocks % 50 === 0) (written < FILLED_BYTES ? early : late).push(resident());
      // The last block is one that was not seen at all, so that the next one tells.
      if (written > CAPTURE_BYTES && tally.blocks % 50 === 0) break;
    }
    await pipe.close();
    expect(await ended).toBe(0);
    expect(said).toBe("");
    expect(Math.max(...late) - Math.max(...early)).toBeLessThan(GROWTH_BYTES_MAX);
    const { datagrams, runs, streams } = JSON.parse(printed);
    expect(datagrams).toBe(last.datagrams);
    expect(runs[0].messageBlocks).toMatchObject({
      seen: last.blocks - last.absent,
      whole: last.blocks - last.absent - last.unfinished,
      unfinished: last.unfinished,
    });
    expect(streams[0]).toMatchObject({ messages: last.messages, malformed: 0, repeated: 0 });
  }, 120_000);
});
