// The voice of Sparkplug where the agent is the broker: its STATE is retained here for whoever subscribes, and requests to be
// born again go to the connections that have subscribed to them.
import { formatState } from "../../../../shared/sparkplug/state.ts";
import { formatTopic, type StateFormat } from "../../../../shared/sparkplug/topic.ts";
import type { Voice, VoiceState } from "../../sparkplug/voice.ts";
import type { Announcement } from "./delivery.ts";

export type Audience = {
  /** What clients find when they subscribe. */
  readonly retained: Map<string, Announcement>;
  /** To all that are connected and have subscribed; how many they are. */
  deliver(announcement: Announcement): number;
};

export class Announcer implements Voice {
  readonly problem = undefined;
  readonly #audience: Audience;
  readonly #hostId: string | undefined;
  readonly #formats: readonly StateFormat[];
  readonly #clock: () => number;
  #isOnline: boolean | undefined;
  #timestampMs = 0;

  constructor(
    audience: Audience,
    hostId: string | undefined,
    formats: readonly StateFormat[],
    clock: () => number,
  ) {
    this.#audience = audience;
    this.#hostId = hostId;
    this.#formats = formats;
    this.#clock = clock;
  }

  get state(): VoiceState {
    return this.#isOnline === true ? "online" : "resting";
  }

  setReady(isReady: boolean): void {
    if (isReady === this.#isOnline) return;
    this.#isOnline = isReady;
    // Later than the last one, or edge nodes would ignore it.
    this.#timestampMs = Math.max(this.#timestampMs + 1, Math.trunc(this.#clock()));
    const host = this.#hostId;
    if (host === undefined) return;
    for (const format of this.#formats) {
      const topic = formatTopic({ type: "STATE", host, format });
      const payload = formatState(format, isReady, this.#timestampMs);
      const announcement = { topic, payload, qos: 1, retain: true } as const;
      this.#audience.retained.set(topic, announcement);
      this.#audience.deliver(announcement);
    }
  }

  say(topic: string, payload: Uint8Array): boolean {
    return this.#audience.deliver({ topic, payload, qos: 0, retain: false }) > 0;
  }

  async close(): Promise<void> {
    this.setReady(false);
  }
}
