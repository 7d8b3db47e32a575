// Prometheus metrics, read at the moment of the scrape from the figures that the agents keep anyway.
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

/** Label values by label name, and the value. */
export type Sample = readonly [labels: Record<string, string>, value: number];

export class Metrics {
  readonly #registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  /** A figure that only grows. */
  counter(name: string, help: string, labelNames: string[], read: () => Iterable<Sample>): void {
    new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value);
      },
    });
  }

  /** A figure that goes up and down. */
  gauge(name: string, help: string, labelNames: string[], read: () => Iterable<Sample>): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.set(labels, value);
      },
    });
  }

  /** The exposition text and its content type. */
  async scrape(): Promise<{ readonly text: string; readonly contentType: string }> {
    return { text: await this.#registry.metrics(), contentType: this.#registry.contentType };
  }
}

/** Samples of one label from a record. */
export function* labelled(label: string, record: Record<string, number>): Iterable<Sample> {
  for (const [name, value] of Object.entries(record)) yield [{ [label]: name }, value];
}
