// Both agents with a broker on either side, for the proofs of the link: on loopback, or in two network namespaces whose
// cable loses what a test tells it to. A test says what it changes in the configuration; the rest is usual.
import { type Agent, type Finished, runProgram } from "../support/agents.ts";
import { Collector, type Outgoing, Publisher } from "../support/mqtt-clients.ts";
import { OneWayLink } from "../support/network-namespaces.ts";
import { makePayload } from "../support/payloads.ts";
import { Site } from "../support/site.ts";
import { isDelivered, type RecvStatus, type SendStatus, sum } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

const LINK_PORT = 14_550; // In namespaces of their own every port is free.
const QUICK = { degraded_after_ms: 1000, down_after_ms: 2000, patience_ms: 300 };

export type RigWishes = {
  /** In network namespaces, so that random loss and cut cables are the kernel's own. */
  readonly inNamespaces?: boolean;
  /** What stands in for the usual keys of [link] of send.toml. */
  readonly sendLink?: TomlTable;
  /** What stands in for the usual keys of [[link.path]] of send.toml. */
  readonly sendPath?: TomlTable;
  /** What stands in for the usual keys of [link] of recv.toml. */
  readonly recvLink?: TomlTable;
  /** More tables of send.toml, of recv.toml. */
  readonly send?: TomlTable;
  readonly recv?: TomlTable;
};

export class LinkRig implements AsyncDisposable {
  #send: Agent | undefined;
  #recv: Agent | undefined;

  private constructor(
    readonly site: Site,
    readonly cable: OneWayLink | undefined,
    private readonly wishes: RigWishes,
    private readonly plantPort: number,
    readonly near: Publisher,
    readonly far: Collector,
  ) {}

  /** Brokers and clients at work, configuration written, agents not started yet. */
  static async open(wishes: RigWishes = {}): Promise<LinkRig> {
    const cable = wishes.inNamespaces === true ? new OneWayLink() : undefined;
    const site = await Site.open();
    const plant = await site.startBroker({ persistence: true, before: cable?.send.before ?? [] });
    const business = await site.startBroker({ before: cable?.recv.before ?? [] });
    const near = site.use(await Publisher.start({ door: plant.socketPath }));
    const far = site.use(await Collector.start({ door: business.socketPath }));
    const rig = new LinkRig(site, cable, wishes, plant.port, near, far);
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    rig.writeSend();
    rig.writeRecv();
    return rig;
  }

  writeSend(link: TomlTable = {}): void {
    const endpoint = this.cable
      ? `${this.cable.paths[0]?.recvAddress}:${LINK_PORT}`
      : `127.0.0.1:${this.site.linkPort}`;
    const path = { type: "udp", endpoint, rate_mbit_per_second: 50, ...this.wishes.sendPath };
    const source = { name: "line", url: `mqtt://127.0.0.1:${this.plantPort}`, topics: ["plant/#"] };
    this.site.writeSend([source], {
      admin: { address: this.#adminAddress },
      ...this.wishes.send,
      link: { heartbeat_ms: 200, path: [path], ...this.wishes.sendLink, ...link },
    });
  }

  writeRecv(link: TomlTable = {}): void {
    const address = this.cable ? `0.0.0.0:${LINK_PORT}` : `127.0.0.1:${this.site.linkPort}`;
    this.site.writeRecv({
      admin: { address: this.#adminAddress },
      ...this.wishes.recv,
      link: { ...QUICK, path: [{ type: "udp", address }], ...this.wishes.recvLink, ...link },
    });
  }

  async startSend(): Promise<Agent> {
    const agent = this.site.startSend({ before: this.cable?.send.before ?? [] });
    this.#send = agent;
    await agent.waitForLog("source subscribed", ({ msg }) => msg === "source line is subscribed");
    return agent;
  }

  async startRecv(): Promise<Agent> {
    const agent = this.site.startRecv({ before: this.cable?.recv.before ?? [] });
    this.#recv = agent;
    await agent.waitForLog("target connected", ({ msg }) => msg === "target hq is connected");
    return agent;
  }

  /** The receiver first, because nothing waits for it. */
  async startBoth(): Promise<{ send: Agent; recv: Agent }> {
    const recv = await this.startRecv();
    return { recv, send: await this.startSend() };
  }

  /** Runs a command of the send agent's program on its configuration. */
  runSend(command: string, ...args: readonly string[]): Finished {
    return this.#run("send", command, args, this.site.sendFile);
  }

  runRecv(command: string, ...args: readonly string[]): Finished {
    return this.#run("recv", command, args, this.site.recvFile);
  }

  async readSend(): Promise<SendStatus> {
    if (this.#send !== undefined && this.cable === undefined) return this.#send.readStatus();
    return readJson(this.runSend("status", "--json"));
  }

  async readRecv(): Promise<RecvStatus> {
    if (this.#recv !== undefined && this.cable === undefined) return this.#recv.readStatus();
    return readJson(this.runRecv("status", "--json"));
  }

  /** The ends of both logs, for a person. */
  readonly explain = (): string => `${this.#send?.tail()}\n${this.#recv?.tail()}`;

  waitForSend(what: string, fits: (status: SendStatus) => boolean, deadlineMs = 60_000): Promise<SendStatus> {
    return this.#poll(`send: ${what}`, deadlineMs, () => this.readSend(), fits);
  }

  waitForRecv(what: string, fits: (status: RecvStatus) => boolean, deadlineMs = 60_000): Promise<RecvStatus> {
    return this.#poll(`recv: ${what}`, deadlineMs, () => this.readRecv(), fits);
  }

  /**
   * Waits until the sender has taken as many messages as were `published` (in all its runs) and passed them on, and the
   * receiver knows what became of each.
   */
  async settle(published: number, deadlineMs = 60_000): Promise<{ sent: SendStatus; got: RecvStatus }> {
    const sent = await this.waitForSend(
      `${published} taken, none held`,
      ({ ledger }) => ledger.accepted === published && ledger.held === 0,
      deadlineMs,
    );
    const left = sent.ledger.forwarded + sum(sent.ledger.lost);
    const got = await this.waitForRecv(
      `${left} messages accounted for and delivered`,
      (status) => {
        const { accepted, lost, skipped } = status.ledger;
        return accepted + sum(lost) + sum(skipped) === left && isDelivered(status);
      },
      deadlineMs,
    );
    await this.far.waitForCount(got.targets[0]?.ledger.forwarded ?? 0);
    return { sent, got };
  }

  /** Numbers of the payloads that have arrived below a topic, in the order of arrival. */
  numbers(topic = "plant"): number[] {
    return this.far.below(topic).map(({ payload }) => payload.readUInt32BE());
  }

  /** The same as ranges, such as "0-99 101-200": what is missing, double or out of order shows at sight. */
  arrivals(topic = "plant"): string {
    return showNumbers(this.numbers(topic));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.site[Symbol.asyncDispose]();
    this.cable?.remove();
  }

  get #adminAddress(): string {
    return this.cable === undefined ? "127.0.0.1:0" : "127.0.0.1:9464";
  }

  /** Asks until it fits; a program that does not answer yet is asked again. */
  #poll<Status>(
    what: string,
    deadlineMs: number,
    read: () => Promise<Status>,
    fits: (status: Status) => boolean,
  ): Promise<Status> {
    let last = "";
    return waitFor(
      what,
      deadlineMs,
      async () => {
        try {
          const status = await read();
          last = JSON.stringify(status);
          return fits(status) ? status : undefined;
        } catch (error) {
          last = String(error);
          return undefined;
        }
      },
      () => `${last}\n${this.explain()}`,
    );
  }

  #run(agent: "send" | "recv", command: string, args: readonly string[], file: string): Finished {
    const line = [command, "--config", file, ...args];
    return runProgram(agent, line, { before: this.cable?.[agent].before ?? [] });
  }
}

/** Messages numbered from `first` to `end` (excluded), QoS 1. */
export function numbered(first: number, end: number, topic = "plant/x"): Outgoing[] {
  return Array.from({ length: end - first }, (_, index) => ({
    topic,
    payload: makePayload(first + index),
    options: { qos: 1 as const },
  }));
}

export function range(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, index) => first + index);
}

function readJson<Status>({ status, stdout, stderr }: Finished): Status {
  if (status !== 0) throw new Error(`cannot read a status: ${stderr}`);
  return JSON.parse(stdout) as Status;
}

/** What arrivals() says when all have come, in order, once. */
export function upTo(count: number): string {
  return `0-${count - 1}`;
}

export function showNumbers(numbers: readonly number[]): string {
  const ranges: { first: number; last: number }[] = [];
  for (const number of numbers) {
    const newest = ranges.at(-1);
    if (newest?.last === number - 1) newest.last = number;
    else ranges.push({ first: number, last: number });
  }
  return ranges.map(({ first, last }) => `${first}-${last}`).join(" ");
}
