// The channels of one target, and which of them a message takes. Those of one topic always take the same one, so that
// they stay in order; a channel that is away holds back its own topics, and in time the others, never reorders them.
import type { Message } from "../../../shared/message.ts";
import type { Channel } from "./channel.ts";

export type Channels = {
  readonly all: readonly Channel[];
  /** Messages that may be unsettled now, over all of them. */
  readonly window: number;
  /** The one for a message as it is published. */
  pick(message: Message): Channel;
  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void;
};

/** A fixed number of channels that share the topics. */
export class SharedChannels implements Channels {
  readonly all: readonly Channel[];

  constructor(all: readonly Channel[]) {
    this.all = all;
  }

  get window(): number {
    return this.all.reduce((sum, channel) => sum + channel.window, 0);
  }

  pick({ topic }: Message): Channel {
    const index = this.all.length === 1 ? 0 : hashTopic(topic) % this.all.length;
    return this.all[index] as Channel;
  }

  tick(steadyMs: number): void {
    for (const channel of this.all) channel.tick(steadyMs);
  }
}

/** FNV-1a over the characters: spreads topics that differ in one digit. */
export function hashTopic(topic: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < topic.length; i++) hash = Math.imul(hash ^ topic.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}
