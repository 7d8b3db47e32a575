// The licences of all that the media carries: packages compiled in, the runtime with what it is linked with, GCC's libraries for musl.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { giveUp, ROOT } from "../bootstrap.mjs";
import { collectLicences } from "../third-party.mjs";
import { GCC, TARGETS, WHEEL } from "./targets.mjs";

// The runtime's own account of what it is linked with comes with its types, in the same version.
const RUNTIME_LICENCES = "node_modules/bun-types/docs/project/license.mdx";
// Debian keeps the texts that many packages share.
const SHARED = "/usr/share/common-licenses";
const SHARED_TEXTS = ["GPL-3", "LGPL-2", "LGPL-2.1", "MPL-2.0"];
const GCC_COPYRIGHT = "/usr/share/doc/gcc-12-base/copyright";

export function writeLicences(tree, targets) {
  const folder = join(tree, "licences");
  mkdirSync(folder);
  writeFileSync(join(folder, "packages.txt"), collectLicences());
  writeFileSync(join(folder, "bun.md"), readFileSync(join(ROOT, RUNTIME_LICENCES)));
  for (const name of SHARED_TEXTS) {
    const path = join(SHARED, name);
    if (!existsSync(path)) giveUp(`cannot make the media: ${path} is missing (Debian: base-files)`);
    writeFileSync(join(folder, `${name}.txt`), readFileSync(path));
  }
  writeFileSync(join(folder, "README.txt"), describe(targets));
  if (targets.some((target) => TARGETS[target].wheel !== undefined))
    writeFileSync(join(folder, "gcc.txt"), describeGcc());
}

function describe(targets) {
  const { version } = JSON.parse(readFileSync(join(ROOT, "node_modules/bun/package.json"), "utf8"));
  return `Tidegate itself is under the Apache License 2.0 (../LICENSE).

packages.txt  the packages compiled into the two programs, each with its licence
bun.md        the runtime inside the programs, bun ${version} (MIT), and the libraries that it is linked with, as its makers list them.
              JavaScriptCore and tinycc are under the LGPL (LGPL-2.txt, LGPL-2.1.txt); bun.md says where their source is and how
              to link the runtime anew; a program is made of a runtime with: bun build --compile --compile-executable-path=RUNTIME
gcc.txt       libstdc++ and libgcc_s in lib/*-musl: ${GCC.licence}
MPL-2.0.txt   the licence of Mozilla's list of certificate authorities (../ca)

Programs on this media: ${targets.join(", ")}
`;
}

function describeGcc() {
  const { name, version } = WHEEL;
  // Debian's file holds the text of the exception beside GCC's licence.
  const text = existsSync(GCC_COPYRIGHT) ? readFileSync(GCC_COPYRIGHT, "utf8") : "";
  return `libstdc++.so.6 and libgcc_s are parts of GCC ${GCC.version}, as Alpine Linux builds it, taken unchanged from the wheels of
${name} ${version} for musllinux. Licence: ${GCC.licence} (GPL-3.txt, and the exception below). Source: gcc-${GCC.version}.tar.xz of the
GNU project, with the patches of the aports repository of Alpine Linux, main/gcc.

${text}`;
}
