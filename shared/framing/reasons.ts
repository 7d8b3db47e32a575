// Why the receiver refuses what came over the link. The reason is the counter's label, the test's outcome and
// the word in docs/protocol.md. The list is closed: a new reason is a new line here and in the document.

export const REFUSALS = [
  "empty", // a datagram of no bytes
  "short", // cut before the end of the header, the symbol or the tag
  "long", // more bytes than any valid datagram has
  "version", // a wire format that this receiver does not speak
  "link", // sealed for another link id
  "kind", // a datagram kind that does not exist
  "header", // header fields that contradict one another
  "key", // sealed with a key that is not live here, or not sealed where sealing is required
  "tag", // forged or corrupted: the authentication tag or checksum does not match
  "journal-retired", // from a journal that a newer one has replaced
  "epoch-old", // from an earlier run of the sender
  "surplus", // not needed any more: repair of a whole block, a copy by another path, or replayed
  "block-old", // from a block so old that it cannot be told whether it was done
  "symbol-mismatch", // shape differs from the other symbols of its block
  "block-evicted", // an unfinished block given up: too old, or no room
  "block-malformed", // a complete block that does not parse
  "heartbeat-malformed", // a complete heartbeat that does not parse
  "sequence-delivered", // frames that were delivered before
  "part-evicted", // an unfinished large message given up: too old, or no room
] as const;

export type Refusal = (typeof REFUSALS)[number];

/** Why a sequence was given up on purpose; the code is on the wire in a skip frame. */
export const SKIP_REASONS = { expired: 1, conflated: 2, overflow: 3, void: 4, corrupt: 5 } as const;

/**
 * `void` is a sequence that never named a message: left unused so that no sequence is ever used twice.
 * `corrupt` is a message that the sender's disk gave back altered.
 */
export type SkipReason = keyof typeof SKIP_REASONS;

export function decodeSkipReason(code: number): SkipReason | undefined {
  for (const [name, value] of Object.entries(SKIP_REASONS)) if (value === code) return name as SkipReason;
  return undefined;
}
