// A .deb and an .rpm of each agent, made by Debian's own tools. Both hold the files where install.sh with --prefix /usr would put them, and
// compress with gzip, which the oldest of their readers understand.
import { spawn } from "node:child_process";
import {
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { giveUp } from "../bootstrap.mjs";
import { AGENTS } from "../build.mjs";
import { describeDeb, describeRpm } from "./package-text.mjs";
import { TARGETS } from "./targets.mjs";
import { settle } from "./tree.mjs";

export async function writePackages(tree, stamp, targets) {
  const folder = join(tree, "packages");
  const workshop = join(dirname(tree), "packages");
  mkdirSync(folder);
  const jobs = [];
  for (const target of targets.filter((name) => TARGETS[name].deb !== undefined)) {
    for (const agent of AGENTS) {
      const files = join(workshop, `${target}-${agent}`);
      layOut(files, tree, target, agent);
      layOutDeb(files, stamp, target, agent);
      jobs.push(() => makeDeb(files, folder, stamp, target, agent));
      jobs.push(() => makeRpm(files, folder, stamp, target, agent));
    }
  }
  // Compressing keeps one core busy for each.
  const lanes = [0, 1].map(async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
  });
  await Promise.all(lanes);
  rmSync(workshop, { recursive: true });
}

function layOut(files, tree, target, agent) {
  const program = `tidegate-${agent}`;
  const put = (from, to) => {
    mkdirSync(dirname(join(files, to)), { recursive: true });
    cpSync(join(tree, from), join(files, to), { recursive: true });
  };
  mkdirSync(join(files, "usr/bin"), { recursive: true });
  linkSync(join(tree, "bin", target, program), join(files, "usr/bin", program));
  put("lib/set-neighbours", `usr/lib/${program}/set-neighbours`);
  put("sysctl", "usr/lib/sysctl.d");
  rmSync(join(files, `usr/lib/sysctl.d/60-tidegate-${other(agent)}.conf`));
  for (const unit of [`${program}.service`, "tidegate-neighbours.service"]) {
    const text = readFileSync(join(tree, "systemd", unit), "utf8");
    // Each package has the entries' unit under its own name, as both may be installed on one host.
    const name = unit.replace("tidegate-neighbours", `${program}-neighbours`);
    mkdirSync(join(files, "usr/lib/systemd/system"), { recursive: true });
    const filled = text
      .replaceAll("@BIN@", "/usr/bin")
      .replaceAll("@LIB@", `/usr/lib/${program}`)
      .replaceAll("tidegate-neighbours.service", `${program}-neighbours.service`);
    writeFileSync(join(files, "usr/lib/systemd/system", name), filled);
  }
  put(`examples/${agent}.toml`, `etc/tidegate/${agent}.toml`);
  const share = `usr/share/${program}`;
  for (const name of ["manual", "licences", "wireshark", "ca", "LICENSE", "CHANGELOG.md"])
    put(name, `${share}/${name}`);
  put("examples", `${share}/examples`);
  for (const page of readdirSync(join(tree, "man"))) {
    const section = page.slice(page.lastIndexOf(".") + 1);
    const own = page === `${program}.8`;
    // The pages that both packages have carry the package's name, so that the two do not quarrel over a file.
    const name = own ? page : page.replace("tidegate-", `${program}-`);
    if (own || !/^tidegate-(send|recv)\./.test(page))
      put(`man/${page}`, `usr/share/man/man${section}/${name}`);
  }
}

function layOutDeb(files, stamp, target, agent) {
  const root = `${files}.deb`;
  const program = `usr/bin/tidegate-${agent}`;
  cpSync(files, root, { recursive: true, filter: (path) => path !== join(files, program) });
  linkSync(join(files, program), join(root, program));
  mkdirSync(join(root, "DEBIAN"));
  const control = describeDeb(agent, stamp, TARGETS[target].deb, sizeOf(files));
  for (const [name, text] of Object.entries(control)) writeFileSync(join(root, "DEBIAN", name), text);
  for (const folder of [files, root]) settle(folder, Number(process.env.SOURCE_DATE_EPOCH));
}

async function makeDeb(files, folder, stamp, target, agent) {
  const path = join(folder, `tidegate-${agent}_${stamp.STAMPED_VERSION}_${TARGETS[target].deb}.deb`);
  await start("dpkg-deb", ["--root-owner-group", "-Zgzip", "-z6", "--build", `${files}.deb`, path]);
}

async function makeRpm(files, folder, stamp, target, agent) {
  const { rpm } = TARGETS[target];
  const spec = `${files}.spec`;
  writeFileSync(spec, describeRpm(agent, stamp, listFiles(files), files));
  const defines = {
    _topdir: `${files}.rpmbuild`,
    _rpmdir: folder,
    _rpmfilename: "%{NAME}-%{VERSION}-1.%{ARCH}.rpm",
    _buildhost: "tidegate",
    _binary_payload: "w6.gzdio",
    use_source_date_epoch_as_buildtime: "1",
    clamp_mtime_to_source_date_epoch: "1",
    source_date_epoch_from_changelog: "0",
    _build_id_links: "none",
    _debuginfo_packages: "%{nil}",
    debug_package: "%{nil}",
    __os_install_post: "%{nil}",
    _dbpath: `${files}.rpmdb`,
  };
  const args = Object.entries(defines).flatMap(([name, value]) => ["--define", `${name} ${value}`]);
  await start("rpmbuild", ["-bb", "--target", `${rpm}-linux`, ...args, spec]);
}

function listFiles(folder, path = "") {
  return readdirSync(join(folder, path))
    .sort()
    .flatMap((name) => {
      const inside = `${path}/${name}`;
      return statSync(join(folder, inside)).isDirectory() ? listFiles(folder, inside) : [inside];
    });
}

function sizeOf(files) {
  return listFiles(files).reduce((sum, path) => sum + statSync(join(files, path)).size, 0);
}

function other(agent) {
  return agent === "send" ? "recv" : "send";
}

function start(program, args) {
  const env = { ...process.env, LC_ALL: "C.UTF-8", TZ: "UTC" };
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
    child.on("error", (error) => giveUp(`cannot make the packages: ${program}: ${error.message}`));
    child.on("close", (status) => {
      if (status !== 0) giveUp(`cannot make ${basename(args.at(-1))}: ${program} failed:\n${said}`);
      resolve();
    });
  });
}
