// A plant, a link and a business side under QoS 1 load, whose programs are killed at random instants. A recorder stands
// between each agent and its broker; what the run was worth is read from them alone.
import type { Agent } from "../support/agents.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Publisher } from "../support/mqtt-clients.ts";
import { MqttRecorder } from "../support/mqtt-recorder.ts";
import { makePayload } from "../support/payloads.ts";
import { waitWhileProgress } from "../support/progress.ts";
import { type Site, waitUntilReady } from "../support/site.ts";
import { isDelivered, type RecvStatus, type SendStatus, sum } from "../support/status.ts";
import { findMissing, type RecvKill, tell } from "./kill-oracle.ts";

export type Victim = "send" | "recv" | "plant" | "business";

const BATCH = 250;
/** Mosquitto then forgets little; what it does forget stands in the recorders. */
const KEEPING = ["autosave_on_changes true", "autosave_interval 1"];
/** As docs/operating.md says, and for the receiver's own turn. */
const NOTING_MS = 50;
const PULSE_MS = 20;
const READY_MS = 600_000;

export class KillRig {
  sent = 0;
  readonly recvKills: RecvKill[] = [];
  readonly kills: Victim[] = [];
  readonly #random: () => number;
  #pulse: Pulse | undefined;

  private constructor(
    readonly site: Site,
    readonly brokers: { readonly plant: Mosquitto; readonly business: Mosquitto },
    readonly plant: MqttRecorder,
    readonly business: MqttRecorder,
    readonly near: Publisher,
    public send: Agent,
    public recv: Agent,
    readonly seed: number,
    readonly windowMs: number,
    /** A journal that begins anew gets another one. */
    readonly journalId: string,
  ) {
    let state = seed + 1;
    this.#random = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 0x1_0000_0000;
    };
  }

  /** `windowMs`: what a killed receiver may have delivered without having noted it. */
  static async open(site: Site, seed: number, windowMs: number): Promise<KillRig> {
    const plant = await site.startBroker({ persistence: true, lines: KEEPING });
    const business = await site.startBroker({ persistence: true, lines: KEEPING });
    const atPlant = site.use(await MqttRecorder.start(plant.port));
    const atBusiness = site.use(await MqttRecorder.start(business.port));
    const source = { name: "line", url: `mqtt://127.0.0.1:${atPlant.port}`, topics: ["plant/#"] };
    site.writeSend([source], { link: { heartbeat_ms: 200, repeat_after_seconds: 1 } });
    site.writeRecv({ link: { patience_ms: 300, degraded_after_ms: 500, down_after_ms: 1000 } });
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${atBusiness.port}` });
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { send, recv } = await site.startBoth();
    // What was sent before a receiver ever heard of the sender is no loss of the link's.
    await recv.waitForStatus<RecvStatus>("the first heartbeat", ({ link }) => link.state === "up", READY_MS);
    const { journalId } = (await send.readStatus<SendStatus>()).link;
    const brokers = { plant, business };
    return new KillRig(site, brokers, atPlant, atBusiness, near, send, recv, seed, windowMs, journalId);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item;
  }

  /** One kill somewhere in the middle of a batch. */
  async kill(victim: Victim): Promise<void> {
    const numbers = Array.from({ length: BATCH }, (_, index) => this.sent + index);
    const instant = this.#events + 1 + Math.floor(this.#random() * BATCH * 3);
    this.sent += BATCH;
    let isPublished = false;
    const messages = numbers.map((number) => ({
      topic: `plant/${number}`,
      payload: makePayload(number),
      options: { qos: 1 as const },
    }));
    const published = this.near.publishAll(messages).then(() => {
      isPublished = true;
    });
    this.#pulse ??= victim === "recv" ? await Pulse.take(this.recv) : undefined;
    await this.#wait("the instant", () => this.#events >= instant || isPublished);
    await this.#strike(victim);
    await waitUntilReady(this.recv, READY_MS);
    await waitUntilReady(this.send, READY_MS);
    await this.#wait("the batch to be published", () => isPublished);
    await published;
  }

  async #strike(victim: Victim): Promise<void> {
    this.kills.push(victim);
    if (victim === "plant" || victim === "business") {
      await this.brokers[victim].restart("SIGKILL");
      return;
    }
    if (victim === "send") {
      await this.send.kill();
      this.send = this.site.startSend();
      return;
    }
    const lateMs = this.#pulse?.longestMs ?? 0;
    this.#pulse?.stop();
    this.#pulse = undefined;
    const windowMs = this.windowMs + NOTING_MS + 2 * lateMs;
    this.recvKills.push({ atMs: performance.now(), connection: this.business.connections - 1, windowMs });
    await this.recv.kill();
    this.recv = this.site.startRecv();
  }

  /** Waits until everything that the sender acknowledged has been acknowledged to the receiver. */
  async waitForAll(): Promise<void> {
    await this.#wait("every acknowledged message", () => findMissing(this.plant, this.business).length === 0);
  }

  /** Waits until a replay has brought everything that was lost on the link. */
  async waitForReplay(): Promise<void> {
    await this.#wait("the end of the replay", async () => {
      const { ledger } = await this.recv.readStatus<RecvStatus>();
      return sum(ledger.lost) === 0;
    });
  }

  /** Waits until nothing is on its way any more, and returns what both sides say. */
  async settle(): Promise<{ send: SendStatus; recv: RecvStatus }> {
    let result: { send: SendStatus; recv: RecvStatus } | undefined;
    await this.#wait("nothing to be under way", async () => {
      const recv = await this.recv.readStatus<RecvStatus>();
      const send = await this.send.readStatus<SendStatus>();
      const there = recv.ledger.accepted + sum(recv.ledger.lost) + sum(recv.ledger.skipped);
      const isIdle = send.ledger.held === 0 && isDelivered(recv);
      // The two agents have found out by themselves that they agree.
      const isOver = isIdle && recv.ledger.comparison?.difference === 0;
      result = { send, recv };
      return isOver && there === send.ledger.forwarded;
    });
    if (result === undefined) throw new Error("cannot settle: there is no status");
    return result;
  }

  get #events(): number {
    return this.plant.events + this.business.events;
  }

  /** For a person: what happened, and what became of the numbers that are odd. */
  explain(odd: readonly number[] = []): string {
    const missing = findMissing(this.plant, this.business);
    return [
      `TIDEGATE_SEED=${this.seed}, ${this.sent} sent, missing: ${missing}, kills: ${this.kills}`,
      `kills of the receiver: ${this.recvKills.map(({ atMs, windowMs }) => `${atMs.toFixed(1)} (${windowMs.toFixed(1)} ms)`)}`,
      tell([this.plant, this.business], [...odd, ...missing].slice(0, 8)),
      this.send.tail(),
      this.recv.tail(),
    ].join("\n");
  }

  #wait(what: string, probe: () => boolean | Promise<boolean>): Promise<void> {
    const measure = async () => {
      const send = await this.send.readStatus<SendStatus>();
      const recv = await this.recv.readStatus<RecvStatus>();
      const figures = [send.ledger, recv.ledger, recv.targets.map(({ ledger }) => ledger)];
      return `${this.#events} ${JSON.stringify(figures)}`;
    };
    return waitWhileProgress(what, probe, measure, () => this.explain());
  }
}

/** How long a program goes without having its turn, found by asking it without a pause. */
class Pulse {
  longestMs = 0;
  #isOver = false;

  static async take(agent: Agent): Promise<Pulse> {
    const pulse = new Pulse();
    const url = `${await agent.adminUrl()}/healthz`;
    void pulse.#run(url);
    return pulse;
  }

  stop(): void {
    this.#isOver = true;
  }

  async #run(url: string): Promise<void> {
    try {
      while (!this.#isOver) {
        const askedMs = performance.now();
        await fetch(url);
        this.longestMs = Math.max(this.longestMs, performance.now() - askedMs);
        await Bun.sleep(PULSE_MS);
      }
    } catch {
      // It was killed: that is the end of it.
    }
  }
}
