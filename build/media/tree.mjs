// Lays out everything of the media but the programs: installer, units, examples, manual, licences, bill of materials.
import {
  chmodSync,
  cpSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { giveUp, ROOT } from "../bootstrap.mjs";
import { writeLicences } from "./licences.mjs";
import { writeManual } from "./manual.mjs";
import { writeProfiles } from "./profiles.mjs";
import { writeBillOfMaterials } from "./sbom.mjs";

const CONTENT = join(ROOT, "build/media/content");
const EXECUTABLE =
  /(^|\/)(install\.sh|set-neighbours|bin\/[^/]+\/[^/]+|usr\/bin\/[^/]+|openrc\/[^/]+|DEBIAN\/p[^/]+)$/;

export function writeTree(tree, stamp, targets) {
  const put = (from, to) => cpSync(join(ROOT, from), join(tree, to), { recursive: true });
  for (const name of [
    "install.sh",
    "install-steps.sh",
    "systemd",
    "openrc",
    "sysctl",
    "logrotate",
    "container",
  ])
    cpSync(join(CONTENT, name), join(tree, name), { recursive: true });
  mkdirSync(join(tree, "lib"), { recursive: true });
  cpSync(join(CONTENT, "set-neighbours"), join(tree, "lib/set-neighbours"));
  put("CHANGELOG.md", "CHANGELOG.md");
  put("LICENSE", "LICENSE");
  put("build/wireshark/tidegate.lua", "wireshark/tidegate.lua");
  put("examples", "examples");
  for (const agent of ["send", "recv"]) placeSample(tree, agent);
  const types = writeProfiles(tree);
  writeFileSync(join(tree, "README.md"), fillReadme(stamp, targets, types));
  mkdirSync(join(tree, "ca"));
  writeFileSync(join(tree, "ca/mozilla-roots.pem"), readRoots());
  writeManual(tree, stamp);
  writeLicences(tree, targets);
  writeBillOfMaterials(tree, stamp, targets);
}

/** The samples of the repository are relative to where they lie; installed ones have their data where the unit may write. */
function placeSample(tree, agent) {
  const path = join(tree, `examples/${agent}.toml`);
  const store = agent === "send" ? "journal" : "spool";
  const sample = readFileSync(path, "utf8");
  const placed = sample.replace(
    `directory = "${store}"`,
    `directory = "/var/lib/tidegate/${agent}/${store}"`,
  );
  if (placed === sample)
    giveUp(`cannot make the media: examples/${agent}.toml has no directory = "${store}"`);
  writeFileSync(path, placed);
}

function fillReadme(stamp, targets, types) {
  const text = readFileSync(join(CONTENT, "README.md"), "utf8");
  const words = {
    VERSION: stamp.STAMPED_VERSION,
    COMMIT: stamp.STAMPED_COMMIT,
    DATE: stamp.STAMPED_DATE.slice(0, 10),
    TARGETS: targets.join(", "),
    TYPES: types.join(", "),
  };
  return text.replace(/@([A-Z]+)@/g, (whole, word) => words[word] ?? whole);
}

// The authorities that the runtime itself trusts where a profile has no ca_file: Mozilla's list, as Node has it.
function readRoots() {
  return `# Mozilla's list of certificate authorities (MPL-2.0).\n${rootCertificates.join("\n")}\n`;
}

/** Modes and times that no machine's habits show in. Directories last, as their own times change with what is in them. */
export function settle(folder, epochSeconds, path = "") {
  for (const name of readdirSync(join(folder, path))) {
    const inside = path === "" ? name : `${path}/${name}`;
    const full = join(folder, inside);
    if (lstatSync(full).isDirectory()) settle(folder, epochSeconds, inside);
    else {
      chmodSync(full, EXECUTABLE.test(inside) ? 0o755 : 0o644);
      lutimesSync(full, epochSeconds, epochSeconds);
    }
  }
  chmodSync(join(folder, path), 0o755);
  lutimesSync(join(folder, path), epochSeconds, epochSeconds);
}
