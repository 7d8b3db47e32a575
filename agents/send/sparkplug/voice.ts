// How the agent speaks to edge nodes in the plant: through their broker, or, where it is the broker itself, to those who have subscribed.

export type VoiceState =
  /** The source takes nothing now, so there is nothing to say. */
  "resting" | "connecting" | "online";

export type Voice = {
  readonly state: VoiceState;
  readonly problem: string | undefined;
  /** Whether the source takes messages and the journal keeps them. */
  setReady(isReady: boolean): void;
  /** A command, at QoS 0 and not retained; false when nobody can be reached by it now. */
  say(topic: string, payload: Uint8Array): boolean;
  close(): Promise<void>;
};
