// Roots of hosts to install on: a minimal Debian with systemd, and one with musl and busybox as small Alpine hosts have them. Made once and
// kept below dist/; each test gets its own layer over one, so that nothing it does is seen by the next. The host's disk and network are
// out of reach inside: mount namespace, network namespace, chroot.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toolPath } from "../support/requirements.ts";
import { waitFor } from "../support/wait.ts";
import { run, workPath } from "./media.ts";

const KEPT = fileURLToPath(new URL("../../dist/.roots", import.meta.url));
const DEBIAN_PACKAGES = "systemd,passwd,openssl,rpm,dash,iproute2,procps,mount";
export const ROOT_TOOLS = [
  "mmdebstrap",
  "unshare",
  "chroot",
  "mount",
  "network namespaces",
  "mount namespaces",
];

export type Kind = "debian" | "musl";

/** The folder of a root as it comes out of its packages. */
function prepareRoot(kind: Kind): string {
  const folder = join(KEPT, kind);
  if (existsSync(folder)) return folder;
  mkdirSync(KEPT, { recursive: true });
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  const mirror =
    run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").split("\n")[0] ?? "";
  if (kind === "debian")
    run(
      "mmdebstrap",
      "--quiet",
      "--variant=essential",
      `--include=${DEBIAN_PACKAGES}`,
      "bookworm",
      fresh,
      mirror,
    );
  else {
    // The libraries of Alpine need musl 1.2.4 or newer.
    run(
      "mmdebstrap",
      "--quiet",
      "--variant=extract",
      "--include=musl,busybox-static",
      "trixie",
      fresh,
      mirror,
    );
    finishMuslRoot(fresh);
  }
  for (const name of ["media", "proc", "sys", "dev", "run", "tmp"])
    mkdirSync(join(fresh, name), { recursive: true });
  renameSync(fresh, folder);
  return folder;
}

// What Debian's packages leave to others: the names of a merged /usr, busybox's commands, users.
function finishMuslRoot(root: string): void {
  for (const name of ["bin", "sbin", "lib"]) {
    mkdirSync(join(root, "usr", name), { recursive: true });
    if (!existsSync(join(root, name))) symlinkSync(`usr/${name}`, join(root, name));
  }
  symlinkSync("ld-musl-x86_64.so.1", join(root, "usr/lib/libc.musl-x86_64.so.1"));
  run("chroot", root, "/bin/busybox", "--install", "-s", "/usr/bin");
  mkdirSync(join(root, "etc"), { recursive: true });
  mkdirSync(join(root, "var/lib"), { recursive: true });
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\n");
}

// $1 root, $2 media, then what to run. /proc/sys is read-only: a test changes no limit of this machine.
const ENTER = `set -e
root=$1 media=$2; shift 2
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"; mount -o remount,bind,ro "$root/proc/sys"
mount --bind /dev "$root/dev"
mount --bind "$media" "$root/media"; mount -o remount,bind,ro "$root/media"
if [ -n "$BEFORE" ]; then ( cd "$root"; eval "$BEFORE" ); fi
exec chroot "$root" "$@"`;

export type Done = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

export class HostRoot {
  readonly path: string;
  readonly #layer: string;

  constructor(kind: Kind, name: string) {
    const lower = prepareRoot(kind);
    this.#layer = workPath(`root-${name}`);
    this.path = join(this.#layer, "root");
    for (const part of ["upper", "work", "root"]) mkdirSync(join(this.#layer, part), { recursive: true });
    const options = `lowerdir=${lower},upperdir=${this.#layer}/upper,workdir=${this.#layer}/work`;
    run("mount", "-t", "overlay", "overlay", "-o", options, this.path);
  }

  /** What stands before a program that runs in here, with the media at /media; `before` is shell, run in the root's folder. */
  enter(media: string, before = "", netns?: string): string[] {
    const net = netns === undefined ? ["--net"] : [];
    const inside = netns === undefined ? [] : [toolPath("ip"), "netns", "exec", netns];
    const env = [
      toolPath("env"),
      "-i",
      `BEFORE=${before}`,
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ];
    const unshare = [toolPath("unshare"), "--mount", "--pid", "--fork", "--kill-child", ...net];
    return [...inside, ...env, ...unshare, "sh", "-c", ENTER, "sh", this.path, media];
  }

  run(media: string, command: readonly string[], before = ""): Done {
    const [program = "", ...args] = [...this.enter(media, before), ...command];
    return spawnSync(program, args, { encoding: "utf8", timeout: 60_000 });
  }

  /** Every file with its kind, mode, owner and size. */
  listFiles(): string[] {
    const listing = run(
      "find",
      this.path,
      "-xdev",
      "(",
      "-type",
      "d",
      "-printf",
      "%P %y %m %U:%G\\n",
      ")",
      "-o",
      "-printf",
      "%P %y %m %U:%G %s\\n",
    );
    // The copies of the user base that its tools keep say what was, not what is.
    return listing
      .split("\n")
      .filter((line) => !/^etc\/(passwd|group|shadow|gshadow|subuid|subgid)- /.test(line))
      .sort();
  }

  remove(): void {
    spawnSync(toolPath("umount"), ["-l", this.path]);
    rmSync(this.#layer, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

/** A root with its own systemd at work, in a network namespace of its own. */
export class BootedHost implements AsyncDisposable {
  private constructor(
    readonly root: HostRoot,
    private readonly keeper: ChildProcess,
    private readonly leader: number,
  ) {}

  static async boot(root: HostRoot, netns: string, media: string): Promise<BootedHost> {
    writeFileSync(join(root.path, "etc/machine-id"), "");
    const args = [
      "--quiet",
      "-D",
      root.path,
      "--boot",
      "--register=no",
      "--keep-unit",
      `--bind-ro=${media}:/media`,
    ];
    const more = [
      `--network-namespace-path=/run/netns/${netns}`,
      `--machine=${netns}`,
      "--console=pipe",
      "--capability=CAP_NET_ADMIN",
    ];
    const keeper = spawn(toolPath("systemd-nspawn"), [...args, ...more], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [keeper.stdout, keeper.stderr]) stream.on("data", (text) => (said += text));
    const leader = await waitFor(
      "the first process of a host",
      20_000,
      () => findInit(keeper.pid ?? 0),
      () => said,
    );
    const host = new BootedHost(root, keeper, leader);
    await waitFor(
      "a host that has started",
      60_000,
      async () => /running|degraded/.test((await host.run("systemctl", "is-system-running")).stdout),
      () => said,
    );
    return host;
  }

  get #enter(): string[] {
    return [toolPath("nsenter"), "-t", `${this.leader}`, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"];
  }

  /** While it runs the test itself goes on. */
  async run(...command: readonly string[]): Promise<Done> {
    const child = Bun.spawn([...this.#enter, ...command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { status: await child.exited, stdout, stderr };
  }

  /** Runs what must go well. */
  async must(...command: readonly string[]): Promise<string> {
    const done = await this.run(...command);
    if (done.status === 0) return done.stdout;
    const journal = await this.run("journalctl", "--no-pager", "-n", "40", "-u", "tidegate*");
    throw new Error(
      `${command.join(" ")} failed (${done.status}): ${done.stderr}${done.stdout}\n${journal.stdout}`,
    );
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.root.path, path), text);
  }

  /** Another media at /next: copied, as nothing of this machine can be mounted into a host that runs. */
  takeMedia(tree: string): void {
    const next = join(this.root.path, "next");
    rmSync(next, { recursive: true, force: true });
    run("cp", "-a", tree, next);
  }

  async show(unit: string, property: string): Promise<string> {
    return (await this.must("systemctl", "show", "--value", `--property=${property}`, unit)).trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Ends all of the host: its first process's end is everybody's.
    try {
      process.kill(this.leader, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await waitFor(
      "the end of a host",
      20_000,
      () => this.keeper.exitCode !== null || this.keeper.signalCode !== null,
    );
    this.root.remove();
  }
}

/** The keeper's first children are its own; the host's first process is the one that has become its systemd. */
function findInit(keeper: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${keeper}/task/${keeper}/children`, "utf8").trim().split(" ");
    return children.map(Number).find((pid) => readFileSync(`/proc/${pid}/comm`, "utf8") === "systemd\n");
  } catch {
    return undefined;
  }
}
