// Opens datagrams with the keys at hand, or says why it cannot, by the receiver's own reasons where it is one of those.
// It has no state of runs and blocks: what a receiver refuses because of what came before is not refused here.
import { decodeHeader, type Header } from "../framing/header.ts";
import { deriveEpochKey, deriveKeyId, deriveLinkTag } from "../framing/keys.ts";
import type { Refusal } from "../framing/reasons.ts";
import { openDatagram } from "../framing/seal.ts";

/** The link as the configuration names it. */
export type LinkKeys = {
  readonly linkId: string;
  /** The live keys, 32 bytes each; none when nothing is sealed. */
  readonly linkKeys: readonly Uint8Array[];
};

/** `no-key`: there is no configuration, and it is sealed. `cut`: the capture has only the beginning of it. */
export type Closed = Refusal | "no-key" | "cut";
export type Opened =
  | { readonly outcome: "opened"; readonly header: Header; readonly symbol: Buffer }
  | { readonly outcome: Closed; readonly header: Header | undefined };

/** Epoch keys kept derived: a capture full of invented epochs costs time and no memory. */
const EPOCH_KEYS_MAX = 64;

export class Opener {
  readonly #link: LinkKeys | undefined;
  readonly #linkTag: number | undefined;
  readonly #linkKeys: ReadonlyMap<number, Uint8Array>;
  readonly #epochKeys = new Map<string, Uint8Array>();

  /** Without a link only headers are read, and what is not sealed. */
  constructor(link: LinkKeys | undefined) {
    this.#link = link;
    this.#linkTag = link && deriveLinkTag(link.linkId);
    this.#linkKeys = new Map(link?.linkKeys.map((key) => [deriveKeyId(key), key]) ?? []);
  }

  /** `bytes` is how many it had on the wire; `datagram` may have fewer. */
  open(datagram: Buffer, bytes: number): Opened {
    const header = decodeHeader(datagram);
    if (datagram.length < bytes) {
      return { outcome: "cut", header: typeof header === "string" ? undefined : header };
    }
    if (typeof header === "string") return { outcome: header, header: undefined };
    const key = this.#find(header);
    if (typeof key === "string") return { outcome: key, header };
    const symbol = openDatagram(datagram, key.epochKey);
    return symbol === undefined ? { outcome: "tag", header } : { outcome: "opened", header, symbol };
  }

  #find(header: Header): Closed | { readonly epochKey: Uint8Array | undefined } {
    const link = this.#link;
    if (link === undefined) return header.keyId === 0 ? { epochKey: undefined } : "no-key";
    if (header.linkTag !== this.#linkTag) return "link";
    if (this.#linkKeys.size === 0) return header.keyId === 0 ? { epochKey: undefined } : "key";
    const linkKey = this.#linkKeys.get(header.keyId);
    if (linkKey === undefined) return "key";
    const name = `${header.keyId} ${header.journalId} ${header.epoch}`;
    let epochKey = this.#epochKeys.get(name);
    if (epochKey === undefined) {
      epochKey = deriveEpochKey(linkKey, link.linkId, header.journalId, header.epoch);
      if (this.#epochKeys.size >= EPOCH_KEYS_MAX) this.#epochKeys.clear();
      this.#epochKeys.set(name, epochKey);
    }
    return { epochKey };
  }
}
