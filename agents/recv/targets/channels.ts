// The channels of one target, and which of them a message takes. Those of one topic always take the same one, so that
// they stay in order; a channel that is away holds back its own topics, and in time the others, never reorders them.
import type { EgressOutcome } from "../../../shared/mqtt/egress-tap.ts";
import type { Channel } from "./channel.ts";
import type { Outgoing } from "./outcome.ts";
import type { TargetState } from "./target.ts";

export type Channels = {
  readonly all: readonly Channel[];
  /** Messages that may be unsettled now, over all of them. */
  readonly window: number;
  readonly state: TargetState;
  /** What is wrong, in a sentence, while it is. */
  readonly problem: string | undefined;
  /** Times that they have connected. */
  readonly connections: number;
  /** By the one that the message has to take; `onSettled` is called once, after this call. */
  publish(message: Outgoing, onSettled: (outcome: EgressOutcome) => void): void;
  /** The same for a message of QoS 0 that may go at once; true: it is forwarded, false: it needs publish(). */
  sendNow?(message: Outgoing): boolean;
  /** Those that are to be there from the beginning connect. */
  connect(): void;
  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void;
  close(graceMs: number): Promise<void>;
};

/** A fixed number of channels that share the topics. */
export class SharedChannels implements Channels {
  readonly all: readonly Channel[];

  constructor(all: readonly Channel[]) {
    this.all = all;
  }

  get window(): number {
    // The next message may be for the one that has no room.
    if (this.all.some(({ isFull }) => isFull)) return 0;
    return this.all.reduce((sum, channel) => sum + channel.window, 0);
  }

  /** Down when one of them is: its topics wait. */
  get state(): TargetState {
    if (this.all.every(({ state }) => state === "connected")) return "connected";
    return this.all.some(({ state }) => state === "down") ? "down" : "connecting";
  }

  get problem(): string | undefined {
    return this.all.find(({ problem }) => problem !== undefined)?.problem;
  }

  get connections(): number {
    return this.all.reduce((sum, { connections }) => sum + connections, 0);
  }

  publish(message: Outgoing, onSettled: (outcome: EgressOutcome) => void): void {
    this.#choose(message).publish(message, onSettled);
  }

  sendNow(message: Outgoing): boolean {
    return this.#choose(message).sendNow(message);
  }

  #choose(message: Outgoing): Channel {
    const index = this.all.length === 1 ? 0 : hashTopic(message.lane ?? message.topic) % this.all.length;
    return this.all[index] as Channel;
  }

  connect(): void {
    for (const channel of this.all) channel.connect();
  }

  tick(steadyMs: number): void {
    for (const channel of this.all) channel.tick(steadyMs);
  }

  async close(graceMs: number): Promise<void> {
    await Promise.all(this.all.map((channel) => channel.close(graceMs)));
  }
}

/** FNV-1a over the characters: spreads topics that differ in one digit. */
export function hashTopic(topic: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < topic.length; i++) hash = Math.imul(hash ^ topic.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}
