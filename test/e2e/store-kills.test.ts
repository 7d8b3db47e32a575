// kill -9, again and again, at random instants under QoS 1 load: of either agent and of either broker. The promise is
// read on the wire: what the sender has acknowledged to the plant's broker, the other broker has acknowledged to the
// receiver in the end. What a killed broker forgets of what it had acknowledged itself is its own affair.
// TIDEGATE_KILLS=500 kills that often; TIDEGATE_SEED=N repeats a run that failed.
import { expect, test } from "bun:test";
import { type Agent, runProgram } from "../support/agents.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Publisher } from "../support/mqtt-clients.ts";
import { MqttWire } from "../support/mqtt-wire.ts";
import { makePayload } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, type SendStatus, sum, unaccounted } from "../support/status.ts";

const KILLS = Number(process.env.TIDEGATE_KILLS ?? 56);
const SEED = Number(process.env.TIDEGATE_SEED ?? Date.now() % 1_000_000);
const BATCH = 250;
/** What may come a second time after one kill: docs/operating.md. */
const AGAIN_MAX = 600;
/** Nothing at all has moved for this long: it will not. */
const STILL_MS = 60_000;
const READY_MS = 120_000;

type Victim = "send" | "recv" | "plant" | "business";

class Theatre {
  sent = 0;
  readonly #random: () => number;

  private constructor(
    readonly site: Site,
    readonly plant: Mosquitto,
    readonly business: Mosquitto,
    readonly near: Publisher,
    /** Between the plant's broker and the sender. */
    readonly before: MqttWire,
    /** Between the receiver and the other broker. */
    readonly after: MqttWire,
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
    const plant = await site.startBroker({ persistence: true });
    const business = await site.startBroker();
    const before = site.use(await MqttWire.start(plant.port, "broker"));
    const after = site.use(await MqttWire.start(business.port, "agent"));
    const source = { name: "line", url: `mqtt://127.0.0.1:${before.port}`, topics: ["plant/#"] };
    site.writeSend([source], { link: { heartbeat_ms: 200, repeat_after_seconds: 1 } });
    site.writeRecv({ link: { patience_ms: 300, degraded_after_ms: 500, down_after_ms: 1000 } });
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${after.port}` });
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { send, recv } = await site.startBoth();
    return new Theatre(site, plant, business, near, before, after, send, recv, seed);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item;
  }

  /** One kill somewhere in the middle of a batch. */
  async kill(victim: Victim): Promise<void> {
    const first = this.sent;
    this.sent += BATCH;
    const published = this.near.publishAll(
      Array.from({ length: BATCH }, (_, index) => ({
        topic: `plant/${(first + index) % 10}`,
        payload: makePayload(first + index),
        options: { qos: 1 as const },
      })),
    );
    // At the plant's end while messages are being taken in, at the other while they are being delivered.
    const isAtPlant = victim === "send" || victim === "plant";
    const read = () => (isAtPlant ? this.before.deliveries.length : this.after.deliveries.length);
    const goal = read() + 1 + Math.floor(this.#random() * BATCH * 0.9);
    let isPublished = false;
    void published.then(() => {
      isPublished = true;
    });
    // A plant broker that was killed before may have forgotten some: then the goal is never reached.
    await this.#waitWhileMoving(
      `message ${goal}`,
      (stillMs) => read() >= goal || (isPublished && stillMs > 500),
      0,
    );
    if (victim === "send" || victim === "recv") {
      await this[victim].kill();
      this[victim] = victim === "send" ? this.site.startSend() : this.site.startRecv();
    } else await this[victim].restart("SIGKILL");
    await waitUntilReady(this.recv, READY_MS);
    await waitUntilReady(this.send, READY_MS);
    await published;
  }

  /** What the sender has acknowledged and the other broker has not: what Tidegate answers for. */
  get missing(): number[] {
    return [...this.before.acknowledged].filter((number) => !this.after.acknowledged.has(number));
  }

  /** The plant's broker has nothing more for the sender, and all of it is through. */
  get isThrough(): boolean {
    return this.before.acknowledged.size > 0 && this.missing.length === 0;
  }

  async waitForAll(): Promise<void> {
    await this.#waitWhileMoving("every acknowledged message", () => this.isThrough);
  }

  /** Waits until nothing is on its way any more, and returns what both sides say. */
  async settle(): Promise<{ send: SendStatus; recv: RecvStatus }> {
    let settled: { send: SendStatus; recv: RecvStatus } | undefined;
    await this.#waitWhileMoving("nothing to be under way", async () => {
      const recv = await this.recv.readStatus<RecvStatus>();
      const send = await this.send.readStatus<SendStatus>();
      const there = recv.ledger.accepted + sum(recv.ledger.lost) + sum(recv.ledger.skipped);
      const isOver = send.ledger.held === 0 && recv.targets.every(({ ledger }) => ledger.held === 0);
      if (isOver && there === send.ledger.forwarded) settled = { send, recv };
      return settled !== undefined;
    });
    if (settled === undefined) throw new Error("nothing settled");
    return settled;
  }

  /** Messages at the other broker that came after a later one, and were not there before. */
  countLate(): number {
    const seen = new Set<number>();
    const highest = new Map<number, number>();
    let late = 0;
    for (const { number } of this.after.deliveries) {
      const topic = number % 10;
      if (!seen.has(number) && number < (highest.get(topic) ?? -1)) late++;
      seen.add(number);
      highest.set(topic, Math.max(highest.get(topic) ?? -1, number));
    }
    return late;
  }

  explain(): string {
    const { before, after, missing } = this;
    const figures = `sent ${this.sent}, acknowledged ${before.acknowledged.size} by the sender, ${after.acknowledged.size} by the broker`;
    return `TIDEGATE_SEED=${SEED}: ${figures}; missing ${missing.length}: ${missing.slice(0, 20)}\n${this.send.tail()}\n${this.recv.tail()}`;
  }

  /** What both sides say, for a person who has to find out. */
  async #readBooks(): Promise<string> {
    const [send, recv] = await Promise.all([
      this.send.readStatus<SendStatus>().catch(String),
      this.recv.readStatus<RecvStatus>().catch(String),
    ]);
    return JSON.stringify({ send, recv }, undefined, 1);
  }

  /** No deadline but standstill: a broker that writes on every change is slow, on a busy machine slower still. */
  async #waitWhileMoving(
    what: string,
    probe: (stillMs: number) => boolean | Promise<boolean>,
    pauseMs = 10,
  ): Promise<void> {
    let moved = "";
    let movedMs = performance.now();
    while (!(await probe(performance.now() - movedMs))) {
      const now = `${this.after.acknowledged.size} ${this.before.acknowledged.size} ${this.after.deliveries.length}`;
      if (now !== moved) movedMs = performance.now();
      moved = now;
      if (performance.now() - movedMs > STILL_MS)
        throw new Error(`nothing moves, in vain for ${what}\n${this.explain()}\n${await this.#readBooks()}`);
      await Bun.sleep(pauseMs);
    }
  }
}

requireTools(["mosquitto"])("kill -9 under QoS 1 load", () => {
  test(`of the sender and of both brokers, ${KILLS / 2} times, keeps every message and the order`, async () => {
    await using site = await Site.open();
    const theatre = await Theatre.open(site, SEED);
    for (let kill = 0; kill < KILLS / 2; kill++)
      await theatre.kill(theatre.pick(["send", "send", "plant", "business"]));
    await theatre.waitForAll();
    const { send, recv } = await theatre.settle();
    expect({ seed: SEED, missing: theatre.missing, late: theatre.countLate() }).toEqual({
      seed: SEED,
      missing: [],
      late: 0,
    });
    expect(unaccounted(send.ledger)).toBe(0);
    expect(send.ledger.lost).toEqual({});
    expect(recv.ledger).toMatchObject({ lost: {}, awaited: 0 });
    expect(recv.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
    const again = theatre.after.deliveries.length - theatre.after.acknowledged.size;
    expect(again).toBeLessThan((KILLS / 2) * AGAIN_MAX);
  }, 1_800_000);

  test(`of everything in turn, ${KILLS / 2} times, loses nothing that a replay cannot bring`, async () => {
    await using site = await Site.open();
    const theatre = await Theatre.open(site, SEED + 1);
    for (let kill = 0; kill < KILLS / 2; kill++)
      await theatre.kill(theatre.pick(["recv", "recv", "send", "plant", "business"]));
    const before = await theatre.settle();
    expect(unaccounted(before.send.ledger)).toBe(0);
    expect(before.send.ledger.lost).toEqual({});
    // What passed a receiver by that was killed before it had kept anything was "before-start".
    const reasons = Object.keys(before.recv.ledger.lost);
    expect(reasons.filter((reason) => reason !== "gap" && reason !== "before-start")).toEqual([]);
    const replay = runProgram("send", ["replay", "--config", site.sendFile, "--since", "1h"]);
    expect(replay).toMatchObject({ status: 0 });
    await theatre.waitForAll();
    const { recv } = await theatre.settle();
    expect(sum(recv.ledger.lost)).toBe(0);
    expect(recv.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
    // Only what had been given up for lost, and was recovered, comes late.
    expect(theatre.countLate()).toBeLessThanOrEqual(recv.link.recovered);
    const again = theatre.after.deliveries.length - theatre.after.acknowledged.size;
    expect(again).toBeLessThan((KILLS / 2) * AGAIN_MAX);
  }, 1_800_000);
});
