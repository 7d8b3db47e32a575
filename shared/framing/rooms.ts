// Memory that blocks are made in, used again and again: getting fresh memory for every block costs as much as sealing it.
// Bounded: what is given back beyond ROOMS_BYTES_MAX is left to the garbage collector, as is all that nobody gives back.

/** Smaller ones are cheap to get. */
const ROOM_BYTES_MIN = 16_384;
const ROOMS_BYTES_MAX = 4_194_304;

/** Rooms that live until their owner gives them back. */
export class Rooms {
  #free: Buffer[] = [];
  #freeBytes = 0;

  /** Exactly so many bytes, whatever they hold. */
  take(bytes: number): Buffer {
    if (bytes < ROOM_BYTES_MIN) return Buffer.allocUnsafeSlow(bytes);
    for (let room = this.#free.pop(); room !== undefined; room = this.#free.pop()) {
      this.#freeBytes -= room.length;
      // Too small a one is dropped, so that in the end all have the size that is asked for.
      if (room.length >= bytes) return room;
    }
    return Buffer.allocUnsafeSlow(Math.ceil(bytes / ROOM_BYTES_MIN) * ROOM_BYTES_MIN);
  }

  /** Takes back the room that these, cut from one that was taken, lie in. */
  giveBack(slices: readonly Buffer[]): void {
    const memory = slices[0]?.buffer;
    if (memory === undefined || memory.byteLength < ROOM_BYTES_MIN) return;
    if (this.#freeBytes + memory.byteLength > ROOMS_BYTES_MAX) return;
    this.#freeBytes += memory.byteLength;
    this.#free.push(Buffer.from(memory));
  }
}

/** One room that each call takes over from the last. */
export function reuseRoom(): (bytes: number) => Buffer {
  let room = Buffer.alloc(0);
  return (bytes) => {
    if (room.length < bytes)
      room = Buffer.allocUnsafeSlow(Math.ceil(bytes / ROOM_BYTES_MIN) * ROOM_BYTES_MIN);
    return room.length === bytes ? room : room.subarray(0, bytes);
  };
}
