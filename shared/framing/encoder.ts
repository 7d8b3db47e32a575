// From a block to its sealed datagrams: source and repair symbols, header, tag. Numbers the blocks of one epoch, each number once.
import { FecCodec } from "../fec/codec.ts";
import { type Block, encodeBlock, symbolBytesMax } from "./block.ts";
import { KIND_HEARTBEAT, KIND_MESSAGES, type Kind, SYMBOLS_MAX } from "./header.ts";
import { deriveEpochKey, deriveKeyId, deriveLinkTag } from "./keys.ts";
import { sealDatagram } from "./seal.ts";

export type EncoderOptions = {
  readonly linkId: string;
  readonly linkKey: Uint8Array;
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

export class BlockEncoder {
  readonly symbolBytes: number;
  readonly #epochKey: Uint8Array;
  readonly #options: EncoderOptions;
  readonly #codec = new FecCodec();
  readonly #common: { keyId: number; linkTag: number; journalId: bigint; epoch: bigint };
  #nextBlock: Record<Kind, number> = { [KIND_MESSAGES]: 0, [KIND_HEARTBEAT]: 0 };

  constructor(options: EncoderOptions) {
    const { linkId, linkKey, journalId, epoch } = options;
    const keyId = deriveKeyId(linkKey);
    this.#options = options;
    this.#common = { keyId, linkTag: deriveLinkTag(linkId), journalId, epoch };
    this.#epochKey = deriveEpochKey(linkKey, linkId, journalId, epoch);
    this.symbolBytes = symbolBytesMax(options.datagramBytes, keyId);
  }

  /** The datagrams of one block: source symbols in order, then repair symbols. */
  encode(kind: Kind, stream: number, block: Block): Buffer[] {
    const { bytes, sourceSymbols } = encodeBlock(block, this.symbolBytes);
    const symbolBytes = bytes.length / sourceSymbols;
    const { repairPercent, repairSymbolsMin } = this.#options;
    const repairSymbols = countRepairSymbols(sourceSymbols, repairPercent, repairSymbolsMin);
    const repair = Buffer.allocUnsafe(repairSymbols * symbolBytes);
    this.#codec.encodeRepair(sourceSymbols, repairSymbols, symbolBytes, bytes, repair);
    const number = this.#nextBlock[kind]++;
    const datagrams: Buffer[] = [];
    for (let symbol = 0; symbol < sourceSymbols + repairSymbols; symbol++) {
      const header = { ...this.#common, kind, block: number, stream, symbol, sourceSymbols, repairSymbols };
      const isSource = symbol < sourceSymbols;
      const at = (isSource ? symbol : symbol - sourceSymbols) * symbolBytes;
      const slice = (isSource ? bytes : repair).subarray(at, at + symbolBytes);
      datagrams.push(sealDatagram(header, slice, this.#epochKey));
    }
    return datagrams;
  }

  /** The datagrams of one heartbeat: a block of kind heartbeat whose content is the encoded heartbeat. */
  encodeHeartbeat(content: Uint8Array): Buffer[] {
    const block = { first: 0, count: 1, part: 0, parts: 1, contentBytes: content.length, piece: content };
    return this.encode(KIND_HEARTBEAT, 0, block);
  }
}
