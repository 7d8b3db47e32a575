// Opens the configured paths and keeps them moving: a queue, a pacer and a socket each, and the timer between them.
import { lookup } from "node:dns/promises";
import type { Logger } from "../../../shared/log.ts";
import type { SendConfig } from "../config.ts";
import { Pacer } from "./pacer.ts";
import { PathQueue, type PathQueueOptions } from "./path-queue.ts";
import { openUdpSender, type UdpSender, wireOverheadBytes } from "./udp-path.ts";

type LinkConfig = SendConfig["link"];

/** Turns of writing and refilling before the sources get theirs. */
const TURNS_MAX = 64;

export class Path {
  readonly queue: PathQueue;
  /** Called after datagrams have left: there may be room again. */
  onWritten: () => void = () => {};
  #socket: UdpSender | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
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
      write: (datagrams) => this.#socket?.write(datagrams) ?? { written: 0 },
      onError: (error) => this.#note(error),
    });
  }

  /** What the kernel said when it last refused a datagram; undefined when it takes them. */
  get problem(): string | undefined {
    return this.#problem;
  }

  attach(socket: UdpSender): void {
    this.#socket = socket;
  }

  /** Writes what may leave now and comes back for the rest by itself. */
  pump(): void {
    if (this.#timer !== undefined || this.#pumping) return;
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
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.pump();
    }, wait);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#socket?.close();
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

function countRoomBytes(mbitPerSecond: number, datagramBytes: number): number {
  return Math.max(2 * datagramBytes, ((mbitPerSecond * 1_000_000) / 8 / 1000) * ROOM_MS);
}

/**
 * Throws an Error with a sentence for a person when an endpoint cannot be resolved or a socket not be opened.
 * `clock` must be the one whose time the queues are given by others: by it a path is known to have stalled.
 */
export async function openPaths(link: LinkConfig, log: Logger, clock: () => number): Promise<Path[]> {
  const paths: Path[] = [];
  for (const config of link.paths) {
    const { host, port } = config.endpoint;
    const text = `${host.includes(":") ? `[${host}]` : host}:${port}`;
    const { address, family } = await lookup(host).catch((error: Error) => {
      throw new Error(`cannot resolve the endpoint ${text} of path ${config.name}: ${error.message}`);
    });
    const overheadBytes = wireOverheadBytes(family === 6 ? 6 : 4);
    const largest = link.datagramBytes + overheadBytes;
    const pacer = new Pacer(config.rateMbitPerSecond, largest, clock());
    const roomBytes = Math.min(
      config.queueBytesMax,
      countRoomBytes(config.rateMbitPerSecond, link.datagramBytes),
    );
    const { interleaveBlocks } = link;
    const options = { pacer, overheadBytes, roomBytes, interleaveBlocks };
    const path = new Path(config.name, text, config.bestEffort, options, log, clock);
    const socket = await openUdpSender(address, port, family === 6 ? 6 : 4, () => path.pump());
    path.attach(socket);
    paths.push(path);
    const names = { path: config.name, endpoint: text, mbitPerSecond: config.rateMbitPerSecond };
    if (socket.deaf) log.info(names, "path opened, write-only");
    else log.warn(names, "path opened; the kernel filter against input could not be set");
  }
  return paths;
}
