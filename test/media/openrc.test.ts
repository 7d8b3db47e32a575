// A host with musl, busybox and OpenRC: the agent under OpenRC's supervisor, an upgrade of one that runs, the way back from a program that
// does not stay up, and removal.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { requireTools } from "../support/requirements.ts";
import { MEDIA_TOOLS, makeFullMedia, type ThinMedia, thinMedia } from "./media.ts";
import { HostRoot, ROOT_TOOLS } from "./root.ts";

const BOOT = "openrc sysinit; openrc boot; openrc default";
/** Waits for a condition, up to ten seconds. */
const UNTIL =
  'until_true() { n=0; until eval "$1"; do n=$((n + 1)); [ $n -lt 100 ] || return 1; sleep 0.1; done; }';

requireTools([...MEDIA_TOOLS, ...ROOT_TOOLS])("a host with OpenRC", () => {
  let media: ThinMedia;
  let root: HostRoot;

  beforeAll(async () => {
    media = thinMedia(
      await makeFullMedia(),
      "openrc",
      (path) => !/^(packages|bin\/linux-(x64\/|x64-b|arm))/.test(path),
    );
    root = new HostRoot("openrc", "openrc");
  }, 240_000);
  afterAll(() => root?.remove());

  /** The host lives as long as the script: its processes end with it. */
  const script = (...lines: readonly string[]): string => {
    const text = [UNTIL, "set -e", ...lines].join("\n");
    const done = root.run(media.tree, ["/bin/busybox", "sh", "-c", `exec 2>&1\n${text}`]);
    if (done.status !== 0) throw new Error(`${done.status}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  };
  const install = (more = "") => `busybox sh /media/install.sh send --sums ${media.sums} ${more}`;
  const pid = "$(pidof tidegate-send)";

  test("install.sh sets the agent up, OpenRC runs it as its user and starts it again, and a wrong configuration is not started", () => {
    const said = script(
      install(),
      "tidegate-send keygen /etc/tidegate/link.key",
      "chown tidegate-send /etc/tidegate/link.key",
      "rc-update add tidegate-send default",
      BOOT,
      "until_true 'grep -q \"admin listening\" /var/log/tidegate/send.log'",
      `echo user $(stat -c %U /proc/${pid})`,
      "rc-service tidegate-send reload",
      "until_true 'grep -q \"link keys read again\" /var/log/tidegate/send.log'",
      `before=${pid}; kill -KILL $before`,
      `until_true 'now=${pid}; [ -n "$now" ] && [ "$now" != $before ]'`,
      "echo started again",
      "sed -i s/journal/journals/ /etc/tidegate/send.toml",
      "rc-service tidegate-send restart || echo restart failed",
      `echo process ${pid}.`,
      "sed -i s/journals/journal/ /etc/tidegate/send.toml",
    );
    expect(said).toContain("tidegate-send for linux-x64-musl goes to /usr/local");
    expect(said).toContain("rc-update add tidegate-send default && rc-service tidegate-send start");
    expect(said).toContain("user tidegate-send\n");
    expect(said).toContain("started again\n");
    expect(said).toContain('journals: is not a known key; did you mean "journal"?');
    expect(said).toContain("restart failed\nprocess .\n");
    const log = join(root.path, "var/log/tidegate/send.log");
    expect(readFileSync(log, "utf8")).toContain("path opened, write-only");
  }, 60_000);

  test("an upgrade starts the agent again; one that does not stay up gives its place back to the old one", () => {
    // The installed program is made another, so that the media's is an upgrade.
    const older = [
      "rm /usr/local/bin/tidegate-send",
      "sed 's/write-only/WRITE-ONLY/' /media/bin/linux-x64-musl/tidegate-send > /usr/local/bin/tidegate-send",
      "chmod 755 /usr/local/bin/tidegate-send",
    ];
    const said = script(
      ...older,
      BOOT,
      `until_true '[ -n "${pid}" ]'`,
      `before=${pid}`,
      install("--upgrade"),
      `until_true 'now=${pid}; [ -n "$now" ] && [ "$now" != $before ]'`,
      "echo upgraded",
      "cmp /usr/local/bin/tidegate-send /media/bin/linux-x64-musl/tidegate-send",
      // A program that runs, takes the configuration, and ends at once.
      "mkdir /next; cp -a /media/. /next",
      "program=/next/bin/linux-x64-musl/tidegate-send",
      "rm $program",
      `printf '#!/bin/sh\\ncase $1 in --version) echo tidegate-send 9 ;; check) ;; *) exit 1 ;; esac\\n' > $program`,
      "chmod 755 $program",
      `sed -i "s#.*  \${program#/next/}\\$#$(sha256sum $program | cut -d' ' -f1)  \${program#/next/}#" /next/SHA256SUMS`,
      "busybox sh /next/install.sh send --upgrade --sums $(sha256sum /next/SHA256SUMS | cut -d' ' -f1) || echo status $?",
      "cmp /usr/local/bin/tidegate-send /media/bin/linux-x64-musl/tidegate-send",
      `until_true '[ -n "${pid}" ]'`,
      "echo the old one runs",
    );
    expect(said).toContain("upgraded\n");
    expect(said).not.toContain("does not accept");
    expect(said).toContain(
      "cannot keep the new tidegate-send: it did not become ready (see its log); the old one is started again\nstatus 1\n",
    );
    expect(said).toContain("the old one runs\n");
  }, 60_000);

  test("uninstalling stops it and takes it out of its runlevel", () => {
    const said = script(
      BOOT,
      `until_true '[ -n "${pid}" ]'`,
      // As the operator does it later, when the media lies in a drawer.
      "busybox sh /usr/local/share/tidegate-send/install.sh send --uninstall",
      `echo process ${pid}.`,
      "ls /etc/runlevels/default",
    );
    expect(said).toContain("process .\n");
    expect(said).not.toContain("tidegate-send\n");
    for (const path of [
      "etc/init.d/tidegate-send",
      "usr/local/bin/tidegate-send",
      "etc/logrotate.d/tidegate",
    ])
      expect([path, existsSync(join(root.path, path))]).toEqual([path, false]);
    for (const path of ["etc/tidegate/send.toml", "var/lib/tidegate/send/journal"])
      expect([path, existsSync(join(root.path, path))]).toEqual([path, true]);
  }, 60_000);
});
