// Hosts to install on. Each test gets its own layer over a root that is kept, so that nothing it does is seen by the next. This machine's
// disk and network are out of reach inside: mount namespace, network namespace, chroot.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toolPath } from "../support/requirements.ts";
import { waitFor } from "../support/wait.ts";
import { run, workPath } from "./media.ts";
import { type Kind, prepareRoot } from "./prepared-roots.ts";

export const ROOT_TOOLS = [
  "mmdebstrap",
  "unshare",
  "chroot",
  "mount",
  "network namespaces",
  "mount namespaces",
];

// $1 root, $2 media, then what to run. /proc/sys is read-only: a test changes no limit of this machine.
const ENTER = `set -e
root=$1 media=$2; shift 2
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"; mount -o remount,bind,ro "$root/proc/sys"
mount --rbind /dev "$root/dev"
mount --bind "$media" "$root/media"; mount -o remount,bind,ro "$root/media"
if [ -n "$EMULATOR" ]; then
  mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  printf '%s' "$EMULATOR" > /proc/sys/fs/binfmt_misc/register
fi
if [ -n "$BEFORE" ]; then ( cd "$root"; eval "$BEFORE" ); fi
exec chroot "$root" "$@"`;

// A kernel keeps the emulators of each user namespace apart: one in which all users are who they are, so that this machine learns nothing.
const IN_USER_NAMESPACE = `ours=$(readlink /proc/self/ns/user)
(
  while [ "$(readlink /proc/$$/ns/user)" = "$ours" ] || ! grep -q '^State:.T' /proc/$$/status; do sleep 0.01; done
  for kind in uid gid; do echo 0 0 4294967295 > /proc/$$/"$kind"_map; done
  kill -CONT $$
) &
exec unshare --user sh -c 'kill -STOP $$; exec "$@"' sh "$@"`;
export const EMULATOR_TOOL = "qemu-aarch64-static";

/** What the kernel is to run programs for arm64 with; "F" opens the emulator now, as it is not in the root. */
function describeEmulator(): string {
  const header = "\\x7fELF\\x02\\x01\\x01".concat("\\x00".repeat(9), "\\x02\\x00\\xb7\\x00");
  const mask = "\\xff".repeat(7).concat("\\x00", "\\xff".repeat(8), "\\xfe\\xff\\xff\\xff");
  return `:tidegate-arm64:M::${header}:${mask}:${toolPath(EMULATOR_TOOL)}:F`;
}

export type Done = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

export class HostRoot {
  readonly path: string;
  readonly #layer: string;

  constructor(
    private readonly kind: Kind,
    name: string,
  ) {
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
    const isForeign = this.kind === "arm64";
    const env = [
      toolPath("env"),
      "-i",
      `BEFORE=${before}`,
      `EMULATOR=${isForeign ? describeEmulator() : ""}`,
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ];
    const unshare = [toolPath("unshare"), "--mount", "--pid", "--fork", "--kill-child", ...net];
    const apart = isForeign ? ["sh", "-c", IN_USER_NAMESPACE, "sh"] : [];
    return [...inside, ...env, ...apart, ...unshare, "sh", "-c", ENTER, "sh", this.path, media];
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
