// Judges a run of kills by what went over the wire between each agent and its broker. A killed broker may forget what it
// had acknowledged, and send again what it was acknowledged: neither counts for or against the agents.
import type { MqttRecorder, Sighting } from "../support/mqtt-recorder.ts";

/** One kill of the receiver. */
export type RecvKill = {
  readonly atMs: number;
  /** The last connection that the killed one can have had: what it wrote just before may be seen a moment later. */
  readonly connection: number;
  /** What was delivered for longer than this before it is not delivered again. */
  readonly windowMs: number;
};

/** Numbers that the sender acknowledged to the plant's broker, and the other broker has not acknowledged to the receiver. */
export function findMissing(plant: MqttRecorder, business: MqttRecorder): number[] {
  const delivered = new Set(
    ofWay(business, "to-broker")
      .filter(isAcked)
      .map(({ number }) => number),
  );
  const owed = ofWay(plant, "to-agent").filter(isAcked);
  return [...new Set(owed.map(({ number }) => number))].filter((number) => !delivered.has(number));
}

/** Numbers that reached the broker for the first time behind a higher one. */
export function findDisorder(business: MqttRecorder): number[] {
  return behindHigher(ofWay(business, "to-broker"));
}

/** Numbers that the plant's own broker sent to the sender behind a higher one: a killed one may do so. */
export function findPlantDisorder(plant: MqttRecorder): Set<number> {
  const sent = ofWay(plant, "to-agent");
  return new Set([...behindHigher(sent), ...behindHigher(sent.filter(isAcked))]);
}

/**
 * Connections that began with more marked repetitions than were in flight on the one before: what the receiver has
 * written when a connection ends may never have come as far as the recorder, so that a mark alone proves nothing.
 */
export function findFalseDups(business: MqttRecorder, inflightMax: number): number[] {
  const marked = ofWay(business, "to-broker").filter(({ dup }) => dup);
  const byConnection = Map.groupBy(marked, ({ connection }) => connection);
  return [...byConnection].flatMap(([connection, { length }]) =>
    connection === 0 || length > inflightMax ? [connection] : [],
  );
}

export type Excess = { readonly number: number; readonly unmarked: number; readonly allowed: number };

/**
 * Numbers that came unmarked more often than can be: once for each time that the plant's broker handed them over, and
 * as often again for each kill of the receiver that found them in flight or just delivered.
 */
export function findExcess(
  plant: MqttRecorder,
  business: MqttRecorder,
  kills: readonly RecvKill[],
): Excess[] {
  const takenIn = countByNumber(ofWay(plant, "to-agent"));
  const out = Map.groupBy(ofWay(business, "to-broker"), ({ number }) => number);
  return [...out].flatMap(([number, sightings]) => {
    const unmarked = sightings.filter(({ dup }) => !dup).length;
    const again = kills.filter((kill) => sightings.some((sighting) => isWithin(sighting, kill))).length;
    const allowed = (takenIn.get(number) ?? 0) * (1 + again);
    return unmarked > allowed ? [{ number, unmarked, allowed }] : [];
  });
}

/** Numbers that the plant's broker handed over more than once: each time they are messages of their own. */
export function findTakenAgain(plant: MqttRecorder): Set<number> {
  const counts = countByNumber(ofWay(plant, "to-agent"));
  return new Set([...counts].flatMap(([number, count]) => (count > 1 ? [number] : [])));
}

/** Everything the recorders have of some numbers, for a person. */
export function tell(recorders: readonly MqttRecorder[], numbers: readonly number[]): string {
  const round = (ms: number | undefined) => (ms === undefined ? "never" : ms.toFixed(1));
  return numbers
    .map((number) => {
      const seen = recorders.flatMap(({ sightings }) => sightings.filter((each) => each.number === number));
      const lines = seen.map(({ way, connection, dup, publishedMs, ackedMs }) => {
        return `  ${way} ${connection}${dup ? " DUP" : ""} ${round(publishedMs)} acknowledged ${round(ackedMs)}`;
      });
      return [`number ${number}`, ...lines].join("\n");
    })
    .join("\n");
}

/** How long before the kill the oldest of those that came again for it was acknowledged, over all kills. */
export function longestRepeatMs(
  plant: MqttRecorder,
  business: MqttRecorder,
  kills: readonly RecvKill[],
): number {
  let longest = 0;
  const takenAgain = findTakenAgain(plant);
  const byNumber = Map.groupBy(ofWay(business, "to-broker"), ({ number }) => number);
  for (const [number, sightings] of byNumber) {
    if (takenAgain.has(number)) continue;
    for (const [index, { connection, ackedMs }] of sightings.entries()) {
      const again = sightings[index + 1];
      if (ackedMs === undefined || again === undefined || again.dup) continue;
      const between = kills.find(
        (kill) => connection <= kill.connection && kill.connection < again.connection,
      );
      if (between !== undefined) longest = Math.max(longest, between.atMs - ackedMs);
    }
  }
  return longest;
}

function isWithin(sighting: Sighting, { atMs, connection, windowMs }: RecvKill): boolean {
  const { ackedMs } = sighting;
  return sighting.connection <= connection && (ackedMs === undefined || ackedMs >= atMs - windowMs);
}

const isAcked = ({ ackedMs }: Sighting) => ackedMs !== undefined;

export function ofWay(recorder: MqttRecorder, way: Sighting["way"]): Sighting[] {
  return recorder.sightings.filter((sighting) => sighting.way === way);
}

function behindHigher(sightings: readonly Sighting[]): number[] {
  const seen = new Set<number>();
  let highest = -1;
  return sightings.flatMap(({ number }) => {
    if (seen.has(number)) return [];
    seen.add(number);
    const isBehind = number < highest;
    highest = Math.max(highest, number);
    return isBehind ? [number] : [];
  });
}

function countByNumber(sightings: readonly Sighting[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { number } of sightings) counts.set(number, (counts.get(number) ?? 0) + 1);
  return counts;
}
