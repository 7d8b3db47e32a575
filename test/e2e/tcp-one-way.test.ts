// A look over the agents' shoulders at a TCP path: the send agent reads nothing although the other end talks to it without
// pause, and the kernel does not even take it in; the recv agent writes nothing.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools, toolPath } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { PathRig } from "./path-rig.ts";
import { TcpRelay } from "./tcp-relay.ts";

const READS = /^\d+ +(read|readv|recv|recvfrom|recvmsg|recvmmsg)\(/;
const WRITES = /^\d+ +(write|writev|send|sendto|sendmsg|sendmmsg|sendfile|splice)\(/;

/** Lines of a trace about connections of which one end has this port; each half of an interrupted call counts. */
function readCalls(file: string, port: number): string[] {
  const text = readFileSync(file, "utf8");
  const end = new RegExp(`:${port}\\b`);
  return text.split("\n").filter((line) => line.includes("<TCP") && end.test(line));
}

requireTools(["mosquitto", "strace"])("a TCP path", () => {
  test("is only written to by the send agent and only read by the recv agent, whoever talks back", async () => {
    await using site = await Site.open();
    const port = await findFreeTcpPort();
    const relay = site.use(await TcpRelay.start(port));
    relay.talksBack = true;
    const watch = (file: string) => [
      toolPath("strace"),
      ...["-f", "-yy", "-qq", "-s", "8", "-o", site.workspace.path(file)],
      ...["-e", "trace=%network,%desc"],
    ];
    const rig = await PathRig.start(site, {
      send: [{ type: "tcp", endpoint: `127.0.0.1:${relay.port}`, rate_mbit_per_second: 20 }],
      recv: [{ type: "tcp", address: `127.0.0.1:${port}` }],
      before: { send: watch("send.trace"), recv: watch("recv.trace") },
    });
    await rig.publish(300);
    await rig.expectAll();
    expect(relay.bytesBack).toBeGreaterThan(10_000);

    const sent = readCalls(site.workspace.path("send.trace"), relay.port);
    expect(sent.filter((line) => WRITES.test(line)).length).toBeGreaterThan(0);
    expect(sent.filter((line) => READS.test(line))).toEqual([]);
    const received = readCalls(site.workspace.path("recv.trace"), port);
    expect(received.filter((line) => READS.test(line)).length).toBeGreaterThan(0);
    expect(received.filter((line) => WRITES.test(line))).toEqual([]);
    // What the other end says waits there: the send agent's kernel has acknowledged not one byte of it.
    const queues = readFileSync("/proc/net/tcp", "utf8").split("\n");
    const hex = relay.port.toString(16).toUpperCase().padStart(4, "0");
    const near = queues.find(
      (line) => line.trim().split(/\s+/)[2]?.endsWith(`:${hex}`) && line.includes(" 01 "),
    );
    expect(near?.trim().split(/\s+/)[4]?.split(":")[1]).toBe("00000000");
  }, 90_000);
});
