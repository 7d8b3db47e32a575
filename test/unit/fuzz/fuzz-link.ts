// The receiving agent's core, whole, with a spool in memory, and true senders whose messages are numbered: whatever else
// is put on the link, their messages must come out as they went in, in order, once.
import { RecvCore } from "../../../agents/recv/core.ts";
import { Spool } from "../../../agents/recv/spool.ts";
import { splitContent } from "../../../shared/framing/block.ts";
import { ContentWriter } from "../../../shared/framing/content.ts";
import type { BlockEncoder } from "../../../shared/framing/encoder.ts";
import { KIND_MESSAGES } from "../../../shared/framing/header.ts";
import { encodeHeartbeat } from "../../../shared/framing/heartbeat.ts";
import { openBlockLog } from "../../../shared/store/open.ts";
import { HEARTBEAT, LINK_ID, LINK_KEY, makeEncoder, makeMessage } from "../shared/framing/samples.ts";
import type { Random } from "./random.ts";

export const LIMITS = {
  patienceMs: 100,
  assemblyBytesMax: 4_000_000,
  holdBytesMax: 4_000_000,
  contentBytesMax: 1_300_000,
};
const STREAMS = 16;
/** Two kinds of blocks; parts and contents behind holes are bounded in each stream. One more may always come. */
export const WAITING_BYTES_MAX =
  2 * LIMITS.assemblyBytesMax +
  STREAMS * (LIMITS.assemblyBytesMax + LIMITS.holdBytesMax) +
  LIMITS.contentBytesMax;
const SPOOL_BYTES_MAX = 16_777_216;

/** A sender that keeps to the protocol: each call of next() sends a few numbered messages. */
export class TrueSender {
  readonly #encoder: BlockEncoder;
  readonly #random: Random;
  sent = 0;

  constructor(
    readonly name: string,
    random: Random,
    run: { readonly journalId: bigint; readonly epoch: bigint },
  ) {
    this.#random = random;
    this.#encoder = makeEncoder({ ...run, repairPercent: 20 });
  }

  next(): Buffer[] {
    const writer = new ContentWriter();
    const first = this.sent;
    for (let count = 1 + this.#random.below(10); count > 0; count--) {
      const payload = Buffer.from(makePayload(this.sent++));
      writer.addMessage(makeMessage({ topic: `true/${this.name}`, payload }));
    }
    const blocks = splitContent(first, this.sent - first, writer.take(), 5000);
    return blocks.flatMap((block) => this.#encoder.encode(KIND_MESSAGES, 0, block));
  }

  beat(): Buffer[] {
    const { sent } = this;
    const streams = [{ stream: 0, epochFirst: 0, next: sent, sent, oldest: 0 }];
    return this.#encoder.encodeHeartbeat(encodeHeartbeat({ ...HEARTBEAT, streams }));
  }
}

/** Every number has its own text, some of them long. */
function makePayload(number: number): string {
  return `${number} `.repeat(number % 50 === 0 ? 400 : 1 + (number % 7));
}

export class FuzzLink {
  core: RecvCore;
  #spool: Spool;
  readonly #log = openBlockLog("", "", "memory");
  readonly #seen = new Map<string, number>();
  readonly refused = new Map<string, number>();
  waitingBytesMost = 0;
  foreign = 0;
  #readId = 0;
  #nowMs = 1_000_000;

  constructor(private readonly contentBytesMax = LIMITS.contentBytesMax) {
    [this.core, this.#spool] = this.#start();
  }

  /** The agent ends, all that it took being kept, and starts again. */
  restart(): void {
    this.pass(0);
    [this.core, this.#spool] = this.#start();
  }

  put(datagrams: readonly Buffer[]): void {
    for (const datagram of datagrams) this.core.receive(datagram, 0, this.#now);
    this.waitingBytesMost = Math.max(this.waitingBytesMost, this.core.waitingBytes);
  }

  /** Time goes on; what has arrived is kept, read as a target would read it, judged and released. */
  pass(ms: number): void {
    this.#nowMs += ms;
    this.core.tick(this.#now);
    this.core.health.tick(this.#nowMs);
    this.core.flush(this.#nowMs);
    const { lastId } = this.#spool;
    while (this.#readId < lastId) {
      for (const entry of this.#spool.read(this.#readId)) {
        for (const { topic, payload } of entry.messages) this.#judge(topic, Buffer.from(payload).toString());
        this.#readId = entry.id;
      }
    }
    this.#spool.release([[0, this.#readId]]);
  }

  /** Messages of a true sender that have come, each as it was, in order and once. */
  arrived(sender: TrueSender): number {
    return this.#seen.get(`true/${sender.name}`) ?? 0;
  }

  #start(): [RecvCore, Spool] {
    const spool = new Spool(this.#log, SPOOL_BYTES_MAX);
    const none = () => {};
    const core = new RecvCore(
      {
        ...LIMITS,
        contentBytesMax: this.contentBytesMax,
        linkId: LINK_ID,
        linkKeys: [LINK_KEY],
        degradedAfterMs: 2500,
        downAfterMs: 5000,
      },
      spool,
      {
        dirty: (much) => {
          if (much) core.flush(this.#nowMs);
        },
        gap: none,
        recovered: none,
        heartbeat: none,
        journalChanged: none,
        epochChanged: none,
        refused: (reason, _path, count) => this.refused.set(reason, (this.refused.get(reason) ?? 0) + count),
      },
    );
    return [core, spool];
  }

  get #now() {
    return { wallMs: this.#nowMs, steadyMs: this.#nowMs };
  }

  #judge(topic: string, payload: string): void {
    if (!topic.startsWith("true/")) {
      this.foreign++;
      return;
    }
    const number = this.#seen.get(topic) ?? 0;
    if (payload !== makePayload(number))
      throw new Error(`${topic}: in place of ${number} came ${payload.slice(0, 40)}`);
    this.#seen.set(topic, number + 1);
  }
}
