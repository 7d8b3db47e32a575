// Which topics a client may publish to: rules by user and client id, with %u and %c in their topic filters. Without any rule
// everyone who was let in may publish everywhere; with rules, what none allows is refused. A name with a wildcard or a "/" in
// it is never put into a filter: it could widen the rule.
import { matchTopic } from "../../../../shared/mqtt/topic.ts";

export type AccessRule = {
  /** Undefined: all. "*" stands for any characters. */
  readonly users: readonly string[] | undefined;
  readonly clientIds: readonly string[] | undefined;
  readonly publish: readonly string[];
};

/** Decisions that are remembered for one connection. */
const REMEMBERED_MAX = 1000;

export class Permit {
  readonly #filters: readonly string[];
  readonly #decided = new Map<string, boolean>();

  constructor(filters: readonly string[]) {
    this.#filters = filters;
  }

  isLike(other: Permit | undefined): boolean {
    return (
      other !== undefined &&
      this.#filters.length === other.#filters.length &&
      this.#filters.every((filter, index) => filter === other.#filters[index])
    );
  }

  allows(topic: string): boolean {
    const known = this.#decided.get(topic);
    if (known !== undefined) return known;
    const allowed = this.#filters.some((filter) => matchTopic(filter, topic));
    if (this.#decided.size >= REMEMBERED_MAX) this.#decided.clear();
    this.#decided.set(topic, allowed);
    return allowed;
  }
}

/** What this client may do; undefined: everything. */
export function makePermit(
  rules: readonly AccessRule[],
  user: string | undefined,
  clientId: string,
): Permit | undefined {
  if (rules.length === 0) return undefined;
  const own = rules.filter(({ users, clientIds }) => matches(users, user) && matches(clientIds, clientId));
  const filters = own.flatMap(({ publish }) =>
    publish.flatMap((filter) => fillIn(filter, user, clientId) ?? []),
  );
  return new Permit(filters);
}

function matches(patterns: readonly string[] | undefined, name: string | undefined): boolean {
  if (patterns === undefined) return true;
  return name !== undefined && patterns.some((pattern) => matchName(pattern, name));
}

/** "*" stands for any characters. Linear: each part is looked for once, from the left. */
export function matchName(pattern: string, name: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return pattern === name;
  if (!name.startsWith(first)) return false;
  const last = rest.pop() ?? "";
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - at >= last.length && name.endsWith(last);
}

/** The filter with the names in it; undefined when it can't be had. */
export function fillIn(filter: string, user: string | undefined, clientId: string): string | undefined {
  let isUsable = true;
  const filled = filter.replace(/%[uc]/g, (mark) => {
    const name = mark === "%u" ? user : clientId;
    if (name === undefined || name === "" || /[+#/]/.test(name)) isUsable = false;
    return name ?? "";
  });
  return isUsable ? filled : undefined;
}
