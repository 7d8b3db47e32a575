// The packages in a minimal root: what dpkg and rpm make of them, that an upgrade keeps what the operator has written, that removing keeps
// data and purging does not.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { requireTools } from "../support/requirements.ts";
import { MEDIA_TOOLS, makeFullMedia, run } from "./media.ts";
import { type Done, HostRoot, ROOT_TOOLS } from "./root.ts";

requireTools([...MEDIA_TOOLS, ...ROOT_TOOLS, "systemd-analyze"])("packages", () => {
  let media: string;
  let root: HostRoot;

  beforeAll(async () => {
    media = await makeFullMedia();
    root = new HostRoot("debian", "packages");
  }, 240_000);
  afterAll(() => root?.remove());

  const must = (...command: readonly string[]): Done => {
    const done = root.run(media, command);
    if (done.status !== 0) throw new Error(`${command.join(" ")}: ${done.stderr}${done.stdout}`);
    return done;
  };
  const find = (end: string): string => {
    const name = readdirSync(join(media, "packages")).find((each) => each.endsWith(end));
    if (name === undefined) throw new Error(`there is no package ${end}`);
    return `/media/packages/${name}`;
  };
  const path = (name: string): string => join(root.path, name);

  const expectInstalled = (side: "send" | "recv"): void => {
    expect(must(`/usr/bin/tidegate-${side}`, "--version").stdout).toStartWith(`tidegate-${side} `);
    const config = statSync(path(`etc/tidegate/${side}.toml`));
    expect((config.mode & 0o7777).toString(8)).toBe("640");
    expect((statSync(path(`var/lib/tidegate/${side}`)).mode & 0o7777).toString(8)).toBe("700");
    expect(statSync(path(`var/lib/tidegate/${side}`)).uid).not.toBe(0);
    const unit = readFileSync(path(`usr/lib/systemd/system/tidegate-${side}.service`), "utf8");
    expect(unit).toContain(`ExecStart=/usr/bin/tidegate-${side} run`);
    expect(unit).not.toMatch(/@[A-Z]+@/);
    const units = [`tidegate-${side}.service`, `tidegate-${side}-neighbours.service`];
    const said = run("systemd-analyze", "verify", "--man=no", `--root=${root.path}`, ...units);
    expect(said).toBe("");
    expect(existsSync(path(`usr/share/tidegate-${side}/examples/profiles/mqtt.toml`))).toBe(true);
  };

  test("dpkg installs both, installs again over what was changed, removes and purges", () => {
    must("dpkg", "-i", find("send_0.1.0_amd64.deb"), find("recv_0.1.0_amd64.deb"));
    expectInstalled("send");
    expectInstalled("recv");
    appendFileSync(path("etc/tidegate/send.toml"), "# ours\n");
    mkdirSync(path("var/lib/tidegate/send/journal"));
    must("dpkg", "-i", "--force-confdef", find("send_0.1.0_amd64.deb"));
    expect(readFileSync(path("etc/tidegate/send.toml"), "utf8")).toEndWith("# ours\n");
    expect(root.run(media, ["dash", "/media/install.sh", "send"]).stderr).toContain(
      "is installed as a package",
    );
    must("dpkg", "-r", "tidegate-send");
    expect(existsSync(path("usr/bin/tidegate-send"))).toBe(false);
    expect(existsSync(path("etc/tidegate/send.toml"))).toBe(true);
    expect(existsSync(path("var/lib/tidegate/send/journal"))).toBe(true);
    must("dpkg", "-P", "tidegate-send", "tidegate-recv");
    expect(root.listFiles().filter((line) => /tidegate/.test(line))).toEqual([]);
    expect(readFileSync(path("etc/passwd"), "utf8") + readFileSync(path("etc/group"), "utf8")).not.toContain(
      "tidegate",
    );
  }, 60_000);

  test("rpm installs both, keeps what was changed, and leaves data when it erases", () => {
    // The root is Debian's, whose libraries rpm knows nothing of.
    const rpms = [find("send-0.1.0-1.x86_64.rpm"), find("recv-0.1.0-1.x86_64.rpm")];
    must("rpm", "-i", "--nodeps", ...rpms);
    expectInstalled("send");
    expectInstalled("recv");
    writeFileSync(path("etc/tidegate/recv.toml"), "# ours\n");
    mkdirSync(path("var/lib/tidegate/recv/spool"));
    must("rpm", "-U", "--nodeps", "--force", ...rpms);
    expect(readFileSync(path("etc/tidegate/recv.toml"), "utf8")).toBe("# ours\n");
    expect(must("rpm", "-q", "--queryformat", "%{NAME} %{ARCH} %{LICENSE}", "tidegate-recv").stdout).toBe(
      "tidegate-recv x86_64 Apache-2.0",
    );
    must("rpm", "-e", "--nodeps", "tidegate-send", "tidegate-recv");
    expect(existsSync(path("usr/bin/tidegate-recv"))).toBe(false);
    expect(existsSync(path("var/lib/tidegate/recv/spool"))).toBe(true);
    expect(readFileSync(path("etc/tidegate/recv.toml.rpmsave"), "utf8")).toBe("# ours\n");
  }, 60_000);
});
