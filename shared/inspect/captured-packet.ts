// What a reader of captures gives: packets, and at the end the place where the file is damaged, if it is.

export type Packet = {
  /** Milliseconds since 1970, with fractions; undefined where the file does not say. */
  readonly timeMs: number | undefined;
  /** Number of the link-layer type, as registered for captures. */
  readonly linkType: number;
  /** What was captured of it. */
  readonly bytes: Buffer;
};

/** Why the file ends before its end: a sentence without its subject. */
export type CaptureFault = string;
export type Packets = Generator<Packet, CaptureFault | undefined>;

/** tcpdump's and Wireshark's own limit. */
export const PACKET_BYTES_MAX = 262_144;
