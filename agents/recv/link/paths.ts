// Opens the configured paths, counts what each brings, and says when one falls silent, or cannot read, while others go on.
// Nothing is ever written to any of them.
import { Counters } from "../../../shared/counters.ts";
import type { Heartbeat } from "../../../shared/framing/heartbeat.ts";
import type { Logger } from "../../../shared/log.ts";
import type { RecvConfig } from "../config.ts";
import type { RecvPath, UdpRecvPath } from "../path-config.ts";
import { DirectoryPath } from "./directory-path.ts";
import type { Keeping, PathInput, PathSink } from "./path-input.ts";
import { PathWatch } from "./path-watch.ts";
import { PipePath } from "./pipe-path.ts";
import { openTcpReceiver } from "./tcp-path.ts";
import { openUdpReceiver } from "./udp-path.ts";

export type PathsOutput = {
  /** A view that is valid during the call only. */
  receive(datagram: Buffer, path: number): void;
  /** A mark behind what was received so far. */
  mark(): number;
  /** As the sink of a path has it. */
  keep(mark: number): Keeping;
};

export type PathRim = { readonly log: Logger; steady(): number; random(): number };

export type PathFigures = {
  readonly name: string;
  readonly type: RecvPath["type"];
  readonly address: string;
  /** Of a UDP socket, as granted. */
  readonly receiveBufferBytes: number | undefined;
  readonly problem: string | undefined;
  readonly silent: boolean;
  /** Since something came; undefined before the first. */
  readonly silentMs: number | undefined;
  readonly datagrams: number;
  readonly bytes: number;
  /** Datagrams that brought what was not here yet. */
  readonly first: number;
  /** Datagrams that were not needed: copies of what another path had brought, and repair of whole blocks. */
  readonly surplus: number;
  /** Datagrams that the sender has put on this path and that have not come; undefined while unknown. */
  readonly missing: number | undefined;
  readonly refused: Record<string, number>;
  /** Bytes of a stream or of files that belong to no record, by reason. */
  readonly skippedBytes: Record<string, number>;
  /** Connections, files and the like. */
  readonly events: Record<string, number>;
};

class OnePath {
  input: PathInput | undefined;
  problem: string | undefined;
  datagrams = 0;
  bytes = 0;
  surplus = 0;
  /** refused/…, skipped/…, event/… */
  readonly counters = new Counters();

  constructor(readonly config: RecvPath) {}
}

export class RecvPaths {
  readonly #linkId: string;
  readonly #rim: PathRim;
  readonly #output: PathsOutput;
  readonly #watch: PathWatch;
  readonly #paths: readonly OnePath[];

  constructor(link: RecvConfig["link"], rim: PathRim, output: PathsOutput) {
    this.#linkId = link.id;
    this.#rim = rim;
    this.#output = output;
    this.#paths = link.paths.map((config) => new OnePath(config));
    this.#watch = new PathWatch(link.paths, rim.steady());
  }

  /** Throws an Error with a sentence for a person when a path cannot be opened. */
  async open(): Promise<void> {
    try {
      for (const [index, path] of this.#paths.entries()) path.input = await this.#open(path, index);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#paths.map((path) => path.input?.close()));
  }

  /** A heartbeat of the sender's run `epoch` is whole. */
  heartbeat(epoch: bigint, block: number, heartbeat: Heartbeat): void {
    this.#watch.heartbeat(epoch, block, heartbeat);
  }

  /** Counts a refusal of what came by path number `path`; returns the path's name. */
  noteRefused(path: number, reason: string, count: number): string | undefined {
    const one = this.#paths[path];
    if (one === undefined) return undefined;
    if (reason === "surplus") one.surplus += count;
    else one.counters.add(`refused/${reason}`, count);
    return one.config.name;
  }

  /** To be called several times a second. */
  tick(): void {
    for (const { path, silent, silentMs } of this.#watch.tick(this.#rim.steady())) {
      const one = this.#paths[path];
      if (one === undefined) continue;
      const { name } = one.config;
      const names = { path: name, address: one.input?.address };
      if (!silent) this.#rim.log.info(names, `path ${name} brings something again`);
      else {
        const seconds = Math.round(silentMs / 1000);
        this.#rim.log.warn(
          { ...names, seconds },
          `path ${name} is silent: nothing has come by it for ${seconds} s, while other paths bring something`,
        );
      }
    }
  }

  figures(): PathFigures[] {
    const nowMs = this.#rim.steady();
    return this.#paths.map(({ config, input, problem, datagrams, bytes, surplus, counters }, index) => ({
      name: config.name,
      type: config.type,
      address: input?.address ?? "",
      receiveBufferBytes: input?.receiveBufferBytes,
      problem,
      silent: this.#watch.isSilent(index),
      silentMs: this.#watch.silentMs(index, nowMs),
      datagrams,
      bytes,
      first: Math.max(0, datagrams - surplus - counters.total("refused")),
      surplus,
      missing: this.#watch.missing(index),
      refused: counters.group("refused"),
      skippedBytes: counters.group("skipped"),
      events: counters.group("event"),
    }));
  }

  async #open(path: OnePath, index: number): Promise<PathInput> {
    const { config } = path;
    const { log, random, steady } = this.#rim;
    const sink = this.#makeSink(path, index);
    switch (config.type) {
      case "udp": {
        const onError = (error: Error) => sink.setProblem(`cannot read: ${error.message}`);
        const input = await openUdpReceiver(config, sink.datagram, onError);
        warnOfBuffer(log, config, input.receiveBufferBytes);
        log.info(
          { path: config.name, address: input.address, receiveBufferBytes: input.receiveBufferBytes },
          "path bound, read-only",
        );
        return input;
      }
      case "tcp": {
        const input = openTcpReceiver(config, sink);
        log.info({ path: config.name, address: input.address }, "path listens, read-only");
        return input;
      }
      case "pipe":
        return new PipePath(config, sink, random);
      case "directory":
        log.info({ path: config.name, directory: config.directory }, "path looks into its inbox");
        return new DirectoryPath(config, this.#linkId, sink, steady);
    }
  }

  #makeSink(path: OnePath, index: number): PathSink {
    const { log } = this.#rim;
    const { name } = path.config;
    return {
      log,
      datagram: (datagram) => {
        path.bytes += datagram.length;
        // It is looked at before it is counted: a heartbeat tells what was put on the path before it.
        this.#watch.note(index, datagram, this.#rim.steady());
        path.datagrams++;
        this.#output.receive(datagram, index);
      },
      skipped: (reason, bytes) => path.counters.add(`skipped/${reason}`, bytes),
      count: (what) => path.counters.add(`event/${what}`),
      setProblem: (problem) => {
        if (problem === path.problem) return;
        path.problem = problem;
        if (problem === undefined) log.info({ path: name }, `path ${name} can be read again`);
        else log.error({ path: name, problem }, `path ${name} brings nothing: ${problem}`);
      },
      mark: () => this.#output.mark(),
      keep: (mark) => this.#output.keep(mark),
    };
  }
}

function warnOfBuffer(log: Logger, path: UdpRecvPath, receiveBufferBytes: number): void {
  const wanted = path.receiveBufferBytes;
  // The kernel reports twice what it grants: half is for its own bookkeeping [socket(7), SO_RCVBUF].
  if (receiveBufferBytes >= wanted * 2) return;
  log.warn(
    { path: path.name, receiveBufferBytes: receiveBufferBytes / 2, wanted },
    `the kernel granted a smaller receive buffer than asked for, bursts may be lost: sysctl -w net.core.rmem_max=${wanted}`,
  );
}
