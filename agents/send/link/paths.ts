// Opens the configured paths and keeps them moving: a queue, a pacer and a writer each, and the timer between them.
import { RECORD_HEADER_BYTES } from "../../../shared/framing/record.ts";
import type { Logger } from "../../../shared/log.ts";
import type { SendConfig } from "../config.ts";
import { type SendPath, showSendPath } from "../path-config.ts";
import { DirectoryPath } from "./directory-path.ts";
import { Pacer } from "./pacer.ts";
import { PathQueue, type PathQueueOptions } from "./path-queue.ts";
import type { PathWriter } from "./path-writer.ts";
import { openPipeStream } from "./pipe-path.ts";
import { type OpenStream, StreamPath } from "./stream-path.ts";
import { openTcpStream } from "./tcp-path.ts";
import { openUdpSender } from "./udp-path.ts";

type LinkConfig = SendConfig["link"];

/** Turns of writing and refilling before the sources get theirs. */
const TURNS_MAX = 64;

export class Path {
  readonly queue: PathQueue;
  /** Called after datagrams have left: there may be room again. */
  onWritten: () => void = () => {};
  #writer: PathWriter | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueMs = 0;
  #problem: string | undefined;
  #pumping = false;

  constructor(
    readonly name: string,
    readonly endpoint: string,
    readonly bestEffort: boolean,
    options: Omit<PathQueueOptions, "write" | "onError">,
    readonly log: Logger,
    readonly clock: () => number,
  ) {
    this.queue = new PathQueue({
      ...options,
      write: (datagrams) => this.#writer?.write(datagrams) ?? { written: 0 },
      onError: (error) => this.#note(error),
    });
  }

  /** What the kernel said when it last refused a datagram; undefined when it takes them. */
  get problem(): string | undefined {
    return this.#problem;
  }

  attach(writer: PathWriter): void {
    this.#writer = writer;
  }

  /** Tells the path the sender's run, before the first datagram. */
  begin(epoch: bigint): void {
    this.#writer?.begin?.(epoch);
  }

  /** There is room now, whatever the timer waits for. */
  wake(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.pump();
  }

  /** Writes what may leave now and comes back for the rest by itself. */
  pump(): void {
    if (this.#pumping) return;
    // A timer that is late, because the sources keep the agent busy, need not be waited for.
    if (this.#timer !== undefined && this.clock() < this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pumping = true;
    let wait: number | undefined;
    for (let turns = TURNS_MAX; turns > 0; turns--) {
      const before = this.queue.counters.datagrams;
      wait = this.queue.pump(this.clock());
      if (this.queue.counters.datagrams !== before) this.onWritten();
      if (wait !== undefined || this.queue.empty) break;
      wait = 0;
    }
    this.#pumping = false;
    if (wait === undefined) return;
    this.#dueMs = this.clock() + wait;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.pump();
    }, wait);
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writer?.close();
  }

  #note(error: string | undefined): void {
    if (error === this.#problem) return;
    const names = { path: this.name, endpoint: this.endpoint };
    if (error === undefined) this.log.info(names, "path takes datagrams again");
    else this.log.error({ ...names, error }, `path ${this.name} takes no datagrams: ${error}`);
    this.#problem = error;
  }
}

/** What may wait on a path: little, so that an urgent message soon has its turn, and enough to bridge a timer. */
const ROOM_MS = 10;
/** What a stream's path sends again when the stream broke: as much as it carries in this time, within bounds. */
const REPEAT_MS = 2000;
const REPEAT_BYTES_MIN = 16_384;
const REPEAT_BYTES_MAX = 4_194_304;
/** Ethernet, IPv4 and TCP with timestamps around the one segment that a datagram mostly is. */
const TCP_OVERHEAD_BYTES = 90;

export type PathRim = {
  readonly log: Logger;
  /**
   * Runs forward only. It must be the clock whose time the queues are given by others: by it a path is known to have stalled.
   */
  steady(): number;
  random(): number;
};

/** Throws an Error with a sentence for a person when an endpoint cannot be resolved or a socket not be opened. */
export async function openPaths(link: LinkConfig, rim: PathRim): Promise<Path[]> {
  const paths: Path[] = [];
  try {
    for (const config of link.paths) paths.push(await openPath(link, config, rim));
  } catch (error) {
    for (const path of paths) await path.close();
    throw error;
  }
  return paths;
}

async function openPath(link: LinkConfig, config: SendPath, rim: PathRim): Promise<Path> {
  const { log } = rim;
  const hold: { path?: Path } = {};
  const { writer, overheadBytes, note } = await openWriter(link, config, rim, hold);
  const largest = link.datagramBytes + overheadBytes;
  const pacer = new Pacer(config.rateMbitPerSecond, largest, rim.steady());
  const roomBytes = Math.min(
    config.queueBytesMax,
    Math.max(2 * link.datagramBytes, countBytes(config.rateMbitPerSecond, ROOM_MS)),
  );
  const { interleaveBlocks } = link;
  const options = { pacer, overheadBytes, roomBytes, interleaveBlocks, copies: config.type === "udp" };
  const endpoint = showSendPath(config);
  const path = new Path(config.name, endpoint, config.bestEffort, options, log, rim.steady);
  hold.path = path;
  path.attach(writer);
  const names = { path: config.name, type: config.type, endpoint, mbitPerSecond: config.rateMbitPerSecond };
  if (note === undefined) log.info(names, "path opened, write-only");
  else log.warn(names, `path opened; ${note}`);
  return path;
}

type Opened = { readonly writer: PathWriter; readonly overheadBytes: number; readonly note?: string };

const NOT_DEAF = "the kernel filter against input could not be set";

async function openWriter(
  link: LinkConfig,
  config: SendPath,
  rim: PathRim,
  hold: { readonly path?: Path },
): Promise<Opened> {
  const { log } = rim;
  const names = { path: config.name, endpoint: showSendPath(config) };
  const stream = (open: (signal: AbortSignal) => Promise<OpenStream>) =>
    new StreamPath({
      open,
      random: rim.random,
      repeatBytesMax: Math.min(
        REPEAT_BYTES_MAX,
        Math.max(REPEAT_BYTES_MIN, countBytes(config.rateMbitPerSecond, REPEAT_MS)),
      ),
      onOpened: (repeat) => {
        log.info({ ...names, repeated: repeat.length }, `path ${config.name} is open`);
        if (repeat.length > 0) hold.path?.queue.addBlock(repeat, rim.steady(), () => {});
        hold.path?.wake();
      },
    }).start();
  switch (config.type) {
    case "udp": {
      const sender = await openUdpSender(config, () => hold.path?.wake());
      const { overheadBytes } = sender;
      return { writer: sender, overheadBytes, ...(sender.deaf ? {} : { note: NOT_DEAF }) };
    }
    case "tcp": {
      const onDeaf = (deaf: boolean) => {
        if (!deaf) log.warn(names, NOT_DEAF);
      };
      const writer = stream((signal) => openTcpStream(config, signal, onDeaf));
      return { writer, overheadBytes: RECORD_HEADER_BYTES + TCP_OVERHEAD_BYTES };
    }
    case "pipe":
      return {
        writer: stream(() => openPipeStream(config.end, log)),
        overheadBytes: RECORD_HEADER_BYTES,
      };
    case "directory":
      return {
        writer: new DirectoryPath(config, link.id, rim.steady),
        overheadBytes: RECORD_HEADER_BYTES,
      };
  }
}

function countBytes(mbitPerSecond: number, ms: number): number {
  return ((mbitPerSecond * 1_000_000) / 8 / 1000) * ms;
}
