// Measures how much went through lately: messages that arrived and bytes that the link carried, over the
// last two seconds.
import type { Snapshot } from "./account.ts";

const WINDOW_MS = 2_000;

type Sample = { readonly atMs: number; readonly messages: number; readonly bytes: number };

export class RateMeter {
  #samples: Sample[] = [];

  add(atMs: number, snapshot: Snapshot): void {
    const bytes = (snapshot.send.link?.paths ?? []).reduce((total, path) => total + (path.bytes ?? 0), 0);
    this.#samples.push({ atMs, messages: snapshot.arrived, bytes });
    this.#samples = this.#samples.filter((sample) => atMs - sample.atMs <= WINDOW_MS);
  }

  read(): { messagesPerSecond: number; bytesPerSecond: number } {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs === first.atMs)
      return { messagesPerSecond: 0, bytesPerSecond: 0 };
    const seconds = (last.atMs - first.atMs) / 1_000;
    return {
      messagesPerSecond: (last.messages - first.messages) / seconds,
      bytesPerSecond: (last.bytes - first.bytes) / seconds,
    };
  }
}
