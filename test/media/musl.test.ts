// Hosts with musl and busybox, as small Alpine hosts are: both sides installed from the media with busybox's shell, and a message from one
// root to the other over a one-way link. They have no C++ library: the media brings it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { OneWayLink } from "../support/network-namespaces.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { waitFor } from "../support/wait.ts";
import { MEDIA_TOOLS, makeFullMedia, thinMedia } from "./media.ts";
import { HostRoot, ROOT_TOOLS } from "./root.ts";

const TOOLS = [...MEDIA_TOOLS, ...ROOT_TOOLS, "mosquitto", "ip", "nft"];

requireTools(TOOLS)("hosts with musl", () => {
  let media: string;
  let sums: string;
  let cable: OneWayLink;
  let site: Site;
  let plant: HostRoot;
  let business: HostRoot;
  const agents: ChildProcess[] = [];

  beforeAll(async () => {
    const isForOthers = (path: string) => /^(packages|bin\/linux-(x64\/|x64-b|arm))/.test(path);
    ({ tree: media, sums } = thinMedia(await makeFullMedia(), "musl", (path) => !isForOthers(path)));
    cable = new OneWayLink();
    site = await Site.open();
    plant = new HostRoot("musl", "musl-plant");
    business = new HostRoot("musl", "musl-business");
  }, 240_000);

  afterAll(async () => {
    for (const agent of agents) agent.kill("SIGKILL");
    await site?.[Symbol.asyncDispose]();
    cable?.remove();
    plant?.remove();
    business?.remove();
  });

  test("install.sh under busybox chooses the program for musl, makes its user and brings the libraries", () => {
    for (const [root, side] of [
      [plant, "send"],
      [business, "recv"],
    ] as const) {
      const command = (more: string) => [
        "/bin/busybox",
        "sh",
        "-c",
        `exec busybox sh /media/install.sh ${side} ${more}`,
      ];
      expect(root.run(media, command("")).stderr).toContain(
        "openssl, which checks the signature, is missing here",
      );
      const done = root.run(media, command(`--sums ${sums}`));
      expect([done.stderr, done.status]).toEqual(["", 0]);
      expect(done.stdout).toContain(`tidegate-${side} for linux-x64-musl goes to /usr/local`);
      expect(done.stdout).toContain(`4. run as user tidegate-${side}:`);
      const again = root.run(media, command(`--sums ${sums}`));
      expect(again.stdout).toContain("was installed already: nothing was changed");
      const libraries = root.run(media, ["/bin/ls", "/usr/local/lib/tidegate"]).stdout;
      expect(libraries).toMatch(/^libgcc_s-[0-9a-f]+\.so\.1\nlibstdc\+\+\.so\.6\nset-neighbours\n$/);
    }
  }, 120_000);

  test("a message goes from one root to the other", async () => {
    const here = await site.startBroker({ before: cable.send.before });
    const there = await site.startBroker({ before: cable.recv.before });
    const near = site.use(await Publisher.start({ door: here.socketPath }));
    const far = site.use(await Collector.start({ door: there.socketPath }));
    const write = (root: HostRoot, path: string, text: string) => writeFileSync(join(root.path, path), text);
    const address = cable.paths[0]?.recvAddress;
    write(
      plant,
      "etc/tidegate/send.toml",
      `[link]\nid = "plant-7"\nkey_file = "link.key"\n[[link.path]]\ntype = "udp"\nendpoint = "${address}:14550"\n[journal]\ndirectory = "/var/lib/tidegate/send/journal"\n[[source]]\nname = "line"\ntype = "subscribe"\nurl = "mqtt://127.0.0.1:${here.port}"\ntopics = ["#"]\n`,
    );
    write(
      business,
      "etc/tidegate/recv.toml",
      'targets = "targets.d"\n[link]\nid = "plant-7"\nkey_file = "link.key"\n[[link.path]]\ntype = "udp"\naddress = "0.0.0.0:14550"\n[spool]\ndirectory = "/var/lib/tidegate/recv/spool"\n',
    );
    write(
      business,
      "etc/tidegate/targets.d/hq.toml",
      `type = "mqtt"\nurl = "mqtt://127.0.0.1:${there.port}"\nclient_id = "plant-7"\n`,
    );
    const made = plant.run(media, ["/usr/local/bin/tidegate-send", "keygen", "/etc/tidegate/link.key"]);
    expect(made.status).toBe(0);
    const key = join(business.path, "etc/tidegate/link.key");
    copyFileSync(join(plant.path, "etc/tidegate/link.key"), key);
    chmodSync(key, 0o600);
    const logs = { send: "", recv: "" };
    for (const [root, side, netns] of [
      [business, "recv", cable.recv.name],
      [plant, "send", cable.send.name],
    ] as const) {
      expect(root.run(media, ["/bin/chown", `tidegate-${side}`, "/etc/tidegate/link.key"]).status).toBe(0);
      const line = `exec /usr/local/bin/tidegate-${side} run --config /etc/tidegate/${side}.toml`;
      const [program = "", ...args] = root.enter(media, "", netns);
      const agent = spawn(program, [...args, "/bin/su", "-s", "/bin/sh", `tidegate-${side}`, "-c", line], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      agents.push(agent);
      agent.stderr?.on("data", (text) => {
        logs[side] += text;
      });
      const ready = side === "recv" ? "target hq is connected" : "source line is subscribed";
      await waitFor(
        ready,
        30_000,
        () => logs[side].includes(ready),
        () => logs[side],
      );
    }
    // The filter against input is set through the C library, whose name here is another.
    expect(logs.send).toContain("path opened, write-only");
    await near.publish("plant/hello", "across", { qos: 1 });
    await waitFor(
      "the message",
      30_000,
      () => far.messages.length > 0,
      () => logs.recv,
    );
    expect(far.messages[0]?.payload.toString()).toBe("across");
  }, 120_000);
});
