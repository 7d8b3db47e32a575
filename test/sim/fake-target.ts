// A target of the receiver as the simulator needs it: takes what is published, acknowledges after a while (not always
// in order), refuses some, and stalls now and then. What it has got is judged by its book.

import type { TargetPlan } from "../../agents/recv/targets/plan.ts";
import { routeMessage } from "../../agents/recv/targets/rules.ts";
import type { Judgement, TargetOutcome } from "../../agents/recv/targets/runner.ts";
import type { Target } from "../../agents/recv/targets/target.ts";
import { TopicRules } from "../../agents/recv/targets/topic-rules.ts";
import type { Message } from "../../shared/message.ts";
import type { TargetBook } from "./target-book.ts";

const RULES = new TopicRules({ topics: ["#"], rules: [], topicPrefix: "", qosMax: 2, retain: "forward" });
const LIMITS = { qosMax: 2, retainAvailable: true, packetBytesMax: undefined } as const;

export type FakeTargetOptions = {
  readonly window: number;
  readonly plan: TargetPlan;
  /** True for a message that it is to refuse. */
  readonly refuses: () => boolean;
  readonly book: TargetBook;
  /** Calls `work` when the target is to acknowledge, if the receiver still lives then. */
  readonly later: (work: () => void) => void;
};

export class FakeTarget implements Target {
  readonly type = "simulated";
  readonly address = "simulated";
  readonly problem = undefined;
  connections = 0;
  onReady: () => void = () => {};
  /** Not connected; what was sent before is answered when it is again. */
  stalled = true;
  readonly #options: FakeTargetOptions;
  #waiting: (() => void)[] = [];

  constructor(options: FakeTargetOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.book.name;
  }

  get state() {
    return this.stalled ? ("down" as const) : ("connected" as const);
  }

  get plan(): TargetPlan {
    return this.#options.plan;
  }

  get window(): number {
    return this.stalled ? 0 : this.#options.window;
  }

  judge(message: Message, ageMs: number): Judgement {
    return routeMessage(message, ageMs, RULES, LIMITS);
  }

  sendNow(message: Message): boolean {
    if (message.qos !== 0 || this.stalled || this.#options.refuses()) return false;
    this.#options.book.take(message)("forwarded");
    return true;
  }

  publish(message: Message, onSettled: (outcome: TargetOutcome) => void): void {
    const settle = this.#options.book.take(message);
    const outcome = message.qos > 0 && this.#options.refuses() ? "lost/refused" : "forwarded";
    const acknowledge = () => {
      settle(outcome);
      onSettled(outcome);
    };
    const settleLater = () => {
      if (this.stalled) this.#waiting.push(acknowledge);
      else acknowledge();
    };
    if (message.qos === 0) acknowledge();
    else this.#options.later(settleLater);
  }

  recover(): void {
    this.stalled = false;
    this.connections++;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const acknowledge of waiting) acknowledge();
    this.onReady();
  }

  async close(): Promise<void> {}
}
