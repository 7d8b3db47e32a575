// kill -9, again and again, at random instants under QoS 1 load: of either agent and of either broker. Every message that
// was acknowledged arrives, in order but for what comes a second time, and both ledgers add up in the end.
// TIDEGATE_KILLS=500 kills that often; TIDEGATE_SEED=N repeats a run that failed.
import { expect, test } from "bun:test";
import { type Agent, runProgram } from "../support/agents.ts";
import { findForgotten } from "../support/broker-memory.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { makePayload } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, type SendStatus, sum, unaccounted } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";
import { numbersOf } from "./restart-bench.ts";

const KILLS = Number(process.env.TIDEGATE_KILLS ?? 56);
const SEED = Number(process.env.TIDEGATE_SEED ?? Date.now() % 1_000_000);
const BATCH = 250;
/** Messages that are published and not acknowledged yet, at most. */
const WINDOW = 100;
/** What may come a second time after one kill: docs/storage.md. */
const AGAIN_MAX = 600;
const DEADLINE_MS = 60_000 + KILLS * 6_000;
/** A broker that saves on every change is slow, on a machine with other work slower still. */
const SETTLE_MS = 120_000;
/** A broker that forgets more than that is no witness. */
const FORGOTTEN_MAX = 20;
/** Mosquitto writes its sessions on every change, or a killed one would forget what it has acknowledged. */
const KEEPING = ["autosave_on_changes true", "autosave_interval 1"];

type Victim = "send" | "recv" | "plant" | "business";

class Theatre {
  sent = 0;
  /** Numbers that the publishing client may have put out of order. */
  readonly late = new Set<number>();
  readonly #random: () => number;

  private constructor(
    readonly site: Site,
    readonly plant: Mosquitto,
    readonly business: Mosquitto,
    readonly far: Collector,
    readonly near: Publisher,
    public send: Agent,
    public recv: Agent,
    seed: number,
  ) {
    let state = seed + 1;
    this.#random = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 0x1_0000_0000;
    };
  }

  static async open(site: Site, seed: number): Promise<Theatre> {
    const plant = await site.startBroker({ persistence: true, lines: KEEPING });
    const business = await site.startBroker({ persistence: true, lines: KEEPING });
    const source = { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] };
    site.writeSend([source], { link: { heartbeat_ms: 200, repeat_after_seconds: 1 } });
    site.writeRecv({ link: { patience_ms: 300, degraded_after_ms: 500, down_after_ms: 1000 } });
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const far = site.use(await Collector.start({ door: business.port, session: "reader" }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { send, recv } = await site.startBoth();
    return new Theatre(site, plant, business, far, near, send, recv, seed);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item;
  }

  /** One kill somewhere in the middle of a batch. */
  async kill(victim: Victim): Promise<void> {
    const before = this.far.messages.length;
    const published = this.publishBatch();
    await this.far.waitForCount(before + 1 + Math.floor(this.#random() * BATCH * 0.7), undefined, () =>
      this.explain(),
    );
    if (victim === "send" || victim === "recv") {
      await this[victim].kill();
      this[victim] = victim === "send" ? this.site.startSend() : this.site.startRecv();
    } else await this[victim].restart("SIGKILL");
    await waitUntilReady(this.recv);
    await waitUntilReady(this.send);
    await published;
  }

  async publishBatch(): Promise<void> {
    const first = this.sent;
    this.sent += BATCH;
    const flights: Promise<void>[] = [];
    for (let index = 0; index < BATCH; index++) {
      await flights[index - WINDOW];
      flights.push(this.publish(first + index));
    }
    await Promise.all(flights);
  }

  /** Until the broker has acknowledged it, however often the broker dies meanwhile. */
  async publish(number: number): Promise<void> {
    for (;;) {
      try {
        await this.near.publish(`plant/${number}`, makePayload(number), { qos: 1 });
        return;
      } catch {
        // The client has given it up, and what was published behind it may be before it now.
        this.late.add(number);
      }
    }
  }

  explain(): string {
    return `TIDEGATE_SEED=${SEED}, ${numbersOf(this.far).length} of ${this.sent}\n${this.send.tail()}\n${this.recv.tail()}`;
  }

  /** Waits for every number but those that a killed broker has forgotten. */
  async waitForAll(): Promise<void> {
    const numbers = new Set(Array.from({ length: this.sent }, (_, index) => index));
    let seen = 0;
    let missing: number[] = [];
    await waitFor(
      "every message",
      60_000,
      () => {
        for (; seen < this.far.messages.length; seen++)
          numbers.delete(this.far.messages[seen]?.payload.readUInt32BE() ?? -1);
        if (numbers.size > FORGOTTEN_MAX) return false;
        const forgotten = new Set([
          ...findForgotten(this.plant.log(), "tidegate-send-plant-7-line"),
          ...findForgotten(this.business.log(), "reader"),
        ]);
        missing = [...numbers].filter((number) => !forgotten.has(`plant/${number}`));
        return missing.length === 0;
      },
      () => `missing: ${missing} of ${[...numbers]}\n${this.explain()}`,
    );
  }

  /** Waits until nothing is on its way any more, and returns what both sides say. */
  async settle(): Promise<{ send: SendStatus; recv: RecvStatus }> {
    let last = "";
    return await waitFor(
      "nothing to be under way",
      SETTLE_MS,
      async () => {
        const recv = await this.recv.readStatus<RecvStatus>();
        const send = await this.send.readStatus<SendStatus>();
        const there = recv.ledger.accepted + sum(recv.ledger.lost) + sum(recv.ledger.skipped);
        last = JSON.stringify({
          send: send.ledger,
          recv: recv.ledger,
          targets: recv.targets.map(({ ledger }) => ledger),
        });
        const isOver = send.ledger.held === 0 && recv.targets.every(({ ledger }) => ledger.held === 0);
        return isOver && there === send.ledger.forwarded ? { send, recv } : undefined;
      },
      () => `${last}\n${this.explain()}`,
    );
  }
}

requireTools(["mosquitto"])("kill -9 under QoS 1 load", () => {
  test(
    `of the sender and of both brokers, ${KILLS / 2} times, keeps every message and the order`,
    async () => {
      await using site = await Site.open();
      const theatre = await Theatre.open(site, SEED);
      for (let kill = 0; kill < KILLS / 2; kill++)
        await theatre.kill(theatre.pick(["send", "send", "plant", "business"]));
      await theatre.waitForAll();
      const numbers = numbersOf(theatre.far).filter((number) => !theatre.late.has(number));
      expect({ seed: SEED, numbers }).toEqual({ seed: SEED, numbers: numbers.toSorted((a, b) => a - b) });
      const { send, recv } = await theatre.settle();
      expect(unaccounted(send.ledger)).toBe(0);
      expect(send.ledger.lost).toEqual({});
      expect(recv.ledger).toMatchObject({ lost: {}, awaited: 0 });
      expect(recv.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
      expect(theatre.far.messages.length - theatre.sent).toBeLessThan((KILLS / 2) * AGAIN_MAX);
    },
    DEADLINE_MS,
  );

  test(
    `of everything in turn, ${KILLS / 2} times, loses nothing that a replay cannot bring`,
    async () => {
      await using site = await Site.open();
      const theatre = await Theatre.open(site, SEED + 1);
      for (let kill = 0; kill < KILLS / 2; kill++)
        await theatre.kill(theatre.pick(["recv", "recv", "send", "plant", "business"]));
      const before = await theatre.settle();
      expect(unaccounted(before.send.ledger)).toBe(0);
      expect(before.send.ledger.lost).toEqual({});
      expect(Object.keys(before.recv.ledger.lost).filter((reason) => reason !== "gap")).toEqual([]);
      const replay = runProgram("send", ["replay", "--config", site.sendFile, "--since", "1h"]);
      expect(replay).toMatchObject({ status: 0 });
      await theatre.waitForAll();
      const { recv } = await theatre.settle();
      expect(sum(recv.ledger.lost)).toBe(0);
      expect(recv.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
      expect(theatre.far.messages.length - theatre.sent).toBeLessThan((KILLS / 2) * AGAIN_MAX);
    },
    DEADLINE_MS,
  );
});
