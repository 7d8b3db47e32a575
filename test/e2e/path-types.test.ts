// Every type of path, end to end from the compiled programs, over loopback: alone while it is disturbed, and side by side with
// others, one of which dies. Nothing may be lost, come twice, or come out of order.
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { findFreeTcpPort, findFreeUdpPort } from "../support/ports.ts";
import { requireTools, toolPath } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { UdpRelay } from "../support/udp-relay.ts";
import { DirectoryMover } from "./directory-mover.ts";
import { PathRig } from "./path-rig.ts";
import { TcpRelay } from "./tcp-relay.ts";

const RATE = { rate_mbit_per_second: 20 };
const TEST_MS = 90_000;
const MANY = 3000;

/** A named pipe in the site's directory. */
function makeFifo(site: Site, name: string): string {
  const path = site.workspace.path(name);
  Bun.spawnSync([toolPath("mkfifo"), path]);
  return path;
}

requireTools(["mosquitto"])("two UDP paths", () => {
  test(
    "lose nothing when one of them dies, and the receiver says which",
    async () => {
      await using site = await Site.open();
      const direct = await findFreeUdpPort();
      const relayed = await findFreeUdpPort();
      const relay = site.use(await UdpRelay.start(relayed));
      const rig = await PathRig.start(site, {
        send: [direct, relay.port].map((port) => ({ type: "udp", endpoint: `127.0.0.1:${port}`, ...RATE })),
        recv: [direct, relayed].map((port) => ({
          type: "udp",
          address: `127.0.0.1:${port}`,
          silent_after_seconds: 2,
        })),
      });
      await rig.publish(MANY);
      await rig.expectAll();
      const before = await rig.readPaths("both paths compared", (paths) =>
        paths.every(({ missing }) => missing === 0),
      );
      expect(before.map(({ silent }) => silent)).toEqual([false, false]);

      relay.cut();
      await rig.publish(MANY);
      await rig.expectAll();
      await rig.recv.waitForLog("the silent path", ({ msg }) => msg.startsWith("path path-2 is silent: "));
      const [one, two] = await rig.readPaths(
        "one path missing something",
        ([, second]) => second?.silent === true,
      );
      expect(one).toMatchObject({ silent: false, missing: 0 });

      relay.mend();
      await rig.recv.waitForLog("its return", ({ msg }) => msg === "path path-2 brings something again");
      const after = await rig.readPaths("what it missed", ([, second]) => (second?.missing ?? 0) > 0);
      expect(after[0]).toMatchObject({ silent: false, missing: 0 });
      expect(after[1]?.silent).toBe(false);
      expect(after[1]?.missing).toBe(relay.dropped);
      expect(two?.first).toBeLessThanOrEqual(two?.datagrams ?? 0);
    },
    TEST_MS,
  );
});

requireTools(["mosquitto"])("a TCP path", () => {
  test(
    "loses nothing when its relay closes the connection again and again",
    async () => {
      await using site = await Site.open();
      const port = await findFreeTcpPort();
      const relay = site.use(await TcpRelay.start(port));
      const rig = await PathRig.start(site, {
        send: [{ type: "tcp", endpoint: `127.0.0.1:${relay.port}`, ...RATE }],
        recv: [{ type: "tcp", address: `127.0.0.1:${port}` }],
        recvLink: { patience_ms: 10_000 },
      });
      for (let round = 0; round < 5; round++) {
        const seen = relay.bytes;
        const publishing = rig.publish(MANY / 5);
        await rig.waitFor("bytes through the relay", () => relay.bytes > seen + 20_000);
        relay.closeAll();
        await publishing;
      }
      await rig.expectAll();
      const [path] = await rig.readPaths("the connections", ([only]) => (only?.events.connections ?? 0) >= 5);
      expect(path?.refused).toEqual({});
    },
    TEST_MS,
  );

  test(
    "beside a UDP path holds nobody up while it cannot connect, and joins in when it can",
    async () => {
      await using site = await Site.open();
      const udp = await findFreeUdpPort();
      const tcp = await findFreeTcpPort();
      const relay = site.use(await TcpRelay.start(tcp));
      const relayPort = relay.port;
      const rig = await PathRig.start(site, {
        send: [
          { type: "udp", endpoint: `127.0.0.1:${udp}`, ...RATE },
          { type: "tcp", endpoint: `127.0.0.1:${relayPort}`, ...RATE },
        ],
        recv: [
          { type: "udp", address: `127.0.0.1:${udp}` },
          { type: "tcp", address: `127.0.0.1:${tcp}`, silent_after_seconds: 2 },
        ],
      });
      relay.refuse();
      await rig.publish(MANY);
      await rig.expectAll();
      await rig.recv.waitForLog("the silent path", ({ msg }) => msg.startsWith("path path-2 is silent: "));
      await rig.send.waitForLog("why", ({ msg }) =>
        msg.includes("path-2 takes no datagrams: cannot connect"),
      );
      await relay.accept(relayPort);
      await rig.recv.waitForLog("its return", ({ msg }) => msg === "path path-2 brings something again");
      await rig.publish(MANY);
      await rig.expectAll();
    },
    TEST_MS,
  );

  test(
    "refuses connections over its limit, closes idle ones, and takes garbage for what it is",
    async () => {
      await using site = await Site.open();
      const port = await findFreeTcpPort();
      const rig = await PathRig.start(site, {
        send: [{ type: "tcp", endpoint: `127.0.0.1:${port}`, ...RATE }],
        recv: [{ type: "tcp", address: `127.0.0.1:${port}`, connections_max: 3, idle_seconds: 2 }],
      });
      const strangers = Array.from({ length: 5 }, () =>
        Bun.connect({
          hostname: "127.0.0.1",
          port,
          socket: {
            open: (socket) => void socket.write("TGD1 is not all it takes\n".repeat(100)),
            data: () => {},
          },
          // Refused at once, before it knew that it was connected.
        }).catch(() => undefined),
      );
      await Promise.all(strangers);
      await rig.publish(MANY);
      await rig.expectAll();
      const [path] = await rig.readPaths(
        "strangers refused and closed",
        ([only]) => (only?.events.connections_refused ?? 0) >= 3 && (only?.events.connections_idle ?? 0) >= 2,
      );
      expect(path?.skippedBytes.length ?? 0).toBeGreaterThan(0);
      for (const stranger of await Promise.all(strangers)) stranger?.terminate();
    },
    TEST_MS,
  );
});

requireTools(["mosquitto", "mkfifo", "cat", "sh"])("a pipe path", () => {
  test(
    "loses nothing when the programs at both ends are killed again and again",
    async () => {
      await using site = await Site.open();
      const fifo = makeFifo(site, "link.fifo");
      const pids = site.workspace.path("pids");
      const note = `echo $$ >> ${pids}; exec cat`;
      const rig = await PathRig.start(site, {
        send: [{ type: "pipe", command: ["sh", "-c", `${note} > ${fifo}`], ...RATE }],
        recv: [{ type: "pipe", command: ["sh", "-c", `${note} ${fifo}`] }],
        recvLink: { patience_ms: 10_000 },
      });
      for (let round = 0; round < 4; round++) {
        await rig.publish(MANY / 10);
        const running = readFileSync(pids, "utf8").trim().split("\n").map(Number);
        const victim = running.at(-1 - (round % 2)) ?? 0;
        if (isRunning(victim)) process.kill(victim, "SIGKILL");
        await rig.waitFor(
          "a new program",
          () => readFileSync(pids, "utf8").trim().split("\n").length > running.length,
        );
        await rig.publish(MANY / 10);
      }
      await rig.expectAll();
    },
    TEST_MS,
  );

  test(
    "writes to and reads from one named pipe, and waits for either side to come back",
    async () => {
      await using site = await Site.open();
      const fifo = makeFifo(site, "link.fifo");
      const rig = await PathRig.start(site, {
        send: [{ type: "pipe", device: fifo, ...RATE }],
        recv: [{ type: "pipe", device: fifo }],
        recvLink: { patience_ms: 10_000 },
      });
      await rig.publish(MANY);
      await rig.expectAll();
      await rig.recv.stop();
      await rig.send.waitForLog("nobody reads", ({ msg }) => msg.includes("takes no datagrams"));
      await rig.publish(100);
      rig.recv = await waitUntilReady(site.startRecv());
      await rig.expectAll();
      await rig.send.stop();
      rig.send = await waitUntilReady(site.startSend());
      await rig.publish(100);
      await rig.expectAll();
    },
    TEST_MS,
  );

  test(
    "says on both sides what keeps it from working",
    async () => {
      await using site = await Site.open();
      const port = await findFreeUdpPort();
      const file = site.workspace.write("plain", "");
      site.writeSend([], {
        link: {
          path: [
            { type: "udp", endpoint: `127.0.0.1:${port}` },
            { type: "pipe", command: ["no-such-program-anywhere"] },
            { type: "pipe", device: file },
          ],
        },
        source: [{ name: "line", type: "subscribe", url: "mqtt://127.0.0.1:1", topics: ["x"] }],
      });
      site.writeRecv({
        link: {
          path: [
            { type: "udp", address: `127.0.0.1:${port}` },
            { type: "pipe", command: ["false"] },
            { type: "pipe", device: site.workspace.path("not-there") },
          ],
        },
      });
      site.writeTarget("hq", { url: "mqtt://127.0.0.1:1" });
      const recv = site.startRecv();
      const send = site.startSend();
      await send.waitForLog("no program", ({ msg }) => msg.includes("cannot start no-such-program-anywhere"));
      await send.waitForLog("no device", ({ msg }) => msg.includes("is neither a device nor a named pipe"));
      await recv.waitForLog("its end", ({ msg }) => msg.includes("false has ended with status 1"));
      await recv.waitForLog("no file", ({ msg }) => msg.includes("there is no such file"));
    },
    TEST_MS,
  );
});

requireTools(["mosquitto"])("a directory path", () => {
  test(
    "brings everything in order however the files are moved: bit by bit, twice, in any order",
    async () => {
      await using site = await Site.open();
      for (const name of ["outbox", "inbox", "done"]) mkdirSync(site.workspace.path(name));
      const mover = site.use(
        new DirectoryMover(site.workspace.path("outbox"), site.workspace.path("inbox"), 7),
      );
      const rig = await PathRig.start(site, {
        send: [
          { type: "directory", directory: "outbox", file_seconds: 0.2, file_bytes_max: 65_536, ...RATE },
        ],
        recv: [
          {
            type: "directory",
            directory: "inbox",
            poll_seconds: 0.1,
            settle_seconds: 1,
            after_pickup: "move",
            move_directory: "done",
          },
        ],
        recvLink: { patience_ms: 60_000 },
      });
      mover.start();
      for (let round = 0; round < 5; round++) {
        await rig.publish(MANY / 5);
        const moved = mover.moved;
        await rig.waitFor("a file moved", () => mover.moved > moved);
      }
      await rig.expectAll(60_000);
      const [path] = await rig.readPaths("files read", ([only]) => (only?.events.files ?? 0) >= mover.moved);
      expect(path?.problem).toBeNull();
      expect(path?.refused).toEqual({});
    },
    TEST_MS,
  );

  test(
    "takes what is whole of a file that was cut, leaves strange ones alone, and never follows a link",
    async () => {
      await using site = await Site.open();
      for (const name of ["outbox", "inbox"]) mkdirSync(site.workspace.path(name));
      const mover = site.use(
        new DirectoryMover(site.workspace.path("outbox"), site.workspace.path("inbox"), 11),
      );
      const stranger = site.workspace.write("inbox/notes.txt", "not ours");
      const secret = site.workspace.write("secret", "s".repeat(1000));
      const name = `plant-7_${"0".repeat(16)}_${"0".repeat(10)}.tgd`;
      Bun.spawnSync(["ln", "-s", secret, site.workspace.path(`inbox/${name}`)]);
      const other = site.workspace.write(`inbox/${name.replace("plant-7", "plant-8")}`, "another link");
      const rig = await PathRig.start(site, {
        send: [{ type: "directory", directory: "outbox", file_seconds: 0.2, ...RATE }],
        recv: [{ type: "directory", directory: "inbox", poll_seconds: 0.1, settle_seconds: 0.5 }],
        sendLink: { repair_percent: 100 },
        recvLink: { patience_ms: 60_000 },
      });
      mover.cutLastBytes = 20;
      mover.start();
      await rig.publish(500);
      await rig.expectAll(60_000);
      const [path] = await rig.readPaths(
        "cut files",
        ([only]) => (only?.events.files_cut ?? 0) > 0 && only?.events.files_refused === 1,
      );
      expect(path?.skippedBytes.cut).toBeGreaterThan(0);
      for (const left of [stranger, secret, other, site.workspace.path(`inbox/${name}`)])
        expect(readFileSync(left, "utf8").length).toBeGreaterThan(0);
    },
    TEST_MS,
  );

  test(
    "keeps messages in the journal while the outbox is full, and finishes what a killed run has left",
    async () => {
      await using site = await Site.open();
      for (const name of ["outbox", "inbox"]) mkdirSync(site.workspace.path(name));
      const mover = site.use(
        new DirectoryMover(site.workspace.path("outbox"), site.workspace.path("inbox"), 3),
      );
      const rig = await PathRig.start(site, {
        send: [{ type: "directory", directory: "outbox", file_seconds: 0.2, outbox_files_max: 2, ...RATE }],
        recv: [{ type: "directory", directory: "inbox", poll_seconds: 0.1 }],
        recvLink: { patience_ms: 60_000 },
      });
      await rig.send.waitForLog("a full outbox", ({ msg }) => msg.includes("is full: is anybody taking"));
      await rig.publish(500);
      mover.start();
      await rig.expectAll();
      await rig.publish(500);
      await rig.waitForSent();
      await rig.send.kill();
      rig.send = site.startSend();
      await rig.expectAll();
    },
    TEST_MS,
  );
});

requireTools(["mosquitto", "mkfifo"])("paths of all types at once", () => {
  test(
    "lose nothing while one after another is taken away",
    async () => {
      await using site = await Site.open();
      for (const name of ["outbox", "inbox"]) mkdirSync(site.workspace.path(name));
      const mover = site.use(
        new DirectoryMover(site.workspace.path("outbox"), site.workspace.path("inbox"), 5),
      );
      mover.start();
      const fifo = makeFifo(site, "link.fifo");
      const udp = await findFreeUdpPort();
      const tcp = await findFreeTcpPort();
      const udpRelay = site.use(await UdpRelay.start(udp));
      const tcpRelay = site.use(await TcpRelay.start(tcp));
      const rig = await PathRig.start(site, {
        send: [
          { name: "cable", type: "udp", endpoint: `127.0.0.1:${udpRelay.port}`, ...RATE },
          { name: "relay", type: "tcp", endpoint: `127.0.0.1:${tcpRelay.port}`, ...RATE },
          { name: "serial", type: "pipe", device: fifo, ...RATE },
          { name: "courier", type: "directory", directory: "outbox", file_seconds: 0.2, ...RATE },
        ],
        recv: [
          { name: "cable", type: "udp", address: `127.0.0.1:${udp}` },
          { name: "relay", type: "tcp", address: `127.0.0.1:${tcp}` },
          { name: "serial", type: "pipe", device: fifo },
          { name: "courier", type: "directory", directory: "inbox", poll_seconds: 0.1 },
        ],
        recvLink: { patience_ms: 20_000 },
      });
      await rig.publish(1000);
      await rig.expectAll();
      udpRelay.cut();
      await rig.publish(1000);
      await rig.expectAll();
      tcpRelay.closeAll();
      tcpRelay.refuse();
      await rig.publish(1000);
      await rig.expectAll();
      const paths = await rig.readPaths("all of them used", (all) =>
        all.every(({ datagrams }) => datagrams > 0),
      );
      expect(paths.map(({ name, type }) => `${name} ${type}`)).toEqual([
        "cable udp",
        "relay tcp",
        "serial pipe",
        "courier directory",
      ]);
    },
    TEST_MS,
  );
});

function isRunning(pid: number): boolean {
  try {
    return pid > 1 && process.kill(pid, 0);
  } catch {
    return false;
  }
}
