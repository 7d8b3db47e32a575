// The recipe for a container, built and run as its own comments say: by a user without any privilege, with no network while it is built. Both
// agents in containers carry a message from broker to broker.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeUdpPort } from "../support/ports.ts";
import { requireTools, toolPath } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { waitFor } from "../support/wait.ts";
import { MEDIA_TOOLS, type Media, makeMedia, workPath } from "./media.ts";
import { prepareBaseImage } from "./prepared-roots.ts";
import { ROOT_TOOLS } from "./root.ts";

const TOOLS = [...MEDIA_TOOLS, ...ROOT_TOOLS, "podman", "runc", "newuidmap", "setpriv", "mosquitto"];
const UID = 64_999;
const SUBIDS = "plant:2000000000:65536\n";

// The user exists in this mount namespace alone, and so do podman's locks, which are named by the user's number.
const KEEPER = `set -e
mount --make-rprivate /
for name in passwd group subuid subgid; do mount --bind "$HOME/$name" "/etc/$name"; done
mount -t tmpfs -o mode=1777 none /dev/shm
mount -t tmpfs -o mode=755 none "$HOME/.local"; chown ${UID}:${UID} "$HOME/.local"
echo ready
exec sleep infinity`;
// A kernel with both kinds of control groups is nothing to crun, Debian's first choice.
const PODMAN = [
  "--storage-driver=vfs",
  "--runtime",
  "runc",
  "--cgroup-manager=cgroupfs",
  "--events-backend=file",
  "--log-level=error",
];
const CONFINED =
  "--rm --network host --read-only --cap-drop all --security-opt no-new-privileges --user 65532:65532 --userns keep-id:uid=65532,gid=65532";

requireTools(TOOLS)("a container", () => {
  // Images lie in memory: a disk that others keep busy would be what takes the time.
  const home = workPath("container");
  let media: Media;
  let site: Site;
  let keeper: ChildProcess;
  const running: ChildProcess[] = [];

  beforeAll(async () => {
    media = await makeMedia();
    site = await Site.open();
    for (const name of ["run", ".local"]) mkdirSync(join(home, name), { recursive: true });
    writeFileSync(
      join(home, "passwd"),
      `root:x:0:0::/root:/bin/sh\nplant:x:${UID}:${UID}::${home}:/bin/sh\n`,
    );
    writeFileSync(join(home, "group"), `root:x:0:\nplant:x:${UID}:\n`);
    for (const name of ["subuid", "subgid"]) writeFileSync(join(home, name), SUBIDS);
    for (const folder of [home, join(home, "run")]) chownSync(folder, UID, UID);
    const args = ["--mount", "sh", "-c", KEEPER];
    keeper = spawn(toolPath("unshare"), args, {
      env: { ...process.env, HOME: home },
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => keeper.stdout?.once("data", resolve));
    podman("import", "--quiet", prepareBaseImage(), "localhost/base:1");
  }, 240_000);

  afterAll(async () => {
    if (keeper !== undefined) {
      podman("rm", "--force", "--all", "--time", "0");
      for (const each of running) each.kill("SIGKILL");
      const pause = join(home, "run/libpod/tmp/pause.pid");
      if (existsSync(pause)) process.kill(Number(readFileSync(pause, "utf8")), "SIGKILL");
      keeper.kill("SIGKILL");
    }
    await site?.[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  });

  /** What stands before podman, run by the user; `offline` leaves it no network but a loopback of its own. */
  const command = (offline: boolean, ...args: readonly string[]): string[] => {
    const env = [`HOME=${home}`, `XDG_RUNTIME_DIR=${home}/run`, `PATH=${process.env.PATH}:/usr/sbin:/sbin`];
    return [
      ...[toolPath("nsenter"), "-t", `${keeper.pid}`, "-m", "-w", ...(offline ? ["unshare", "--net"] : [])],
      ...["setpriv", "--reuid", `${UID}`, "--regid", `${UID}`, "--clear-groups", "env", "-i", ...env],
      ...["sh", "-c", `cd "${media.tree}" && exec "$@"`, "sh", toolPath("podman"), ...PODMAN, ...args],
    ];
  };
  const podman = (...args: readonly string[]): string => {
    const [program = "", ...rest] = command(args[0] === "build", ...args);
    const done = spawnSync(program, rest, { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`podman ${args.join(" ")}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  };
  const runAgent = (side: "send" | "recv", ...args: readonly string[]): string[] => [
    ...["run", ...CONFINED.split(" "), "-v", `${home}/${side}:/etc/tidegate:ro`],
    ...["-v", `tidegate-${side}:/var/lib/tidegate/${side}`, `tidegate-${side}`, ...args],
  ];

  test("is built from the media without a network, holds the program alone, and nothing in it is root", () => {
    for (const side of ["send", "recv"]) {
      const choice = ["BASE=localhost/base:1", `AGENT=${side}`, "TARGET=linux-x64-baseline"];
      const args = choice.flatMap((pair) => ["--build-arg", pair]);
      podman("build", "--quiet", "-f", "container/Containerfile", ...args, "-t", `tidegate-${side}`, ".");
      const config = JSON.parse(podman("inspect", "--type", "image", `tidegate-${side}`)) as [
        { User: string; Config: { Entrypoint: string[]; Env: string[] } },
      ];
      expect(config[0].User).toBe("65532:65532");
      expect(config[0].Config.Env).toContain("BUN_OPTIONS=");
      expect(config[0].Config.Env).toContain("BUN_JSC_forceRAMSize=2147483648");
      expect(config[0].Config.Env).toContain("MIMALLOC_PURGE_DELAY=1000");
      mkdirSync(join(home, side), { recursive: true });
      chownSync(join(home, side), UID, UID);
    }
  }, 120_000);

  test("of each side, confined as the recipe says, carries a message", async () => {
    const [here, there] = [await site.startBroker(), await site.startBroker()];
    const near = site.use(await Publisher.start({ door: here.socketPath }));
    const far = site.use(await Collector.start({ door: there.socketPath }));
    const port = await findFreeUdpPort();
    const link = '[link]\nid = "plant-7"\nkey_file = "link.key"\n[[link.path]]\ntype = "udp"\n';
    const write = (path: string, text: string, mode = 0o644) => {
      writeFileSync(join(home, path), text, { mode });
      chownSync(join(home, path), UID, UID);
    };
    mkdirSync(join(home, "recv/targets.d"));
    chmodSync(join(home, "recv/targets.d"), 0o755);
    write(
      "send/send.toml",
      `${link}endpoint = "127.0.0.1:${port}"\n[journal]\ndirectory = "/var/lib/tidegate/send/journal"\n[[source]]\nname = "line"\ntype = "subscribe"\nurl = "mqtt://127.0.0.1:${here.port}"\ntopics = ["#"]\n`,
    );
    write(
      "recv/recv.toml",
      `targets = "targets.d"\n${link}address = "127.0.0.1:${port}"\n[spool]\ndirectory = "/var/lib/tidegate/recv/spool"\n`,
    );
    write(
      "recv/targets.d/hq.toml",
      `type = "mqtt"\nurl = "mqtt://127.0.0.1:${there.port}"\nclient_id = "plant-7"\n`,
    );
    const key = readFileSync(site.workspace.path("link.key"), "utf8");
    for (const side of ["send", "recv"]) write(`${side}/link.key`, key, 0o600);
    for (const [side, ready] of [
      ["recv", "target hq is connected"],
      ["send", "source line is subscribed"],
    ] as const) {
      const [program = "", ...args] = command(
        false,
        ...runAgent(side, "run", "--config", `/etc/tidegate/${side}.toml`),
      );
      const agent = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
      running.push(agent);
      let log = "";
      agent.stderr?.on("data", (text) => {
        log += text;
      });
      await waitFor(
        ready,
        30_000,
        () => log.includes(ready),
        () => log,
      );
    }
    await near.publish("plant/hello", "across", { qos: 1 });
    await waitFor("the message", 30_000, () => far.messages.length > 0);
    expect(far.messages[0]?.payload.toString()).toBe("across");
  }, 120_000);
});
