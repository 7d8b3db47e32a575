// Follows the bytes MQTT.js writes, to know when they stand between two packets, so that acknowledgements can be
// put there. MQTT.js writes one packet in many small chunks, so a chunk's end says nothing. Refuses nothing:
// what MQTT.js writes is its own affair.

export class PacketBoundary {
  #left = 0;
  #inLength = false;
  #shift = 0;
  #pingRequests = 0;

  /** Whether all packets seen so far are whole. */
  get isBetweenPackets(): boolean {
    return this.#left === 0 && !this.#inLength;
  }

  feed(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#inLength) {
        const byte = chunk[at++] as number;
        this.#left += (byte & 0x7f) * 2 ** this.#shift;
        this.#shift += 7;
        this.#inLength = byte >= 0x80;
      } else if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
        at += taken;
      } else {
        if ((chunk[at++] as number) >> 4 === 12) this.#pingRequests++;
        this.#inLength = true;
        this.#shift = 0;
      }
    }
  }

  /** How many PINGREQ have gone by since the last call. */
  takePingRequests(): number {
    const count = this.#pingRequests;
    this.#pingRequests = 0;
    return count;
  }
}
