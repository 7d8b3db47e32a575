// The tree as one file: .tar.gz, and an ISO 9660 image with Rock Ridge (names, modes) and Joliet (names, elsewhere).

import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.mjs";

export function writeTar(folder, name, epochSeconds) {
  const archive = join(folder, `${name}.tar`);
  const owner = ["--owner=0", "--group=0", "--numeric-owner", "--format=ustar"];
  run("tar", ["-cf", archive, "--sort=name", `--mtime=@${epochSeconds}`, ...owner, "-C", folder, name]);
  run("gzip", ["-nf", archive]);
}

export function writeIso(folder, name) {
  const image = join(folder, `${name}.iso`);
  rmSync(image, { force: true });
  const volume = name
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, "_")
    .slice(0, 32);
  const sums = createHash("sha256")
    .update(readFileSync(join(folder, name, "SHA256SUMS")))
    .digest("hex");
  // xorriso takes all dates, and the identifier of the image, from SOURCE_DATE_EPOCH.
  const names = ["-J", "-joliet-long", "-R", "-V", volume, "-A", `TIDEGATE ${sums.slice(0, 32)}`];
  const owners = ["-uid", "0", "-gid", "0"];
  run("xorriso", ["-as", "mkisofs", "-quiet", ...names, ...owners, "-o", image, join(folder, name)]);
}
