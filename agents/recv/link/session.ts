// Which runs of which sender are followed, and with which key a datagram is opened.
// Refuses datagrams of another link and of keys that are not live, before any cryptography is spent on them.
import type { Header } from "../../../shared/framing/header.ts";
import { deriveEpochKey, deriveKeyId, deriveLinkTag } from "../../../shared/framing/keys.ts";
import type { Refusal } from "../../../shared/framing/reasons.ts";

import { GapBook } from "./gaps.ts";

/** Streams (priority classes) that a receiver keeps order for. */
export const STREAMS_MAX = 16;
/** Retired journals that are remembered. A journal is retired when a plant's disk is lost: this is more than ever happens. */
export const RETIRED_MAX = 1000;
/** Epoch keys kept derived, so that a flood of invented epochs costs time but no memory. */
const EPOCH_KEYS_MAX = 8;

/** What must survive a restart of the receiver so that nothing is delivered twice. */
export type LinkState = {
  /** The journal that is followed; undefined before the first datagram ever. */
  journalId: bigint | undefined;
  epoch: bigint;
  /** Stream to the next sequence to deliver. */
  readonly expected: Map<number, number>;
  /** Stream to the first sequence that was sent since this receiver listens; of a stream that is not in it, all were. */
  readonly since: Map<number, number>;
  /** False until a heartbeat has said what had been sent before. */
  isSinceKnown: boolean;
  /** By what the sender's ledger was ahead of ours when they were first compared; undefined before that. */
  ledgerBase: number | undefined;
  /** Journals that a newer one has replaced: never accepted again. */
  readonly retired: Set<bigint>;
  /** What of the followed journal is lost and may still come. */
  readonly gaps: GapBook;
};

export function emptyLinkState(): LinkState {
  return {
    journalId: undefined,
    epoch: 0n,
    expected: new Map(),
    since: new Map(),
    isSinceKnown: false,
    ledgerBase: undefined,
    retired: new Set(),
    gaps: new GapBook(),
  };
}

/** What openDatagram() needs; `undefined` inside when datagrams carry a checksum only. */
export type EpochKey = { readonly key: Uint8Array | undefined };

export class KeyRing {
  readonly #linkId: string;
  readonly #linkTag: number;
  readonly #linkKeys = new Map<number, Uint8Array>();
  readonly #epochKeys = new Map<string, Uint8Array>();
  #last: { keyId: number; journalId: bigint; epoch: bigint; run: Header["run"]; key: EpochKey } | undefined;

  constructor(linkId: string, linkKeys: readonly Uint8Array[]) {
    this.#linkId = linkId;
    this.#linkTag = deriveLinkTag(linkId);
    this.setKeys(linkKeys);
  }

  /** Takes other live keys. */
  setKeys(linkKeys: readonly Uint8Array[]): void {
    this.#linkKeys.clear();
    this.#epochKeys.clear();
    this.#last = undefined;
    for (const key of linkKeys) this.#linkKeys.set(deriveKeyId(key), key);
  }

  /** The key that opens a datagram with this header. */
  find(header: Header): EpochKey | Refusal {
    if (header.linkTag !== this.#linkTag) return "link";
    const last = this.#last;
    if (last !== undefined && last.keyId === header.keyId) {
      // Headers that were read one after another share the list: that is quicker than big integers are compared.
      if (last.run !== undefined && last.run === header.run) return last.key;
      if (last.epoch === header.epoch && last.journalId === header.journalId) {
        last.run = header.run;
        return last.key;
      }
    }
    // Without keys only what is not sealed is taken, with keys never.
    if (this.#linkKeys.size === 0) return header.keyId === 0 ? { key: undefined } : "key";
    const linkKey = this.#linkKeys.get(header.keyId);
    if (linkKey === undefined) return "key";
    const { keyId, journalId, epoch } = header;
    const name = `${keyId} ${journalId} ${epoch}`;
    const key = this.#epochKeys.get(name) ?? deriveEpochKey(linkKey, this.#linkId, journalId, epoch);
    this.#epochKeys.delete(name);
    this.#epochKeys.set(name, key);
    if (this.#epochKeys.size > EPOCH_KEYS_MAX) {
      for (const oldest of this.#epochKeys.keys()) {
        this.#epochKeys.delete(oldest);
        break;
      }
    }
    this.#last = { keyId, journalId, epoch, run: header.run, key: { key } };
    return this.#last.key;
  }
}
