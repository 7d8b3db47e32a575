// SHA256SUMS over every file of the media, and its detached signature: RSA with SHA-256 (PKCS #1 v1.5), which every OpenSSL of the last
// twenty years can check, and which is the same each time, so that a signed media can be reproduced as well.
import { createHash } from "node:crypto";
import { copyFileSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { giveUp } from "../bootstrap.mjs";
import { run } from "./run.mjs";

const UNSUMMED = new Set(["SHA256SUMS", "SHA256SUMS.sig", "tidegate-media.pub"]);
const KEY_BITS_MIN = 3072;

export function writeSums(tree) {
  const lines = listFiles(tree).map((path) => {
    const hash = createHash("sha256").update(readFileSync(join(tree, path)));
    return `${hash.digest("hex")}  ${path}\n`;
  });
  writeFileSync(join(tree, "SHA256SUMS"), lines.join(""));
}

/** True when the media is signed. */
export function sign(tree, options) {
  const sums = join(tree, "SHA256SUMS");
  const signature = join(tree, "SHA256SUMS.sig");
  const publicKey = join(tree, "tidegate-media.pub");
  if (options.key !== undefined) {
    const text = run("openssl", ["pkey", "-in", options.key, "-noout", "-text"]);
    const bits = Number(text.match(/Private-Key: \((\d+) bit/)?.[1]);
    if (!/modulus/.test(text) || bits < KEY_BITS_MIN)
      giveUp(`cannot sign the media: ${options.key} must be an RSA key of at least ${KEY_BITS_MIN} bits`);
    run("openssl", ["dgst", "-sha256", "-sign", options.key, "-out", signature, sums]);
    run("openssl", ["pkey", "-in", options.key, "-pubout", "-out", publicKey]);
  } else if (options.signature !== undefined) {
    copyFileSync(options.signature, signature);
    copyFileSync(options["public-key"], publicKey);
  } else return false;
  run("openssl", ["dgst", "-sha256", "-verify", publicKey, "-signature", signature, sums]);
  return true;
}

function listFiles(folder, path = "") {
  return readdirSync(join(folder, path))
    .sort()
    .flatMap((name) => {
      const inside = path === "" ? name : `${path}/${name}`;
      if (lstatSync(join(folder, inside)).isDirectory()) return listFiles(folder, inside);
      return UNSUMMED.has(inside) ? [] : [inside];
    });
}
