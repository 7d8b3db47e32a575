// Shows that the diode made of network namespaces lets traffic through one way, counts what tries to come
// back, loses what it is told to lose, and leaves nothing behind.
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { type Namespace, OneWayLink } from "../support/network-namespaces.ts";
import { requireTools, toolPath } from "../support/requirements.ts";
import { waitFor } from "../support/wait.ts";

const PORT = 14550;
const RECEIVE = `const s = require("node:dgram").createSocket("udp4"); let n = 0;
s.on("message", () => console.log(++n)); s.bind(${PORT}, process.argv[1], () => console.log("bound"));`;
const SEND = `const s = require("node:dgram").createSocket("udp4"); let left = Number(process.argv[2]);
const next = () => left-- > 0 ? s.send("x", ${PORT}, process.argv[1], next) : s.close(); next();`;

type Listener = { count(): number; ready(): boolean; stop(): void };

function listen(namespace: Namespace, address: string): Listener {
  const child = namespace.spawn(process.execPath, "-e", RECEIVE, address);
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (more: string) => {
    text += more;
  });
  return {
    count: () => Number(text.trim().split("\n").at(-1)) || 0,
    ready: () => text.includes("bound"),
    stop: () => child.kill("SIGKILL"),
  };
}

function send(namespace: Namespace, address: string, count: number): void {
  namespace.run(process.execPath, "-e", SEND, address, String(count));
}

function pathOf(link: OneWayLink, index = 0): { sendAddress: string; recvAddress: string } {
  const path = link.paths[index];
  if (path === undefined) throw new Error(`cannot find path ${index}`);
  return path;
}

requireTools(["ip", "nft", "network namespaces"])("OneWayLink", () => {
  test("OneWayLink carries datagrams over and none back, and counts the attempts", async () => {
    using link = new OneWayLink();
    const { sendAddress, recvAddress } = pathOf(link);
    const there = listen(link.recv, recvAddress);
    const back = listen(link.send, sendAddress);
    await waitFor("both listeners", 10_000, () => there.ready() && back.ready());
    expect(link.countWayBack()).toBe(0);
    send(link.send, recvAddress, 10);
    await waitFor("ten datagrams", 10_000, () => there.count() === 10);
    expect(link.countWayBack()).toBe(0);
    link.recv.run(
      toolPath("ip"),
      "neighbour",
      "replace",
      sendAddress,
      "lladdr",
      "02:00:00:00:00:01",
      "dev",
      "lo",
    );
    try {
      send(link.recv, sendAddress, 3);
    } catch {
      // The kernel may tell the sender that its packet was dropped.
    }
    await waitFor("attempts to be counted", 10_000, () => link.countWayBack() > 0);
    expect(back.count()).toBe(0);
    there.stop();
    back.stop();
  });

  test("OneWayLink.setLossPermille() loses all, some or nothing", async () => {
    using link = new OneWayLink(2);
    const { recvAddress } = pathOf(link, 1);
    const there = listen(link.recv, recvAddress);
    await waitFor("the listener", 10_000, () => there.ready());
    link.setLossPermille(1000, 1);
    send(link.send, recvAddress, 50);
    link.setLossPermille(500, 1);
    send(link.send, recvAddress, 200);
    link.setLossPermille(0, 1);
    send(link.send, recvAddress, 10);
    await waitFor("the last ten datagrams", 10_000, () => there.count() >= 60);
    expect(there.count()).toBeWithin(60, 160);
    there.stop();
  });

  test("OneWayLink.setPath() pulls one cable and plugs it in again", async () => {
    using link = new OneWayLink();
    const { recvAddress } = pathOf(link);
    const there = listen(link.recv, recvAddress);
    await waitFor("the listener", 10_000, () => there.ready());
    link.setPath(0, "down");
    send(link.send, recvAddress, 5);
    link.setPath(0, "up");
    await waitFor("a datagram after the cable is back", 10_000, () => {
      send(link.send, recvAddress, 1);
      return there.count() > 0;
    });
    there.stop();
  });

  test("OneWayLink.remove() leaves no namespace behind", () => {
    const link = new OneWayLink();
    const list = (): string => spawnSync(toolPath("ip"), ["netns", "list"], { encoding: "utf8" }).stdout;
    expect(list()).toContain(link.send.name);
    link.remove();
    expect(list()).not.toContain(link.send.name);
    expect(list()).not.toContain(link.recv.name);
  });
});
