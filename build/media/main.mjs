// `npm run media`: makes what is carried into the plant, in dist/media: the tree, and the same tree as .tar.gz and ISO 9660 image, with
// a .deb and an .rpm for each agent inside. The same commit and the same tools of the system give the same bytes.
//   --key FILE                          signs SHA256SUMS with this RSA private key (PEM)
//   --signature FILE --public-key FILE  takes a signature that was made elsewhere, for keys that never leave their machine
//   --targets A,B                       only these (for tests)
//   --formats tree,tar,iso,packages     only these (tree is always made)
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bootstrap, giveUp, ROOT } from "../bootstrap.mjs";
import { build } from "../build.mjs";
import { readEpochSeconds, readStamp } from "../stamp.mjs";
import { writeIso, writeTar } from "./images.mjs";
import { writePackages } from "./packages.mjs";
import { compilePrograms } from "./programs.mjs";
import { sign, writeSums } from "./sums.mjs";
import { TARGETS } from "./targets.mjs";
import { settle, writeTree } from "./tree.mjs";

const FORMATS = ["tree", "tar", "iso", "packages"];

export function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      key: { type: "string" },
      signature: { type: "string" },
      "public-key": { type: "string" },
      targets: { type: "string" },
      formats: { type: "string" },
      output: { type: "string" },
    },
  });
  const targets = choose("targets", values.targets, Object.keys(TARGETS));
  const formats = choose("formats", values.formats, FORMATS);
  if (values.signature !== undefined && values["public-key"] === undefined)
    giveUp("cannot make the media: --signature wants --public-key, which it can be checked with");
  for (const name of ["key", "signature", "public-key"]) {
    if (values[name] !== undefined && !existsSync(values[name]))
      giveUp(`cannot make the media: --${name} ${values[name]} does not exist`);
  }
  return { ...values, targets, formats, output: values.output ?? join(ROOT, "dist/media") };
}

function choose(option, value, known) {
  const chosen = value?.split(",") ?? known;
  for (const name of chosen) {
    if (!known.includes(name))
      giveUp(`cannot make the media: --${option} ${name} must be one of ${known.join(", ")}`);
  }
  return chosen;
}

const options = readOptions(process.argv.slice(2));
const bun = bootstrap();
build(bun); // The manual asks the programs of this machine for their help.
const stamp = readStamp();
const epochSeconds = readEpochSeconds();
if (epochSeconds === undefined)
  giveUp("cannot make the media: it has no date; build from a git clone, or set SOURCE_DATE_EPOCH");
process.env.SOURCE_DATE_EPOCH = String(epochSeconds);
const name = `tidegate-${stamp.STAMPED_VERSION}`;
const tree = join(options.output, name);

const say = (line) => process.stderr.write(`${line} …\n`);
rmSync(options.output, { recursive: true, force: true });
mkdirSync(tree, { recursive: true });
say(`Compiling for ${options.targets.join(", ")}`);
compilePrograms(bun, stamp, options.targets, tree);
say("Manual, licences, bill of materials");
writeTree(tree, stamp, options.targets);
settle(tree, epochSeconds);
if (options.formats.includes("packages")) {
  say("Packages");
  await writePackages(tree, stamp, options.targets);
}
writeSums(tree);
const isSigned = sign(tree, options);
settle(tree, epochSeconds);
if (options.formats.includes("tar")) {
  say(`${name}.tar.gz`);
  writeTar(options.output, name, epochSeconds);
}
if (options.formats.includes("iso")) {
  say(`${name}.iso`);
  writeIso(options.output, name);
}
if (!isSigned)
  process.stderr.write("The media is not signed (--key): install.sh takes it with --sums HASH only.\n");
process.stdout.write(`${tree}\n`);
