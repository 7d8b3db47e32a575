// What every kind of source gives the agent. One file per `type` implements it.

/** `connecting` until it has subscribed for the first time; `down` when it had to give up a connection. */
export type SourceState = "connecting" | "connected" | "down";

export type Source = {
  readonly name: string;
  readonly state: SourceState;
  /** What is wrong, in a sentence, while it is not connected. */
  readonly problem: string | undefined;
  /** Takes no more messages; what was taken may still be acknowledged. */
  pause(): void;
  /** Disconnects, acknowledgements first. */
  close(): Promise<void>;
};
