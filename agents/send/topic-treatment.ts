// What is done with the messages of a topic, by the operator's filters and priorities: decided once for each topic.
import { matchTopic } from "../../shared/mqtt/topic.ts";
import { OWN_TOPICS } from "../../shared/sparkplug/snapshot.ts";
import type { IntakeOptions } from "./intake-options.ts";

/** What the agent itself sends across has a stream that comes after all others. */
export const OWN_STREAM = 15;

export type Treatment = {
  /** The rule that keeps its messages in the plant. */
  readonly filter: string | undefined;
  readonly stream: number;
  readonly latestOnly: boolean;
};

/** Topics whose treatment is remembered. */
const TOPICS_MAX = 131_072;
const DOLLAR = 0x24;
const PLAIN: Treatment = { filter: undefined, stream: 0, latestOnly: false };

export class TopicTreatment {
  readonly #options: Pick<IntakeOptions, "filters" | "priorities" | "latestOnly">;
  /** All topics are treated alike. */
  readonly #isPlain: boolean;
  readonly #known = new Map<string, Treatment>();

  constructor(options: Pick<IntakeOptions, "filters" | "priorities" | "latestOnly">) {
    this.#options = options;
    const { filters, priorities, latestOnly } = options;
    this.#isPlain = filters.length + priorities.length + latestOnly.length === 0;
  }

  of(topic: string): Treatment {
    if (this.#isPlain && topic.charCodeAt(0) !== DOLLAR) return PLAIN;
    const known = this.#known.get(topic);
    if (known !== undefined) return known;
    const matches = (filters: readonly string[]) => filters.some((filter) => matchTopic(filter, topic));
    const isOwn = topic.startsWith(OWN_TOPICS);
    const treatment = {
      filter: this.#options.filters.find(({ drop }) => matches(drop))?.name,
      stream: isOwn
        ? OWN_STREAM
        : (this.#options.priorities.find(({ topics }) => matches(topics))?.stream ?? 0),
      latestOnly: isOwn || matches(this.#options.latestOnly),
    };
    if (this.#known.size >= TOPICS_MAX) this.#known.clear();
    this.#known.set(topic, treatment);
    return treatment;
  }
}
