// From a block to its sealed datagrams: symbols, header, tag. Numbers the blocks of one epoch, each number once.
import { type Block, encodeBlock, symbolBytesMax } from "./block.ts";
import { KIND_HEARTBEAT, KIND_MESSAGES, type Kind } from "./header.ts";
import { deriveEpochKey, deriveKeyId, deriveLinkTag } from "./keys.ts";
import { sealDatagram } from "./seal.ts";

export type EncoderOptions = {
  readonly linkId: string;
  readonly linkKey: Uint8Array;
  readonly journalId: bigint;
  readonly epoch: bigint;
  /** Largest UDP payload to make. */
  readonly datagramBytes: number;
};

export class BlockEncoder {
  readonly symbolBytes: number;
  readonly #epochKey: Uint8Array;
  readonly #common: { keyId: number; linkTag: number; journalId: bigint; epoch: bigint };
  #nextBlock: Record<Kind, number> = { [KIND_MESSAGES]: 0, [KIND_HEARTBEAT]: 0 };

  constructor(options: EncoderOptions) {
    const { linkId, linkKey, journalId, epoch } = options;
    const keyId = deriveKeyId(linkKey);
    this.#common = { keyId, linkTag: deriveLinkTag(linkId), journalId, epoch };
    this.#epochKey = deriveEpochKey(linkKey, linkId, journalId, epoch);
    this.symbolBytes = symbolBytesMax(options.datagramBytes, keyId);
  }

  /** The datagrams of one block, source symbols in order. */
  encode(kind: Kind, stream: number, block: Block): Buffer[] {
    const { bytes, sourceSymbols } = encodeBlock(block, this.symbolBytes);
    const symbolBytes = bytes.length / sourceSymbols;
    const number = this.#nextBlock[kind]++;
    const datagrams: Buffer[] = [];
    for (let symbol = 0; symbol < sourceSymbols; symbol++) {
      const header = {
        ...this.#common,
        kind,
        block: number,
        stream,
        symbol,
        sourceSymbols,
        repairSymbols: 0,
      };
      const slice = bytes.subarray(symbol * symbolBytes, (symbol + 1) * symbolBytes);
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
