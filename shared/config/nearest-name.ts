// Finds what a mistyped name was probably meant to be. Refuses to guess when nothing is near.

import { distance } from "fastest-levenshtein";

// Beyond this a name is not a slip of the keyboard, and comparing it would only cost time.
const NAME_CHARACTERS_MAX = 64;

/** The known name nearest to `name`, or undefined when none is near enough to be what was meant. */
export function findNearestName(name: string, known: readonly string[]): string | undefined {
  if (name.length > NAME_CHARACTERS_MAX) return undefined;
  let nearest: string | undefined;
  let nearestDistance = Number.POSITIVE_INFINITY;
  const folded = foldName(name);
  for (const candidate of known) {
    const candidateDistance = measureDistance(folded, foldName(candidate));
    if (candidateDistance < nearestDistance) {
      nearest = candidate;
      nearestDistance = candidateDistance;
    }
  }
  // Two letters in the wrong order count as two changes, and that is the most common slip of all.
  const limit = folded.length < 3 ? 1 : Math.max(2, Math.floor(folded.length / 3));
  return nearestDistance <= limit ? nearest : undefined;
}

// A name and its beginning are near whatever the rest: "key" for "key_file", "warning" for "warn".
function measureDistance(a: string, b: string): number {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  return short.length >= 3 && long.startsWith(short) ? Math.min(1, distance(a, b)) : distance(a, b);
}

// "Key-File", "keyFile" and "key_file" are the same word to the person who typed it.
function foldName(name: string): string {
  return name.replace(/[-_.]/g, "").toLowerCase();
}
