// Runs a program of the system for the media's build. What it needs and lacks, or what it says when it fails, ends the build.
import { spawnSync } from "node:child_process";
import { giveUp } from "../bootstrap.mjs";

/** Debian's package that brings a program, for those that a plain system may lack. */
const PACKAGES = {
  xorriso: "xorriso",
  rpmbuild: "rpm",
  pandoc: "pandoc",
  patchelf: "patchelf",
  "dpkg-deb": "dpkg",
  python3: "python3-pip",
  openssl: "openssl",
};

/** The standard output. Every program sees the same locale and time zone, so that none writes them into the media. */
export function run(program, args, { cwd, input, env = {} } = {}) {
  const fixed = { ...process.env, LC_ALL: "C.UTF-8", TZ: "UTC", ...env };
  const done = spawnSync(program, args, { cwd, input, env: fixed, maxBuffer: 64 << 20, umask: 0o022 });
  if (done.error?.code === "ENOENT")
    giveUp(
      `cannot make the media: ${program} is missing (Debian: apt-get install ${PACKAGES[program] ?? program})`,
    );
  if (done.status === 0) return done.stdout.toString("utf8");
  return giveUp(
    `cannot make the media: ${program} failed (${done.error?.message ?? `status ${done.status}`}):\n${done.stderr}${done.stdout}`,
  );
}
