// A number with its noun.
import { formatCount } from "../admin/text.ts";

export function formatPlural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}
