// Hosts with a 64-bit ARM processor, emulated: the media installed with install.sh, dpkg and rpm, and a message from one program to the other.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, copyFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { OneWayLink } from "../support/network-namespaces.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { waitFor } from "../support/wait.ts";
import { MEDIA_TOOLS, makeFullMedia, type ThinMedia, thinMedia } from "./media.ts";
import { type Done, EMULATOR_TOOL, HostRoot, ROOT_TOOLS } from "./root.ts";

const TOOLS = [...MEDIA_TOOLS, ...ROOT_TOOLS, EMULATOR_TOOL, "binfmt_misc", "mosquitto", "ip", "nft"];

requireTools(TOOLS)("hosts with a 64-bit ARM processor", () => {
  let media: string;
  let thin: ThinMedia;
  let cable: OneWayLink;
  let site: Site;
  let plant: HostRoot;
  let business: HostRoot;
  const agents: ChildProcess[] = [];

  beforeAll(async () => {
    media = await makeFullMedia();
    // Each file is hashed four times on its way, and that is slow here.
    const isNeeded =
      /^(install|LICENSE|CHANGELOG|lib\/|sysctl\/|examples\/send\.toml|bin\/linux-arm64\/tidegate-send)/;
    thin = thinMedia(media, "arm64", (path) => isNeeded.test(path));
    cable = new OneWayLink();
    site = await Site.open();
    plant = new HostRoot("arm64", "arm64-plant");
    business = new HostRoot("arm64", "arm64-business");
  }, 240_000);

  afterAll(async () => {
    for (const agent of agents) agent.kill("SIGKILL");
    await site?.[Symbol.asyncDispose]();
    cable?.remove();
    plant?.remove();
    business?.remove();
  });

  const must = (root: HostRoot, ...command: readonly string[]): Done => {
    const done = root.run(media, command);
    if (done.status !== 0) throw new Error(`${command.join(" ")}: ${done.stderr}${done.stdout}`);
    return done;
  };

  test("install.sh chooses the program for it, which reads its configuration there", () => {
    expect(must(plant, "/bin/uname", "-m").stdout).toBe("aarch64\n");
    const done = plant.run(thin.tree, ["/bin/dash", "/media/install.sh", "send", "--sums", thin.sums]);
    expect([done.stderr, done.status]).toEqual(["", 0]);
    expect(done.stdout).toContain("tidegate-send for linux-arm64 goes to /usr/local");
    must(plant, "/usr/local/bin/tidegate-send", "keygen", "/etc/tidegate/link.key");
    const checked = must(
      plant,
      "/usr/local/bin/tidegate-send",
      "check",
      "--config",
      "/etc/tidegate/send.toml",
    );
    expect(checked.stdout).toContain("configuration is fine: link plant-7");
    expect(must(plant, "/usr/local/bin/tidegate-send", "--version").stdout).toStartWith("tidegate-send ");
  }, 120_000);

  test("rpm and dpkg install the packages for it, and refuse those for another processor", () => {
    const find = (end: string): string => {
      const name = readdirSync(join(media, "packages")).find((each) => each.endsWith(end));
      if (name === undefined) throw new Error(`there is no package ${end}`);
      return `/media/packages/${name}`;
    };
    // What lies in the root was unpacked without being written down, so neither knows that the libraries are there.
    const foreign = business.run(media, ["rpm", "-i", "--nodeps", find("recv-0.1.0-1.x86_64.rpm")]);
    expect([foreign.status === 0, foreign.stderr]).toEqual([
      false,
      expect.stringContaining("different architecture"),
    ]);
    must(business, "rpm", "-i", "--nodeps", find("recv-0.1.0-1.aarch64.rpm"));
    expect(must(business, "/usr/bin/tidegate-recv", "--version").stdout).toStartWith("tidegate-recv ");
    must(business, "rpm", "-e", "--nodeps", "tidegate-recv");
    const amd64 = business.run(media, ["dpkg", "-i", "--force-depends", find("recv_0.1.0_amd64.deb")]);
    expect([amd64.status === 0, amd64.stderr]).toEqual([
      false,
      expect.stringContaining("does not match system"),
    ]);
    must(business, "dpkg", "-i", "--force-depends", find("recv_0.1.0_arm64.deb"));
    expect(must(business, "/usr/bin/tidegate-recv", "--version").stdout).toStartWith("tidegate-recv ");
  }, 120_000);

  test("a message goes from one to the other", async () => {
    const here = await site.startBroker({ before: cable.send.before });
    const there = await site.startBroker({ before: cable.recv.before });
    const near = site.use(await Publisher.start({ door: here.socketPath }));
    const far = site.use(await Collector.start({ door: there.socketPath }));
    const write = (root: HostRoot, path: string, text: string) => writeFileSync(join(root.path, path), text);
    const link = '[link]\nid = "plant-7"\nkey_file = "link.key"\n[[link.path]]\ntype = "udp"\n';
    write(
      plant,
      "etc/tidegate/send.toml",
      `${link}endpoint = "${cable.paths[0]?.recvAddress}:14550"\n[journal]\ndirectory = "/var/lib/tidegate/send/journal"\n[[source]]\nname = "line"\ntype = "subscribe"\nurl = "mqtt://127.0.0.1:${here.port}"\ntopics = ["#"]\n`,
    );
    write(
      business,
      "etc/tidegate/recv.toml",
      `targets = "targets.d"\n${link}address = "0.0.0.0:14550"\n[spool]\ndirectory = "/var/lib/tidegate/recv/spool"\n`,
    );
    write(
      business,
      "etc/tidegate/targets.d/hq.toml",
      `type = "mqtt"\nurl = "mqtt://127.0.0.1:${there.port}"\nclient_id = "plant-7"\n`,
    );
    const key = join(business.path, "etc/tidegate/link.key");
    copyFileSync(join(plant.path, "etc/tidegate/link.key"), key);
    chmodSync(key, 0o600);
    for (const [root, side, program, netns, ready] of [
      [business, "recv", "/usr/bin/tidegate-recv", cable.recv.name, "target hq is connected"],
      [plant, "send", "/usr/local/bin/tidegate-send", cable.send.name, "source line is subscribed"],
    ] as const) {
      const [shell = "", ...args] = root.enter(media, "", netns);
      const command = [program, "run", "--config", `/etc/tidegate/${side}.toml`];
      const agent = spawn(shell, [...args, ...command], { stdio: ["ignore", "ignore", "pipe"] });
      agents.push(agent);
      let log = "";
      agent.stderr?.on("data", (text) => {
        log += text;
      });
      await waitFor(
        ready,
        60_000,
        () => log.includes(ready),
        () => log,
      );
    }
    await near.publish("plant/hello", "across", { qos: 1 });
    await waitFor("the message", 60_000, () => far.messages.length > 0);
    expect(far.messages[0]?.payload.toString()).toBe("across");
  }, 150_000);
});
