// A data diode made of two network namespaces joined by a veth pair per path: what the sending side sends
// arrives, whatever the receiving side tries is counted and dropped, twice (as it leaves and as it arrives).
// Needs root, iproute2 and nftables. Nothing outside the two namespaces is touched.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { toolPath } from "./requirements.ts";

export class Namespace {
  constructor(readonly name: string) {}

  /** What to put before a command so that it runs in here. */
  get before(): readonly string[] {
    return [toolPath("ip"), "netns", "exec", this.name];
  }

  /** Runs a command to its end; throws when it fails. */
  run(...command: readonly string[]): string {
    return run([...this.before, ...command]);
  }

  /** Starts a command and leaves it running. */
  spawn(...command: readonly string[]): ChildProcess {
    const [program = "", ...args] = [...this.before, ...command];
    return spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  }

  /** Loads nftables rules. */
  load(rules: string): void {
    run([...this.before, toolPath("nft"), "-f", "-"], rules);
  }
}

export type OneWayPath = {
  readonly sendInterface: string;
  readonly recvInterface: string;
  readonly sendAddress: string;
  readonly recvAddress: string;
};

export class OneWayLink {
  readonly send: Namespace;
  readonly recv: Namespace;
  readonly paths: OneWayPath[] = [];

  constructor(pathCount = 1) {
    const tag = randomBytes(3).toString("hex");
    this.send = new Namespace(`tg${tag}s`);
    this.recv = new Namespace(`tg${tag}r`);
    try {
      for (const { name, before } of [this.send, this.recv]) {
        run([toolPath("ip"), "netns", "add", name]);
        // Without IPv6 the kernel itself has nothing to say on the link, so each dropped packet counts.
        run([...before, "/bin/sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true"]);
        run([...before, toolPath("ip"), "link", "set", "lo", "up"]);
      }
      for (let index = 0; index < pathCount; index += 1) this.#join(tag, index);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** How many packets the receiving side has tried to send. */
  countWayBack(): number {
    const listing = this.recv.run(toolPath("nft"), "list", "table", "inet", "diode");
    return Number(listing.match(/counter packets (\d+)/)?.[1] ?? Number.NaN);
  }

  /** Loses packets on their way over, at random. 0 ends it. */
  setLossPermille(permille: number, pathIndex = 0): void {
    const path = this.#path(pathIndex);
    const rule =
      permille === 0 ? "" : permille === 1000 ? "drop;" : `numgen random mod 1000 < ${permille} drop;`;
    this.recv.load(`table netdev loss${pathIndex}
delete table netdev loss${pathIndex}
table netdev loss${pathIndex} {
  chain over { type filter hook ingress device "${path.recvInterface}" priority 0; ${rule} }
}\n`);
  }

  /** Pulls or plugs the cable of one path at the receiving side. */
  setPath(pathIndex: number, state: "up" | "down"): void {
    this.recv.run(toolPath("ip"), "link", "set", this.#path(pathIndex).recvInterface, state);
  }

  /** Ends what runs in the namespaces and removes them, and with them all that was set up. */
  remove(): void {
    for (const { name } of [this.send, this.recv]) {
      const listing = spawnSync(toolPath("ip"), ["netns", "pids", name], { encoding: "utf8" });
      for (const pid of listing.stdout.split("\n").map(Number)) {
        if (pid > 1) killIfThere(pid);
      }
      spawnSync(toolPath("ip"), ["netns", "delete", name]);
    }
  }

  [Symbol.dispose](): void {
    this.remove();
  }

  #path(index: number): OneWayPath {
    const path = this.paths[index];
    if (path === undefined)
      throw new Error(`cannot find path ${index}: must be 0 to ${this.paths.length - 1}`);
    return path;
  }

  #join(tag: string, index: number): void {
    const path: OneWayPath = {
      sendInterface: `tg${tag}s${index}`,
      recvInterface: `tg${tag}r${index}`,
      sendAddress: `10.77.${index}.1`,
      recvAddress: `10.77.${index}.2`,
    };
    const ip = toolPath("ip");
    const ends = ["peer", "name", path.recvInterface, "netns", this.recv.name];
    run([ip, "link", "add", path.sendInterface, "netns", this.send.name, "type", "veth", ...ends]);
    this.send.run(ip, "address", "add", `${path.sendAddress}/24`, "dev", path.sendInterface);
    this.recv.run(ip, "address", "add", `${path.recvAddress}/24`, "dev", path.recvInterface);
    this.send.run(ip, "link", "set", path.sendInterface, "up");
    this.recv.run(ip, "link", "set", path.recvInterface, "up");
    // No ARP answer can come back, so the neighbour is entered by hand, as on a real diode.
    const hardware = this.recv.run("/bin/cat", `/sys/class/net/${path.recvInterface}/address`).trim();
    const neighbour = [path.recvAddress, "lladdr", hardware, "dev", path.sendInterface, "nud", "permanent"];
    this.send.run(ip, "neighbour", "replace", ...neighbour);
    this.paths.push(path);
    this.#forbidWayBack(index, path);
  }

  #forbidWayBack(index: number, path: OneWayPath): void {
    if (index === 0) {
      this.recv.load(`table inet diode {
  chain back { type filter hook output priority 0; oifname "lo" accept; counter drop; }
}\n`);
    }
    this.send.load(`table netdev diode${index} {
  chain back { type filter hook ingress device "${path.sendInterface}" priority 0; policy drop; }
}\n`);
  }
}

function run(command: readonly string[], input?: string): string {
  const [program = "", ...args] = command;
  const result = spawnSync(program, args, { encoding: "utf8", ...(input === undefined ? {} : { input }) });
  if (result.status === 0) return result.stdout;
  throw new Error(`cannot run ${command.join(" ")}: ${result.error?.message ?? result.stderr}`);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
