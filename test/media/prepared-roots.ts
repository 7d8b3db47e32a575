// The roots of hosts that tests install on, as they come out of Debian's packages: made once and kept below dist/.
//   debian  a minimal Debian with systemd
//   musl    musl and busybox, as small Alpine hosts have them
//   openrc  the same with OpenRC
//   arm64   a minimal Debian for another processor
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./media.ts";

export type Kind = "debian" | "musl" | "openrc" | "arm64";

const KEPT = fileURLToPath(new URL("../../dist/.roots", import.meta.url));
// The programs for musl need musl 1.2.4 or newer, which the next Debian has.
const MUSL_SUITE = "trixie";
const SUITE = "bookworm";
const RECIPES: Readonly<Record<Kind, readonly string[]>> = {
  debian: ["--variant=essential", "--include=systemd,passwd,openssl,rpm,dash,iproute2,procps,mount", SUITE],
  musl: ["--variant=extract", "--include=musl,busybox-static", MUSL_SUITE],
  openrc: ["--variant=extract", "--include=musl,busybox-static,openrc,libpam-modules", MUSL_SUITE],
  arm64: [
    "--variant=extract",
    "--architectures=arm64",
    "--include=base-files,base-passwd,dash,coreutils,sed,grep,diffutils,libc-bin,passwd,dpkg,rpm",
    SUITE,
  ],
};

/** The folder of a root; made when it is not there yet. */
export function prepareRoot(kind: Kind): string {
  const folder = join(KEPT, kind);
  if (existsSync(folder)) return folder;
  mkdirSync(KEPT, { recursive: true });
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  const recipe = RECIPES[kind];
  run("mmdebstrap", "--quiet", ...recipe, fresh, mirror());
  if (kind === "musl" || kind === "openrc") finishMusl(fresh);
  if (kind === "openrc") finishOpenrc(fresh);
  if (kind === "arm64") finishUsers(fresh);
  for (const name of ["media", "proc", "sys", "dev", "run", "tmp"])
    mkdirSync(join(fresh, name), { recursive: true });
  renameSync(fresh, folder);
  return folder;
}

/** The smallest base image for a container: the C library and nothing else, as a .tar. */
export function prepareBaseImage(): string {
  const path = join(KEPT, "base.tar");
  if (existsSync(path)) return path;
  mkdirSync(KEPT, { recursive: true });
  const fresh = join(KEPT, "base.new.tar");
  run("mmdebstrap", "--quiet", "--variant=extract", "--include=base-files,libc6", SUITE, fresh, mirror());
  renameSync(fresh, path);
  return path;
}

/** Where this machine itself has its packages from. */
function mirror(): string {
  const listed = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages");
  return listed.split("\n")[0] ?? "";
}

// What Debian's packages leave to others: the names of a merged /usr, busybox's commands, users.
function finishMusl(root: string): void {
  for (const name of ["bin", "sbin", "lib"]) {
    mkdirSync(join(root, "usr", name), { recursive: true });
    if (!existsSync(join(root, name))) symlinkSync(`usr/${name}`, join(root, name));
  }
  symlinkSync("ld-musl-x86_64.so.1", join(root, "usr/lib/libc.musl-x86_64.so.1"));
  run("chroot", root, "/bin/busybox", "--install", "-s", "/usr/bin");
  for (const name of ["etc", "var/lib", "var/log"]) mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\nuucp:x:14:\n");
}

// Debian's OpenRC needs glibc, which a host with musl has not: it keeps its own loader, where no other program looks for one. It
// asks PAM, which Alpine's does not, so PAM says yes.
function finishOpenrc(root: string): void {
  const loader = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
  for (const folder of ["usr/sbin", "usr/bin", "usr/lib/rc/bin", "usr/lib/rc/sbin"]) {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = join(root, folder, entry.name);
      if (entry.isFile() && readFileSync(path).includes("/lib64/ld-linux-x86-64.so.2"))
        run("patchelf", "--set-interpreter", loader, path);
    }
  }
  rmSync(join(root, "usr/lib64"), { recursive: true });
  symlinkSync("/run", join(root, "var/run"));
  mkdirSync(join(root, "etc/pam.d"));
  const rules = ["account", "auth", "session"].map((kind) => `${kind} sufficient pam_permit.so\n`);
  writeFileSync(join(root, "etc/pam.d/supervise-daemon"), rules.join(""));
  appendFileSync(join(root, "etc/rc.conf"), 'rc_sys="lxc"\n');
  const network = "#!/sbin/openrc-run\ndepend() {\n\tprovide net\n}\nstart() {\n\treturn 0\n}\n";
  writeFileSync(join(root, "etc/init.d/networking"), network, { mode: 0o755 });
  symlinkSync("/etc/init.d/networking", join(root, "etc/runlevels/boot/networking"));
}

// Its packages were only unpacked: no script of another processor has run.
function finishUsers(root: string): void {
  for (const name of ["passwd", "group"])
    cpSync(join(root, `usr/share/base-passwd/${name}.master`), join(root, `etc/${name}`));
  writeFileSync(join(root, "etc/shadow"), "root:*:1::::::\n", { mode: 0o640 });
  mkdirSync(join(root, "var/lib"), { recursive: true });
}
