// Why a datagram did not open, or a block gave no content, in words.

const WORDS: { readonly [outcome: string]: string } = {
  "no-key": "sealed; --config FILE names the key that opens it",
  cut: "the capture has only its beginning",
  empty: "no bytes",
  short: "ends before its header, symbol or tag is complete",
  long: "larger than any datagram",
  version: "not version 1 of the wire format",
  kind: "a kind that does not exist",
  header: "header fields that contradict one another",
  link: "of another link",
  key: "sealed with a key that the configuration does not name, or not sealed although it names one",
  tag: "forged or corrupted: the tag does not match",
  surplus: "opened; its symbol is here already, or its block is whole",
  corrupt: "altered on the disk",
  malformed: "its frames are not as the wire format says",
  "symbol-mismatch": "opened, but its shape differs from the other symbols of its block",
};

/** `outcome` as it stands on the line of a datagram or row. */
export function explainOutcome(outcome: string): string {
  const words = WORDS[outcome];
  return words === undefined ? outcome : `${outcome}: ${words}`;
}
