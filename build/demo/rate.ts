// Measures how much went through lately: messages published and arrived, bytes that the link carried, over
// the last two seconds.
import type { Snapshot } from "./account.ts";

const WINDOW_MS = 2_000;

export type Rates = {
  readonly publishedPerSecond: number;
  readonly arrivedPerSecond: number;
  readonly bytesPerSecond: number;
};

const AT_REST: Rates = { publishedPerSecond: 0, arrivedPerSecond: 0, bytesPerSecond: 0 };

type Sample = {
  readonly atMs: number;
  readonly published: number;
  readonly arrived: number;
  readonly bytes: number;
};

export class RateMeter {
  #samples: Sample[] = [];

  add(atMs: number, snapshot: Snapshot): void {
    const bytes = (snapshot.send.link?.paths ?? []).reduce((total, path) => total + (path.bytes ?? 0), 0);
    this.#samples.push({ atMs, published: snapshot.published, arrived: snapshot.arrived, bytes });
    this.#samples = this.#samples.filter((sample) => atMs - sample.atMs <= WINDOW_MS);
  }

  read(): Rates {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs === first.atMs) return AT_REST;
    const seconds = (last.atMs - first.atMs) / 1_000;
    return {
      publishedPerSecond: (last.published - first.published) / seconds,
      arrivedPerSecond: (last.arrived - first.arrived) / seconds,
      bytesPerSecond: (last.bytes - first.bytes) / seconds,
    };
  }
}
