// IPv6 addresses as text, the longest run of zeros left out [RFC 5952].

/** `address` has 16 bytes. */
export function formatIpv6(address: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => address.readUInt16BE(i * 2));
  const { start, length } = findLongestZeros(groups);
  const show = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":");
  return length < 2 ? show(0, 8) : `${show(0, start)}::${show(start + length, 8)}`;
}

function findLongestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
