// Finds the programs of the system that tests work with, and installs them where that is possible without
// asking: as root on Debian. Elsewhere it prints the one command to type, and their tests are skipped.
// The clouds' own client libraries are packages of a folder of their own, so that `npm start` need not wait for them.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

// What must exist, and the Debian package that brings it. An absolute path is a file, else a program.
const TOOLS = {
  mosquitto: "mosquitto",
  mosquitto_pub: "mosquitto-clients",
  "/usr/lib/rabbitmq/bin/rabbitmq-server": "rabbitmq-server",
  epmd: "erlang-base",
  "nats-server": "nats-server",
  tinyproxy: "tinyproxy-bin",
  microsocks: "microsocks",
  nft: "nftables",
  ip: "iproute2",
  strace: "strace",
  tshark: "tshark",
  openssl: "openssl",
  zstd: "zstd",
  python3: "python3",
  "/usr/lib/python3/dist-packages/cryptography": "python3-cryptography",
  "/usr/lib/python3/dist-packages/paho": "python3-paho-mqtt",
  javac: "default-jdk-headless",
  mvn: "maven",
  gcc: "gcc",
  "/usr/include/stdio.h": "libc6-dev",
  "/usr/include/isa-l.h": "libisal-dev",
  xorriso: "xorriso",
  rpmbuild: "rpm",
  pandoc: "pandoc",
  patchelf: "patchelf",
  pip3: "python3-pip",
  mmdebstrap: "mmdebstrap",
  shellcheck: "shellcheck",
  busybox: "busybox-static",
  "systemd-nspawn": "systemd-container",
  "qemu-aarch64-static": "qemu-user-static",
  podman: "podman",
  runc: "runc",
  newuidmap: "uidmap",
  go: "golang-go",
  "/usr/share/gocode/src/github.com/klauspost/reedsolomon": "golang-github-klauspost-reedsolomon-dev",
};
const SDK_FOLDER = join(ROOT, "test/fakes/sdk");
const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
const POLICY = "/usr/sbin/policy-rc.d";

/** Debian leaves the folders of system programs out of the path of everyone but root. */
export function extendPath(path) {
  const folders = path.split(delimiter).filter((folder) => folder !== "");
  return [...folders, ...SYSTEM_FOLDERS.filter((folder) => !folders.includes(folder))].join(delimiter);
}

/** Installs what is missing, or says how to. Never fails: a test whose tool is missing speaks for itself. */
export function installTools(env) {
  installSdks(env);
  installPrograms(env);
}

// npm writes node_modules/.package-lock.json last, so it is the stamp of a finished install. Nothing is compiled or run:
// the native library comes ready made, and its tests say so when there is none for this kind of machine.
function installSdks(env) {
  if (readVersions("package-lock.json") === readVersions("node_modules/.package-lock.json")) return;
  process.stderr.write("Installing the clouds' client libraries for the tests …\n");
  const run = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"], {
    cwd: SDK_FOLDER,
    env,
    stdio: ["ignore", 2, 2],
  });
  if (run.status !== 0)
    process.stderr.write("Tests that need them are skipped: npm ci failed, its reason is above\n");
}

function readVersions(path) {
  try {
    const { packages } = JSON.parse(readFileSync(join(SDK_FOLDER, path), "utf8"));
    const all = Object.entries(packages).filter(([name]) => name !== "");
    return JSON.stringify(all.map(([name, { version }]) => `${name} ${version}`).sort());
  } catch {
    return undefined;
  }
}

function installPrograms(env) {
  const missing = findMissing(env.PATH);
  if (missing.length === 0) return;
  const isRoot = process.getuid?.() === 0;
  const command = `apt-get install -y --no-install-recommends ${missing.join(" ")}`;
  if (!isRoot || !existsSync("/usr/bin/apt-get")) {
    process.stderr.write(`Tests that need ${missing.join(", ")} are skipped. To run them, first type:\n`);
    process.stderr.write(`  ${isRoot ? "" : "sudo "}${command}\n`);
    return;
  }
  process.stderr.write(`Installing ${missing.join(", ")} for the tests …\n`);
  install(command, { ...env, DEBIAN_FRONTEND: "noninteractive" });
  const left = findMissing(env.PATH);
  if (left.length > 0)
    process.stderr.write(`cannot install ${left.join(", ")}: apt-get failed, its reason is above\n`);
}

// The packages would start their services (a broker on port 1883): policy-rc.d, which Debian asks, says no.
function install(command, env) {
  const forbidsServices = !existsSync(POLICY);
  if (forbidsServices) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    for (const line of ["apt-get update -q", `${command} -q -o DPkg::Lock::Timeout=120`]) {
      spawnSync("/bin/sh", ["-c", line], { env, stdio: ["ignore", 2, 2] });
    }
  } finally {
    if (forbidsServices) rmSync(POLICY, { force: true });
  }
}

function findMissing(path) {
  const folders = path.split(delimiter);
  const isThere = (tool) =>
    tool.startsWith("/") ? existsSync(tool) : folders.some((folder) => existsSync(join(folder, tool)));
  return Object.entries(TOOLS).flatMap(([tool, debianPackage]) => (isThere(tool) ? [] : [debianPackage]));
}
