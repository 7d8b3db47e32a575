// install.sh in a minimal root: what it does, that the same again does nothing, and that whatever is wrong stops it with one line and
// leaves the host as it was.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requireTools } from "../support/requirements.ts";
import {
  copyMedia,
  listSummed,
  MEDIA_TOOLS,
  type Media,
  makeMedia,
  replaceAndSign,
  replaceFile,
  run,
} from "./media.ts";
import { type Done, HostRoot, ROOT_TOOLS } from "./root.ts";

requireTools([...MEDIA_TOOLS, ...ROOT_TOOLS])("install.sh", () => {
  let media: Media;
  let root: HostRoot;
  let untouched: string[];

  beforeAll(async () => {
    media = await makeMedia();
    root = new HostRoot("debian", "installer");
    untouched = root.listFiles();
  }, 240_000);
  afterAll(() => root?.remove());

  const install = (args: string, tree = media.next, before = ""): Done =>
    root.run(tree, ["/bin/sh", "-c", `exec dash /media/install.sh ${args}`], before);

  /** One line that says why, and a host that is as it was. */
  const expectRefusal = (done: Done, why: string | RegExp): void => {
    expect(done.stderr.trimEnd().split("\n")).toHaveLength(1);
    if (typeof why === "string") expect(done.stderr).toContain(why);
    else expect(done.stderr).toMatch(why);
    expect(done.status).toBe(1);
    expect(root.listFiles()).toEqual(untouched);
  };

  /** The same with one byte of a file changed; in what the installer itself runs, a byte of a comment: it must still notice. */
  const flip = (tree: string, path: string): string => {
    const spoiled = copyMedia(tree, "flipped");
    const bytes = readFileSync(join(spoiled, path));
    const at = path.startsWith("install") ? bytes.indexOf("# ") + 2 : Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    replaceFile(join(spoiled, path), bytes);
    return spoiled;
  };
  const damaged = (path: string): string =>
    `the media is damaged or was changed: ${path} is not as SHA256SUMS says`;

  const missing = (path: string): RegExp =>
    new RegExp(
      `^cannot install: the media is [a-z ]+: ${path.replaceAll(".", "\\.")} is (missing|not as SHA256SUMS says)\n$`,
    );

  test("refuses media in which one byte of any file was changed, and without any of the files", () => {
    // Programs of a few bytes, so that each of the files can have its turn: to read all of the media takes a second.
    const light = copyMedia(media.next, "light");
    const isProgram = (path: string) => path.startsWith("bin/");
    for (const path of listSummed(light).filter(isProgram)) replaceAndSign(media, light, path, "#!/bin/sh\n");
    const paths = listSummed(light);
    expect(paths.length).toBeGreaterThan(60);
    for (const path of paths) {
      const done = install("send", flip(light, path));
      expect([path, done.status, done.stderr]).toEqual([path, 1, `cannot install: ${damaged(path)}\n`]);
      if (path === "install.sh") continue;
      const lacking = copyMedia(light, "lacking");
      rmSync(join(lacking, path));
      const without = install("send", lacking);
      expect([path, without.status, without.stderr]).toEqual([path, 1, expect.stringMatching(missing(path))]);
    }
    expect(root.listFiles()).toEqual(untouched);
    for (const path of listSummed(media.next).filter(isProgram))
      expectRefusal(install("send", flip(media.next, path)), damaged(path));
  }, 120_000);

  test("refuses media without its list, and without a signature", () => {
    const unsigned = copyMedia(media.next, "unsigned");
    rmSync(join(unsigned, "SHA256SUMS.sig"));
    expectRefusal(install("send", unsigned), "the media is not signed");
    const listless = copyMedia(media.next, "listless");
    rmSync(join(listless, "SHA256SUMS"));
    expectRefusal(install("send", listless), "the media is incomplete: SHA256SUMS is missing");
  });

  test("refuses a signature that is spoiled, by another key, or of another list", () => {
    const spoiled = copyMedia(media.next, "signature");
    const signature = readFileSync(join(spoiled, "SHA256SUMS.sig"));
    signature[100] = (signature[100] ?? 0) ^ 1;
    replaceFile(join(spoiled, "SHA256SUMS.sig"), signature);
    expectRefusal(install("send", spoiled), "the signature of SHA256SUMS was not made with the key");
    const forged = copyMedia(media.next, "forged");
    run("openssl", "genrsa", "-out", join(forged, "other.key"), "3072");
    const otherKey = { ...media, key: join(forged, "other.key") };
    rmSync(join(forged, "tidegate-media.pub"));
    run("openssl", "pkey", "-in", otherKey.key, "-pubout", "-out", join(forged, "tidegate-media.pub"));
    replaceAndSign(otherKey, forged, "LICENSE", "another licence\n");
    // The media's own key fits, so the one that came on another way must be what counts.
    const before = `cp ${media.publicKey} tmp/vendor.pub`;
    const done = install("send --key /tmp/vendor.pub", forged, before);
    expect(done.stderr).toContain("the signature of SHA256SUMS was not made with the key /tmp/vendor.pub");
    expect(done.status).toBe(1);
    rmSync(join(root.path, "tmp/vendor.pub"));
    untouched = root.listFiles();
    expectRefusal(install("send --sums 00", media.next), "not the file whose hash you gave");
  });

  test("refuses a full disk, a read-only target and a port that is taken", () => {
    const small = "mount -t tmpfs -o size=60m none usr/local";
    expectRefusal(install("send", media.next, small), /\/usr\/local has \d+ MiB free, \d+ MiB are needed/);
    for (const place of ["/usr/local", "/etc", "/var/lib"]) {
      const locked = `mount --bind .${place} .${place}; mount -o remount,bind,ro .${place}`;
      expectRefusal(install("send", media.next, locked), `${place} is read-only`);
    }
    const listen = (kind: string, port: number) =>
      `ip link set lo up; python3 -c "import socket,time; s=socket.socket(socket.AF_INET, socket.${kind}); s.bind(('127.0.0.1', ${port})); ${kind === "SOCK_STREAM" ? "s.listen()" : "0"}; print(flush=True); time.sleep(60)" > port.ready & while [ ! -s port.ready ]; do sleep 0.05; done; rm port.ready`;
    expectRefusal(
      install("recv", media.next, listen("SOCK_DGRAM", 14550)),
      "udp port 14550 (0.0.0.0:14550 in",
    );
    expectRefusal(
      install("send", media.next, listen("SOCK_STREAM", 9464)),
      "tcp port 9464 (127.0.0.1:9464 in",
    );
  }, 60_000);

  test("takes back what it did when a later step fails, and when it is interrupted", () => {
    // A file where a folder must be: noticed after the program is in place.
    const blocked =
      "mkdir -p usr/local/share; mount -t tmpfs none usr/local/share; rm -rf usr/local/share/man; : > usr/local/share/man";
    const done = install("send", media.next, blocked);
    expectRefusal(done, "cannot install: /usr/local/share/man");
    const full =
      "mount -t tmpfs -o size=100k none etc/systemd/system; dd if=/dev/zero of=etc/systemd/system/filler bs=1k 2>/dev/null || :";
    expectRefusal(
      install("send", media.next, full),
      /\/etc\/systemd\/system\/tidegate-send\.service cannot be written: No space/,
    );
    const stopped = root.run(media.next, [
      "/bin/sh",
      "-c",
      "dash /media/install.sh send & p=$!; while [ ! -e /usr/local/bin/tidegate-send ]; do sleep 0.01; done; kill -TERM $p; wait $p",
    ]);
    expectRefusal(stopped, "it was interrupted");
  }, 60_000);

  test.each([
    ["mkdir", "/bin/mkdir", "*/lib/tidegate"],
    ["groupadd", "/usr/sbin/groupadd", "*"],
    ["useradd", "/usr/sbin/useradd", "*"],
  ])("takes back what %s did when it is interrupted meanwhile", (name, program, args) => {
    const stand = `usr/local/sbin/${name}`;
    const script = `#!/bin/sh\n${program} "$@" || exit\ncase $* in ${args}) kill -TERM $PPID ;; esac\n`;
    const before = `mount -t tmpfs none usr/local/sbin; printf '%s' '${script}' > ${stand}; chmod 755 ${stand}`;
    expectRefusal(install("send", media.next, before), "it was interrupted");
  });

  test("chooses by processor and C library, and refuses a processor that is too old", () => {
    const choice = copyMedia(media.next, "choice");
    run("cp", "-al", join(choice, "bin/linux-x64-baseline"), join(choice, "bin/linux-x64"));
    const cpu = (flags: string) => `printf 'processor : 0\\nflags\\t\\t: fpu ${flags} sse\\n' > tmp/cpuinfo`;
    const look = (flags: string) => {
      const done = root.run(
        choice,
        ["/bin/sh", "-c", "TIDEGATE_CPUINFO=/tmp/cpuinfo exec dash /media/install.sh send --dry-run"],
        cpu(flags),
      );
      rmSync(join(root.path, "tmp/cpuinfo"));
      return done;
    };
    expect(look("sse4_2 popcnt avx2").stdout).toContain("tidegate-send for linux-x64 goes to");
    expect(look("sse4_2 popcnt avx").stdout).toContain("tidegate-send for linux-x64-baseline goes to");
    expectRefusal(look("sse4_1 popcnt"), "this processor is too old: it lacks SSE4.2");
    expectRefusal(look("sse4_2 avx2"), "this processor is too old: it lacks POPCNT");
  });

  test("--dry-run changes nothing and says what would be done", () => {
    const done = install("recv --dry-run --neighbour 10.0.0.2=02:00:00:00:00:02@eth1 --allow any");
    expect(done.stderr).toBe("");
    expect(done.stdout).toContain("would write /usr/local/bin/tidegate-recv\n");
    expect(done.stdout).toContain("would make the user tidegate-recv\n");
    expect(done.stdout).toEndWith("nothing was changed\n");
    expect(root.listFiles()).toEqual(untouched);
  });

  test("refuses wrong arguments with status 2", () => {
    for (const args of [
      "",
      "--dry-run",
      "both",
      "send recv",
      "send --prefix",
      "send --prefix x",
      "send --neighbour x",
    ]) {
      const done = install(args);
      expect([args, done.status]).toEqual([args, 2]);
      expect(root.listFiles()).toEqual(untouched);
    }
    expectRefusal(install("send --upgrade"), "cannot upgrade: tidegate-send is not installed here");
    expectRefusal(install("send --uninstall"), "cannot uninstall: tidegate-send is not installed here");
    expectRefusal(install("send --back"), "cannot go back: tidegate-send is not installed here");
  });

  test("installs, finds nothing to do the second time, and removes all but configuration and data", () => {
    const first = install(
      "send --prefix /opt/tidegate --neighbour 10.0.0.2=02:00:00:00:00:02@lo --allow 203.0.113.0/24",
    );
    expect([first.stderr, first.status]).toEqual(["", 0]);
    const stat = (path: string) => {
      const { mode, uid } = statSync(join(root.path, path));
      return `${(mode & 0o7777).toString(8)} ${uid === 0 ? "root" : "user"}`;
    };
    expect(stat("opt/tidegate/bin/tidegate-send")).toBe("755 root");
    expect(stat("etc/tidegate")).toBe("750 root");
    expect(stat("etc/tidegate/send.toml")).toBe("640 root");
    expect(stat("var/lib/tidegate/send")).toBe("700 user");
    const read = (path: string) => readFileSync(join(root.path, path), "utf8");
    expect(read("etc/systemd/system/tidegate-send.service")).toContain(
      "ExecStart=/opt/tidegate/bin/tidegate-send run --config",
    );
    expect(read("etc/systemd/system/tidegate-send.service")).not.toMatch(/@[A-Z]+@/);
    expect(read("etc/systemd/system/tidegate-send.service.d/addresses.conf")).toBe(
      "[Service]\nIPAddressAllow= 203.0.113.0/24\n",
    );
    expect(read("etc/tidegate/neighbours")).toBe("10.0.0.2 02:00:00:00:00:02 lo\n");
    const whole = root.listFiles();
    const again = install("send");
    expect(again.stdout).toContain("was installed already: nothing was changed");
    expect(root.listFiles()).toEqual(whole);
    // The key of the first installation is what later media are checked with.
    const forged = copyMedia(media.next, "forged-later");
    const other = { ...media, key: join(forged, "other.key") };
    run("openssl", "genrsa", "-out", other.key, "3072");
    rmSync(join(forged, "tidegate-media.pub"));
    run("openssl", "pkey", "-in", other.key, "-pubout", "-out", join(forged, "tidegate-media.pub"));
    replaceAndSign(other, forged, "LICENSE", "x");
    expect(install("send --upgrade", forged).stderr).toContain(
      "was not made with the key /etc/tidegate/media.pub",
    );
    expect(root.listFiles()).toEqual(whole);
    writeFileSync(join(root.path, "var/lib/tidegate/send/journal"), "kept");
    // As the operator does it later, when the media lies in a drawer.
    const installer = "/opt/tidegate/share/tidegate-send/install.sh";
    const uninstalled = root.run(media.next, ["/bin/sh", installer, "send", "--uninstall"]);
    expect(uninstalled).toMatchObject({ status: 0, stderr: "" });
    const left = root.listFiles().map((line) => line.split(" ")[0]);
    expect(left.filter((path) => /tidegate/.test(path ?? ""))).toEqual([
      "etc/tidegate",
      "etc/tidegate/media.pub",
      "etc/tidegate/neighbours",
      "etc/tidegate/send.toml",
      "var/lib/tidegate",
      "var/lib/tidegate/send",
      "var/lib/tidegate/send/journal",
    ]);
    expect(install("send")).toMatchObject({ status: 0 });
    expect(install("send --uninstall --purge")).toMatchObject({ status: 0, stderr: "" });
    expect(root.listFiles().filter((line) => /tidegate/.test(line))).toEqual([]);
    expect(root.run(media.next, ["grep", "-c", "tidegate", "/etc/passwd", "/etc/group"]).stdout).toBe(
      "/etc/passwd:0\n/etc/group:0\n",
    );
  }, 60_000);

  test("needs no more than a POSIX shell and coreutils", () => {
    const bare = new HostRoot("debian", "bare");
    try {
      const folder = join(bare.path, "coreutils");
      mkdirSync(folder);
      const listing = bare.run(media.next, ["dpkg", "-L", "coreutils"]).stdout;
      for (const path of listing.split("\n").filter((line) => /bin\/[a-z0-9[]+$/.test(line)))
        symlinkSync(path, join(folder, path.slice(path.lastIndexOf("/") + 1)));
      const sums = run("sha256sum", join(media.next, "SHA256SUMS")).split(" ")[0];
      // The installer adds /usr/sbin and /sbin itself: there is nothing in them here.
      const before = "mount -t tmpfs none usr/sbin; mount -t tmpfs none usr/local";
      const command = (args: string) => [
        "/usr/bin/env",
        "-i",
        "PATH=/coreutils",
        "/usr/bin/dash",
        "/media/install.sh",
        ...args.split(" "),
      ];
      const refused = bare.run(media.next, command("recv"), before);
      expect(refused.stderr).toContain("openssl, which checks the signature, is missing here");
      const done = bare.run(media.next, command(`recv --sums ${sums}`), before);
      expect([done.status, done.stderr]).toEqual([0, ""]);
      expect(done.stdout).toContain("is installed\n");
      expect(readFileSync(join(bare.path, "etc/passwd"), "utf8")).toMatch(
        /^tidegate-recv:x:\d+:\d+:Tidegate:/m,
      );
    } finally {
      bare.remove();
    }
  }, 60_000);
});
