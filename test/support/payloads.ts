// Payloads that can be told apart: each carries its number, and bytes that follow from it alone.

/** Bytes 0 to 399 long behind the number, the same for the same number, all 256 values among them. */
export function makePayload(index: number): Buffer {
  const length = (index * 7919) % 400;
  const payload = Buffer.alloc(4 + length);
  payload.writeUInt32BE(index);
  let state = index + 1;
  for (let at = 4; at < payload.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    payload[at] = state >>> 24;
  }
  return payload;
}

export function makePayloads(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => makePayload(index));
}

/** Where the payloads differ from makePayload(0), makePayload(1), … first: in words, or undefined. */
export function findFirstDifference(payloads: readonly Buffer[], count: number): string | undefined {
  for (let index = 0; index < Math.max(count, payloads.length); index++) {
    const found = payloads[index];
    if (found === undefined) return `number ${index} is missing`;
    if (index >= count) return `there are ${payloads.length}, expected ${count}`;
    if (!found.equals(makePayload(index))) {
      const number = found.length >= 4 ? found.readUInt32BE() : "?";
      return `in place of number ${index} is number ${number} (${found.length} bytes)`;
    }
  }
  return undefined;
}

/** Each number once, at its first arrival: QoS 1 may deliver again what was not acknowledged when the line broke. */
export function firstArrivals(payloads: readonly Buffer[]): Buffer[] {
  const seen = new Set<number>();
  return payloads.filter((payload) => {
    const number = payload.readUInt32BE();
    return !seen.has(number) && seen.add(number);
  });
}
