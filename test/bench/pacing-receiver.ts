// The receiving end of a pacing run: how much came, and between which moments.
import { openUdpReceiver } from "../../agents/recv/link/udp-path.ts";
import { wireOverheadBytes } from "../../agents/send/link/udp-path.ts";
import { findFreeUdpPort } from "../support/ports.ts";
import { readMicroseconds } from "./clock.ts";
import { LINK } from "./link-shape.ts";
import { serve } from "./worker.ts";

export type PacingTally = {
  readonly datagrams: number;
  /** On the wire, headers included, once warm. */
  readonly megabitsPerSecond: number;
};

let datagrams = 0;
let beganUs = 0;
/** The first and the last moment of the measured part, and the bytes that came after the first. */
let firstUs = 0;
let lastUs = 0;
let bytes = 0;

serve({
  open: async ({ warmSeconds }) => {
    const port = await findFreeUdpPort();
    const { receiveBufferBytes } = LINK;
    const path = { address: { host: "127.0.0.1", port }, interface: undefined, receiveBufferBytes };
    const take = (datagram: Buffer) => {
      lastUs = readMicroseconds();
      if (datagrams++ === 0) beganUs = lastUs;
      if (lastUs - beganUs < (warmSeconds as number) * 1e6) firstUs = lastUs;
      else bytes += datagram.length + wireOverheadBytes(4);
    };
    await openUdpReceiver(path, take, () => {});
    return { port };
  },
  collect: (): PacingTally => ({ datagrams, megabitsPerSecond: (bytes * 8) / (lastUs - firstUs) }),
});
