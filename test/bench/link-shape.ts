// What both ends of the bare link agree on.

export const LINK = {
  /** Content of a block: the default of the send agent's `block_bytes`. */
  contentBytes: 49_152,
  /** Bytes on their way at most: a quarter of the receive buffer, because the kernel books small datagrams at twice their size. */
  windowBytes: 2_097_152,
  receiveBufferBytes: 8_388_608,
  identity: { linkId: "bench", linkKeys: [new Uint8Array(32).fill(7)], journalId: 1n, epoch: 1n },
} as const;

export type LinkWishes = {
  /** Sealed and coded, or plain datagrams. */
  readonly sealed: boolean;
  readonly datagramBytes: number;
  readonly seconds: number;
};
