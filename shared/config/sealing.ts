// The keys of [link] that say how datagrams are sealed, the same for both agents. Refuses a key where none is used, none
// where one is needed, and two live keys that the wire could not tell apart.
import { deriveKeyId } from "../framing/keys.ts";
import { choice, path } from "./leaf.ts";
import { loadLinkKey } from "./loaded.ts";
import type { Review } from "./review.ts";
import { readValue } from "./schema-faults.ts";
import type { Secret } from "./secret.ts";

export type Sealing = "aes-256-gcm" | "none";

export type LinkKeys = {
  readonly sealing: Sealing;
  /** The live keys: none, one, or two during a rotation. */
  readonly keys: readonly Secret<Uint8Array>[];
};

export function sealingShape() {
  return {
    sealing: choice(["aes-256-gcm", "none"])
      .default("aes-256-gcm")
      .describe(
        'How datagrams are protected. "none" (a checksum only) is for diodes that inspect what passes: then anybody on the link can forge messages.',
      ),
    key_file: path()
      .optional()
      .describe(
        "Key file of the link, the same on both sides; `keygen` makes one. Required unless sealing is none.",
      ),
    next_key_file: path()
      .optional()
      .describe(
        "The key that will follow, during a rotation: both are live. docs/operating.md has the steps.",
      ),
  };
}

type SealingTable = {
  readonly sealing?: Sealing | undefined;
  readonly key_file?: string | undefined;
  readonly next_key_file?: string | undefined;
};

export function loadSealing(review: Review, link: SealingTable): LinkKeys | undefined {
  const given = (key: string) => readValue(review.document, ["link", key]) !== undefined;
  const sealing = link.sealing ?? "aes-256-gcm";
  if (sealing === "none") {
    for (const name of ["key_file", "next_key_file"]) {
      if (given(name)) review.add(["link", name], 'is given with sealing "none"', "must be left out");
    }
    return { sealing, keys: [] };
  }
  if (!given("key_file"))
    review.add(["link", "key_file"], "is missing", "must be the path of a link key; keygen makes one");
  const key = loadLinkKey(review, ["link", "key_file"], link.key_file);
  const next = loadLinkKey(review, ["link", "next_key_file"], link.next_key_file);
  if (key === undefined) return undefined;
  if (next === undefined) return link.next_key_file === undefined ? { sealing, keys: [key] } : undefined;
  if (deriveKeyId(key.reveal()) === deriveKeyId(next.reveal())) {
    review.add(
      ["link", "next_key_file"],
      "holds a key with the same key id as key_file",
      "must be another key",
    );
    return undefined;
  }
  return { sealing, keys: [key, next] };
}
