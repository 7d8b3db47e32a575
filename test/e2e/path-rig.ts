// Carries numbered messages over whatever paths a test lays, and judges what came: all of them, once, in order.
import { expect } from "bun:test";
import type { Agent } from "../support/agents.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, makePayloads } from "../support/payloads.ts";
import { type Site, waitUntilReady } from "../support/site.ts";
import type { RecvStatus, SendStatus } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

export type PathStatus = {
  readonly name: string;
  readonly type: string;
  readonly problem: string | null;
  readonly silent: boolean;
  readonly datagrams: number;
  readonly first: number;
  readonly surplus: number;
  readonly missing: number | null;
  readonly refused: Readonly<Record<string, number>>;
  readonly skippedBytes: Readonly<Record<string, number>>;
  readonly events: Readonly<Record<string, number>>;
};

export type RigWishes = {
  readonly send: readonly TomlTable[];
  readonly recv: readonly TomlTable[];
  readonly sendLink?: TomlTable;
  readonly recvLink?: TomlTable;
  /** What stands before each agent. */
  readonly before?: { readonly send?: readonly string[]; readonly recv?: readonly string[] };
};

export class PathRig {
  send: Agent;
  recv: Agent;
  #published = 0;

  private constructor(
    readonly site: Site,
    readonly wishes: RigWishes,
    readonly near: Publisher,
    readonly far: Collector,
    agents: { readonly send: Agent; readonly recv: Agent },
  ) {
    this.send = agents.send;
    this.recv = agents.recv;
  }

  static async start(site: Site, wishes: RigWishes): Promise<PathRig> {
    const plant = await site.startBroker();
    const business = await site.startBroker();
    const far = site.use(await Collector.start({ door: business.port }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    const source = { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] };
    site.writeSend([source], { link: { ...wishes.sendLink, path: wishes.send } });
    site.writeRecv({ link: { ...wishes.recvLink, path: wishes.recv } });
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const { before = {} } = wishes;
    const recv = await waitUntilReady(site.startRecv({ before: before.recv ?? [] }));
    const send = await waitUntilReady(site.startSend({ before: before.send ?? [] }));
    return new PathRig(site, wishes, near, far, { send, recv });
  }

  /** Publishes so many messages and returns when the sender's broker has them. */
  async publish(count: number): Promise<void> {
    const payloads = makePayloads(this.#published + count).slice(this.#published);
    this.#published += count;
    await this.near.publishAll(
      payloads.map((payload) => ({ topic: "plant/x", payload, options: { qos: 1 } })),
    );
  }

  /** Waits for all that was published and judges it. */
  async expectAll(deadlineMs = 30_000): Promise<void> {
    const count = this.#published;
    const messages = await this.far.waitForCount(count, "plant/x", () => this.tails(), deadlineMs);
    expect(
      findFirstDifference(
        messages.map(({ payload }) => payload),
        count,
      ),
    ).toBeUndefined();
    expect(messages).toHaveLength(count);
    expect((await this.recv.readStatus<RecvStatus>()).ledger.lost).toEqual({});
  }

  /** The receiver's paths, once they are as the test wants them. */
  async readPaths(
    what: string,
    fits: (paths: readonly PathStatus[]) => boolean,
  ): Promise<readonly PathStatus[]> {
    const status = await this.recv.waitForStatus<RecvStatus>(what, ({ link }) =>
      fits(link.paths as unknown as readonly PathStatus[]),
    );
    return status.link.paths as unknown as readonly PathStatus[];
  }

  /** Waits until the sender has nothing left to send. */
  async waitForSent(): Promise<void> {
    await this.send.waitForStatus<SendStatus>("everything sent", ({ ledger }) => ledger.held === 0);
  }

  tails(): string {
    return `${this.send.tail()}\n${this.recv.tail()}`;
  }

  /** Waits for a condition of the test's own. */
  waitFor<Value>(what: string, probe: () => Value | undefined | false): Promise<Value> {
    return waitFor(what, 20_000, probe, () => this.tails());
  }
}
