// Names and keys derived from the pre-shared key and the link id, by HKDF-SHA-256 [RFC 5869] and SHA-256.
import { createHash, hkdfSync } from "node:crypto";

export const LINK_KEY_BYTES = 32;

/** The public name of a key, 1 to 65,535. Two live keys of one link must differ in it. */
export function deriveKeyId(linkKey: Uint8Array): number {
  const bytes = Buffer.from(hkdfSync("sha256", linkKey, "", "tidegate/1 key id", 2));
  return bytes.readUInt16BE(0) || 1;
}

/** First 4 bytes of SHA-256("tidegate/1 link " + id): tells links apart, keeps the id itself off the wire. */
export function deriveLinkTag(linkId: string): number {
  return createHash("sha256").update(`tidegate/1 link ${linkId}`).digest().readUInt32BE(0);
}

/** The AES-256 key of one epoch: bound to link id, journal and epoch, so a nonce is unique in it. */
export function deriveEpochKey(
  linkKey: Uint8Array,
  linkId: string,
  journalId: bigint,
  epoch: bigint,
): Uint8Array {
  const salt = Buffer.alloc(16);
  salt.writeBigUInt64BE(journalId, 0);
  salt.writeBigUInt64BE(epoch, 8);
  return new Uint8Array(hkdfSync("sha256", linkKey, salt, `tidegate/1 seal ${linkId}`, LINK_KEY_BYTES));
}
