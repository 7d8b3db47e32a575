// Two hosts with their own systemd on a one-way link, installed from the media: the hardened units at work, an upgrade while messages
// flow, the way back from one that was no good, the watchdog, and what is not started again.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { OneWayLink } from "../support/network-namespaces.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { waitFor } from "../support/wait.ts";
import { copyMedia, MEDIA_TOOLS, type Media, makeMedia, replaceAndSign } from "./media.ts";
import { BootedHost, HostRoot, ROOT_TOOLS } from "./root.ts";

const TOOLS = [...MEDIA_TOOLS, ...ROOT_TOOLS, "systemd-nspawn", "mosquitto", "ip", "nft"];
const WATCHDOG_SECONDS = 2;

requireTools(TOOLS)("two hosts installed from the media", () => {
  let media: Media;
  let cable: OneWayLink;
  let site: Site;
  let plant: BootedHost;
  let business: BootedHost;
  let near: Publisher;
  let far: Collector;
  let published = 0;

  beforeAll(async () => {
    media = await makeMedia();
    cable = new OneWayLink();
    site = await Site.open();
    const [here, there] = [
      await site.startBroker({ before: cable.send.before }),
      await site.startBroker({ before: cable.recv.before }),
    ];
    near = site.use(await Publisher.start({ door: here.socketPath }));
    far = site.use(await Collector.start({ door: there.socketPath }));
    plant = await BootedHost.boot(new HostRoot("debian", "plant"), cable.send.name, media.tree);
    business = await BootedHost.boot(new HostRoot("debian", "business"), cable.recv.name, media.tree);
    const [path] = cable.paths;
    // The rig's own entry goes: the installer is to make it.
    const hardware = cable.recv.run("cat", `/sys/class/net/${path?.recvInterface}/address`).trim();
    cable.send.run("ip", "neighbour", "del", path?.recvAddress ?? "", "dev", path?.sendInterface ?? "");
    const neighbour = `${path?.recvAddress}=${hardware}@${path?.sendInterface}`;
    await plant.must("dash", "/media/install.sh", "send", "--neighbour", neighbour);
    await business.must("dash", "/media/install.sh", "recv");
    plant.write(
      "etc/tidegate/send.toml",
      `[link]\nid = "plant-7"\nkey_file = "link.key"\nrepeat_after_seconds = 3\n[[link.path]]\ntype = "udp"\nendpoint = "${path?.recvAddress}:14550"\nrate_mbit_per_second = 50
[journal]\ndirectory = "/var/lib/tidegate/send/journal"\n[[source]]\nname = "line"\ntype = "subscribe"\nurl = "mqtt://127.0.0.1:${here.port}"\ntopics = ["#"]\n[admin]\naddress = "127.0.0.1:9464"\n`,
    );
    business.write(
      "etc/tidegate/recv.toml",
      'targets = "targets.d"\n[link]\nid = "plant-7"\nkey_file = "link.key"\n[[link.path]]\ntype = "udp"\naddress = "0.0.0.0:14550"\n[spool]\ndirectory = "/var/lib/tidegate/recv/spool"\n[admin]\naddress = "127.0.0.1:9465"\n',
    );
    business.write(
      "etc/tidegate/targets.d/hq.toml",
      `type = "mqtt"\nurl = "mqtt://127.0.0.1:${there.port}"\nclient_id = "plant-7"\n`,
    );
    await plant.must("/usr/local/bin/tidegate-send", "keygen", "/etc/tidegate/link.key");
    await plant.must("chown", "tidegate-send", "/etc/tidegate/link.key");
    const key = join(business.root.path, "etc/tidegate/link.key");
    copyFileSync(join(plant.root.path, "etc/tidegate/link.key"), key);
    chmodSync(key, 0o600);
    await business.must("chown", "tidegate-recv", "/etc/tidegate/link.key");
  }, 300_000);

  afterAll(async () => {
    await plant?.[Symbol.asyncDispose]();
    await business?.[Symbol.asyncDispose]();
    await site?.[Symbol.asyncDispose]();
    cable?.remove();
  });

  const publish = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) {
      await near.publish(`plant/${published % 7}`, `${published}`, { qos: 1 });
      published += 1;
    }
  };
  const arrived = (): Set<number> => new Set(far.messages.map(({ payload }) => Number(payload.toString())));
  const waitForAll = (): Promise<unknown> =>
    waitFor(
      `${published} messages across`,
      40_000,
      () => arrived().size === published,
      () => `${arrived().size} of ${published}`,
    );

  test("the units become ready and carry messages, unprivileged and with the filter against input set", async () => {
    await business.must("systemctl", "enable", "--quiet", "--now", "tidegate-recv");
    await plant.must("systemctl", "enable", "--quiet", "--now", "tidegate-send");
    for (const [host, unit] of [
      [plant, "tidegate-send"],
      [business, "tidegate-recv"],
    ] as const) {
      expect(await host.show(unit, "ActiveState")).toBe("active");
      expect(await host.show(unit, "StatusText")).toBe("link plant-7");
      const pid = await host.show(unit, "MainPID");
      const status = await host.must("cat", `/proc/${pid}/status`);
      expect(status).toMatch(/^Cap(Eff|Prm|Bnd):\t0{16}$/m);
      expect(status).toMatch(/^Seccomp:\t2$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
      expect(status).not.toMatch(/^Uid:\t0\t/m);
    }
    expect(await plant.must("journalctl", "-u", "tidegate-send", "--no-pager")).toContain(
      "path opened, write-only",
    );
    await publish(20);
    await waitForAll();
  }, 90_000);

  test("an upgrade of both sides, the receiver first, loses nothing of what flows, and --back takes it back", async () => {
    let done = false;
    const traffic = (async () => {
      while (!done) {
        await publish(5);
        // A plant's pace: what is proven is that nothing is lost, not how much goes through.
        await Bun.sleep(20);
      }
    })();
    for (const [host, side] of [
      [business, "recv"],
      [plant, "send"],
    ] as const) {
      const before = await host.must(`/usr/local/bin/tidegate-${side}`, "--version");
      const pid = await host.show(`tidegate-${side}`, "MainPID");
      await host.must("cp", "-a", "/etc/tidegate", "/tmp/kept");
      host.takeMedia(media.next);
      expect(await host.must("dash", "/next/install.sh", side, "--upgrade")).toContain("2096-10-02");
      expect(await host.must(`/usr/local/bin/tidegate-${side}`, "--version")).toContain("2096-10-02");
      expect(await host.show(`tidegate-${side}`, "ActiveState")).toBe("active");
      expect(await host.show(`tidegate-${side}`, "MainPID")).not.toBe(pid);
      await host.must("diff", "-r", "/etc/tidegate", "/tmp/kept");
      await host.must("dash", "/next/install.sh", side, "--back");
      expect(await host.must(`/usr/local/bin/tidegate-${side}`, "--version")).toBe(before);
      expect(await host.show(`tidegate-${side}`, "ActiveState")).toBe("active");
    }
    done = true;
    await traffic;
    expect(published).toBeGreaterThan(50);
    await waitForAll();
  }, 180_000);

  test("goes back by itself when the new program refuses the configuration, or does not become ready", async () => {
    const version = await plant.must("/usr/local/bin/tidegate-send", "--version");
    const bad = copyMedia(media.next, "bad");
    const program = "bin/linux-x64-baseline/tidegate-send";
    const answer = (check: string, otherwise: string) =>
      `#!/bin/sh\ncase $1 in --version) echo tidegate-send 9 ;; check) ${check} ;; *) ${otherwise} ;; esac\n`;
    replaceAndSign(media, bad, program, answer("echo 'send.toml:1:1: link: is gone' >&2; exit 78", "exit 1"));
    plant.takeMedia(bad);
    const pid = await plant.show("tidegate-send", "MainPID");
    const refused = await plant.run("dash", "/next/install.sh", "send", "--upgrade");
    expect([refused.status, refused.stderr]).toEqual([
      1,
      "cannot upgrade: the new tidegate-send refuses the configuration that the old one accepts: send.toml:1:1: link: is gone\n",
    ]);
    expect(await plant.show("tidegate-send", "MainPID")).toBe(pid);
    replaceAndSign(media, bad, program, answer("exit 0", "exit 1"));
    plant.takeMedia(bad);
    const failed = await plant.run("dash", "/next/install.sh", "send", "--upgrade");
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain("it did not become ready");
    expect(await plant.must("/usr/local/bin/tidegate-send", "--version")).toBe(version);
    await waitFor(
      "the old program at work",
      20_000,
      async () => (await plant.show("tidegate-send", "ActiveState")) === "active",
    );
    await publish(5);
    await waitForAll();
  }, 120_000);

  test("the watchdog ends an agent that stands still, and it is started again", async () => {
    await plant.must("mkdir", "-p", "/run/systemd/system/tidegate-send.service.d");
    await plant.must(
      "sh",
      "-c",
      `printf '[Service]\\nWatchdogSec=${WATCHDOG_SECONDS}\\n' > /run/systemd/system/tidegate-send.service.d/quick.conf`,
    );
    await plant.must("systemctl", "daemon-reload");
    await plant.must("systemctl", "restart", "tidegate-send");
    const pid = await plant.show("tidegate-send", "MainPID");
    await plant.must("kill", "-STOP", pid);
    await waitFor("another process", 30_000, async () => {
      const now = await plant.show("tidegate-send", "MainPID");
      return now !== pid && now !== "0";
    });
    expect(await plant.must("journalctl", "-u", "tidegate-send", "--no-pager")).toContain("Watchdog timeout");
    await publish(5);
    await waitForAll();
  }, 90_000);

  test("a wrong configuration ends with 78 and is not started again", async () => {
    const path = join(plant.root.path, "etc/tidegate/send.toml");
    const text = readFileSync(path, "utf8");
    plant.write("etc/tidegate/send.toml", text.replace("[journal]", "[journals]"));
    expect((await plant.run("systemctl", "restart", "tidegate-send")).status).not.toBe(0);
    expect(await plant.show("tidegate-send", "ExecMainStatus")).toBe("78");
    expect(await plant.show("tidegate-send", "ActiveState")).toBe("failed");
    plant.write("etc/tidegate/send.toml", text);
    await plant.must("systemctl", "restart", "tidegate-send");
  }, 60_000);

  test("uninstalling stops the agent and leaves configuration and data", async () => {
    await plant.must("dash", "/media/install.sh", "send", "--uninstall");
    await business.must("dash", "/media/install.sh", "recv", "--uninstall", "--purge");
    expect((await plant.run("systemctl", "is-active", "tidegate-send")).stdout.trim()).toBe("inactive");
    expect(await plant.must("ls", "/etc/tidegate", "/var/lib/tidegate/send/journal")).toContain("journal.db");
    expect((await business.run("ls", "/etc/tidegate")).status).not.toBe(0);
  }, 60_000);
});
