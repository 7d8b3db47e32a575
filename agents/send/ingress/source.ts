// What every kind of source gives the agent. One file per `type` implements it.

import type { SparkplugFigures } from "../sparkplug/figures.ts";
import type { AccessRule } from "./listen/access.ts";

/** `connecting` until it has subscribed for the first time; `down` when it had to give up a connection. */
export type SourceState = "connecting" | "connected" | "down";

/** What a source that clients connect to says of them. */
export type ListenFigures = {
  readonly listeners: readonly {
    readonly address: string;
    readonly transport: string;
    readonly connections: number;
  }[];
  /** Clients that were let in and are connected. */
  readonly clients: number;
  readonly sessions: number;
  readonly sessionsEvicted: number;
  /** Addresses that are shut out for now. */
  readonly banned: number;
  /** Connections refused or ended by the server, by reason. */
  readonly refused: Record<string, number>;
  /** The first hundred of the clients. */
  readonly clientList: readonly {
    readonly clientId: string;
    readonly user: string | null;
    readonly address: string;
    readonly version: string;
    readonly messages: number;
  }[];
};

export type Source = {
  readonly name: string;
  readonly state: SourceState;
  /** What is wrong, in a sentence, while it is not connected. */
  readonly problem: string | undefined;
  /** How often it has subscribed: between two times messages may have been missed. */
  readonly sessions?: number;
  /** Of a source that clients connect to. */
  readonly listen?: ListenFigures;
  /** Takes other access rules without a restart. */
  setAccess?(rules: readonly AccessRule[]): void;
  /** Of a source with Sparkplug. */
  readonly sparkplug?: SparkplugFigures;
  /** Tells clients that wait for us that we go, while they can still hear it. */
  sayGoodbye?(): Promise<void>;
  /** Takes no more messages; what was taken may still be acknowledged. */
  pause(): void;
  /** Disconnects, acknowledgements first. */
  close(): Promise<void>;
};
