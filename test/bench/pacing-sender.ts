// The sending end of a pacing run: a path of the send agent, opened as the agent opens it, with blocks that wait all the time.
import { openPaths } from "../../agents/send/link/paths.ts";
import { splitContent } from "../../shared/framing/block.ts";
import { BlockEncoder } from "../../shared/framing/encoder.ts";
import { KIND_MESSAGES } from "../../shared/framing/header.ts";
import { createLog } from "../../shared/log.ts";
import { LINK } from "./link-shape.ts";
import { type PacingWishes, WARM_SECONDS } from "./pacing.ts";
import { serve } from "./worker.ts";

const WINDOW_MS = 10;

/** The most bytes that left in any 10 ms. */
class BurstWindow {
  mostBytes = 0;
  readonly #left: { readonly atMs: number; readonly before: number }[] = [];
  #before: number | undefined;

  /** `bytes` have left so far, the last of them now. */
  note(nowMs: number, bytes: number): void {
    this.#left.push({ atMs: nowMs, before: this.#before ?? bytes });
    this.#before = bytes;
    while ((this.#left[0]?.atMs ?? nowMs) <= nowMs - WINDOW_MS) this.#left.shift();
    this.mostBytes = Math.max(this.mostBytes, bytes - (this.#left[0]?.before ?? bytes));
  }
}

serve({
  send: async (request) => {
    const { mbitPerSecond, datagramBytes, seconds, port } = request as unknown as PacingWishes & {
      port: number;
    };
    const udp = { interface: undefined, localAddress: undefined, multicastTtl: 1, multicastLoop: false };
    const config = {
      ...{ name: "path-1", type: "udp" as const, endpoint: { host: "127.0.0.1", port }, ...udp },
      ...{ rateMbitPerSecond: mbitPerSecond, queueBytesMax: 4_194_304, bestEffort: false },
    };
    const link = {
      ...{
        id: LINK.identity.linkId,
        sealing: "none" as const,
        keys: [],
        datagramBytes,
        lingerMs: 1,
        heartbeatMs: 1000,
      },
      ...{ blockBytes: LINK.contentBytes, repairPercent: 10, repairSymbolsMin: 1, interleaveBlocks: 1 },
      ...{ compression: "none" as const, repeatAfterSeconds: 0, paths: [config] },
    };
    const log = createLog({ agent: "bench", level: "fatal", file: undefined });
    const steady = () => performance.now();
    const [path] = await openPaths(link, { log, steady, random: Math.random });
    if (path === undefined) throw new Error("one path was asked for");
    const encoder = new BlockEncoder({
      ...LINK.identity,
      ...{ datagramBytes, repairPercent: 10, repairSymbolsMin: 1 },
    });
    // A block takes 50 ms on the path at most, as in the agent.
    const bytes = Math.max(
      datagramBytes - 100,
      Math.min(LINK.contentBytes, (mbitPerSecond * 1e6 * 0.05) / 8),
    );
    const content = crypto.getRandomValues(new Uint8Array(bytes));
    const { queue } = path;
    let sequence = 0;
    let filling = true;
    const fill = () => {
      while (filling && queue.hasRoom) {
        for (const block of splitContent(sequence++, 1, content, content.length)) {
          const datagrams = encoder.encode(KIND_MESSAGES, 0, block);
          queue.addBlock(datagrams, steady(), () => encoder.recycle(datagrams));
        }
      }
    };
    const window = new BurstWindow();
    const warmMs = steady() + WARM_SECONDS * 1000;
    path.onWritten = () => {
      if (steady() > warmMs) window.note(steady(), queue.counters.bytes);
      fill();
    };
    fill();
    path.pump();
    await Bun.sleep(seconds * 1000);
    filling = false;
    await path.close();
    return { burstBytes: window.mostBytes, problem: path.problem };
  },
});
