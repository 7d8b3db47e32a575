// From a block to its sealed datagrams: source and repair symbols, header, tag. Numbers the blocks of one epoch, each
// number once. With two live keys every datagram is made under both, so that a receiver that has either loses nothing.
import { FecCodec } from "../fec/codec.ts";
import { type Block, encodeBlock, symbolBytesMax } from "./block.ts";
import {
  encodeHeader,
  HEADER_BYTES,
  KIND_HEARTBEAT,
  KIND_MESSAGES,
  type Kind,
  SYMBOLS_MAX,
} from "./header.ts";
import { deriveEpochKey, deriveKeyId, deriveLinkTag } from "./keys.ts";
import { Rooms, reuseRoom } from "./rooms.ts";
import { countDatagramBytes, sealInto } from "./seal.ts";

export type EncoderOptions = {
  readonly linkId: string;
  /** The live keys, 32 bytes each; none means that datagrams carry a checksum only (sealing = "none"). */
  readonly linkKeys: readonly Uint8Array[];
  readonly journalId: bigint;
  readonly epoch: bigint;
  /** Largest UDP payload to make. */
  readonly datagramBytes: number;
  /** Repair symbols for each 100 source symbols, rounded up. */
  readonly repairPercent: number;
  /** Repair symbols of even the smallest block. */
  readonly repairSymbolsMin: number;
};

/** Repair symbols for a block of `sourceSymbols`, as many as the field has room for. */
export function countRepairSymbols(sourceSymbols: number, percent: number, least: number): number {
  const wanted = Math.max(least, Math.ceil((sourceSymbols * percent) / 100));
  return Math.min(wanted, SYMBOLS_MAX - sourceSymbols, REPAIR_SYMBOLS_MAX);
}

const REPAIR_SYMBOLS_MAX = 255;

type Seal = { readonly keyId: number; readonly epochKey: Uint8Array | undefined };

export class BlockEncoder {
  /** Bytes of the largest symbol. */
  readonly symbolBytes: number;
  readonly #options: EncoderOptions;
  readonly #linkTag: number;
  readonly #codec = FecCodec.shared();
  readonly #rooms = new Rooms();
  readonly #sourceRoom = reuseRoom();
  readonly #repairRoom = reuseRoom();
  #seals: readonly Seal[] = [];
  #nextBlock: Record<Kind, number> = { [KIND_MESSAGES]: 0, [KIND_HEARTBEAT]: 0 };

  constructor(options: EncoderOptions) {
    this.#options = options;
    this.#linkTag = deriveLinkTag(options.linkId);
    this.setKeys(options.linkKeys);
    this.symbolBytes = symbolBytesMax(options.datagramBytes, this.#seals[0]?.keyId ?? 0);
  }

  /** Takes other live keys, from the next block on. Keys and no keys do not follow one another. */
  setKeys(linkKeys: readonly Uint8Array[]): void {
    const { linkId, journalId, epoch } = this.#options;
    this.#seals =
      linkKeys.length === 0
        ? [{ keyId: 0, epochKey: undefined }]
        : linkKeys.map((key) => ({
            keyId: deriveKeyId(key),
            epochKey: deriveEpochKey(key, linkId, journalId, epoch),
          }));
  }

  /** The datagrams of one block: source symbols in order, then repair symbols; each under every live key. */
  encode(kind: Kind, stream: number, block: Block, isRepaired = true): Buffer[] {
    const { bytes, sourceSymbols } = encodeBlock(block, this.symbolBytes, this.#lay);
    const symbolBytes = bytes.length / sourceSymbols;
    const { journalId, epoch } = this.#options;
    const repairSymbols = isRepaired ? this.#countRepair(sourceSymbols) : 0;
    const repair = this.#repairRoom(repairSymbols * symbolBytes);
    this.#codec.encodeRepair(sourceSymbols, repairSymbols, symbolBytes, bytes, repair);
    const number = this.#nextBlock[kind]++;
    const symbols = sourceSymbols + repairSymbols;
    const head = Buffer.allocUnsafe(HEADER_BYTES);
    const common = { kind, linkTag: this.#linkTag, journalId, epoch, block: number, stream, symbol: 0 };
    encodeHeader(head, { ...common, keyId: 0, sourceSymbols, repairSymbols });
    // One buffer holds all datagrams of the block: they live and go together.
    const sizes = this.#seals.map(({ epochKey }) => countDatagramBytes(symbolBytes, epochKey));
    const room = this.#rooms.take(symbols * sizes.reduce((sum, size) => sum + size, 0));
    const datagrams: Buffer[] = [];
    let used = 0;
    for (let symbol = 0; symbol < symbols; symbol++) {
      const isSource = symbol < sourceSymbols;
      const at = (isSource ? symbol : symbol - sourceSymbols) * symbolBytes;
      const slice = (isSource ? bytes : repair).subarray(at, at + symbolBytes);
      head[33] = symbol;
      for (let index = 0; index < this.#seals.length; index++) {
        const { keyId, epochKey } = this.#seals[index] as Seal;
        head.writeUInt16BE(keyId, 2);
        sealInto(room, used, head, slice, epochKey);
        const end = used + (sizes[index] as number);
        datagrams.push(room.subarray(used, end));
        used = end;
      }
    }
    return datagrams;
  }

  /** Where a block is put together: in the codec's own memory, if there is room. */
  readonly #lay = (sourceSymbols: number, symbolBytes: number): Buffer => {
    const room = this.#codec.room(sourceSymbols, this.#countRepair(sourceSymbols), symbolBytes);
    if (room === undefined) return this.#sourceRoom(sourceSymbols * symbolBytes);
    return Buffer.from(room.buffer, room.byteOffset, room.length);
  };

  #countRepair(sourceSymbols: number): number {
    const { repairPercent, repairSymbolsMin } = this.#options;
    return countRepairSymbols(sourceSymbols, repairPercent, repairSymbolsMin);
  }

  /** Takes back the memory of a block's datagrams. Nobody may look at any of them again. */
  recycle(datagrams: readonly Buffer[]): void {
    this.#rooms.giveBack(datagrams);
  }

  /**
   * The datagrams of one heartbeat: a block of kind heartbeat whose content is the encoded heartbeat. Without repair
   * symbols, where the next one comes soon enough.
   */
  encodeHeartbeat(content: Uint8Array, isRepaired = true): Buffer[] {
    const block = {
      first: 0,
      count: 1,
      part: 0,
      parts: 1,
      compressed: false,
      contentBytes: content.length,
      piece: content,
    };
    return this.encode(KIND_HEARTBEAT, 0, block, isRepaired);
  }
}
