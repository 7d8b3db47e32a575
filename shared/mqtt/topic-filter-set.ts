// Many topic filters asked at once: a tree of levels, so that the cost of a look-up grows with the depth of
// the topic and not with the number of filters. Refuses nothing: filters and topics must be valid already.

import { dropShareGroup } from "./topic.ts";

type Entry<Value> = { readonly order: number; readonly value: Value };

class LevelNode<Value> {
  readonly literals = new Map<string, LevelNode<Value>>();
  single: LevelNode<Value> | undefined;
  /** The entries of filters that end here. */
  readonly here: Entry<Value>[] = [];
  /** The entries of filters that end with "#" below here: they match this level and all under it. */
  readonly below: Entry<Value>[] = [];
}

/** A set of topic filters, each with a value: `first` answers with the one that was added earliest. */
export class TopicFilterSet<Value = true> {
  #root = new LevelNode<Value>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(filter: string, value: Value): void {
    const entry: Entry<Value> = { order: this.#size++, value };
    let node = this.#root;
    for (const level of dropShareGroup(filter).split("/")) {
      if (level === "#") {
        node.below.push(entry);
        return;
      }
      let next = level === "+" ? node.single : node.literals.get(level);
      if (next === undefined) {
        next = new LevelNode<Value>();
        if (level === "+") node.single = next;
        else node.literals.set(level, next);
      }
      node = next;
    }
    node.here.push(entry);
  }

  has(topic: string): boolean {
    return this.#size > 0 && this.#collect(topic).length > 0;
  }

  /** The value of the earliest added filter that matches. */
  first(topic: string): Value | undefined {
    if (this.#size === 0) return undefined;
    let best: Entry<Value> | undefined;
    for (const entry of this.#collect(topic))
      if (best === undefined || entry.order < best.order) best = entry;
    return best?.value;
  }

  /** The values of all filters that match, in the order in which they were added. */
  all(topic: string): Value[] {
    const found = this.#collect(topic).sort((a, b) => a.order - b.order);
    return found.map((entry) => entry.value);
  }

  // Level by level with a list of live nodes, not by recursion: a topic may have 65,535 levels.
  #collect(topic: string): Entry<Value>[] {
    const found: Entry<Value>[] = [];
    let nodes = [this.#root];
    let from = 0;
    // A wildcard in the first level doesn't match a topic that begins with "$" [MQTT-4.7.2-1].
    let wildcards = !topic.startsWith("$");
    while (from <= topic.length && nodes.length > 0) {
      const slash = topic.indexOf("/", from);
      const end = slash < 0 ? topic.length : slash;
      const level = topic.slice(from, end);
      const next: LevelNode<Value>[] = [];
      for (const node of nodes) {
        const literal = node.literals.get(level);
        if (literal !== undefined) next.push(literal);
        if (!wildcards) continue;
        if (node.below.length > 0) found.push(...node.below);
        if (node.single !== undefined) next.push(node.single);
      }
      nodes = next;
      wildcards = true;
      from = end + 1;
    }
    // "a/#" matches "a" as well, so what hangs under the last level counts too [MQTT5 4.7.1.2].
    if (from > topic.length) for (const node of nodes) found.push(...node.here, ...node.below);
    return found;
  }
}
