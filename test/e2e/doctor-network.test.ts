// `doctor` of both sides on the two ends of a one-way link: neighbour entries, links that are down, sizes, routes. Each in turn is made wrong, told,
// and mended.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type AgentName, runProgram } from "../support/agents.ts";
import { type Namespace, OneWayLink } from "../support/network-namespaces.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";

const like = (pattern: string) => expect.stringMatching(new RegExp(pattern)) as string;

requireTools(["ip", "nft", "network namespaces"])("doctor on a one-way link", () => {
  let cable: OneWayLink;
  let site: Site;
  beforeAll(async () => {
    cable = new OneWayLink();
    site = await Site.open();
  });
  afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
    cable?.remove();
  });

  /** The lines about the path; what it says of brokers, which are not there, does not matter here. */
  const examine = (agent: AgentName, where: Namespace): string[] => {
    const file = agent === "send" ? site.sendFile : site.recvFile;
    const { stdout, stderr } = runProgram(agent, ["doctor", "--config", file], { before: where.before });
    const lines = stdout.split("\n").filter((line) => line.includes("path path-1: "));
    if (lines.length === 0) throw new Error(stderr);
    return lines;
  };
  const near = () => cable.paths[0] ?? expect.unreachable();

  const writeSend = (over: object) =>
    site.writeSend([{ name: "line", url: "mqtt://127.0.0.1:1", topics: ["#"], connect_timeout_seconds: 1 }], {
      link: {
        path: [{ type: "udp", endpoint: `${near().recvAddress}:14550`, rate_mbit_per_second: 10, ...over }],
      },
    });

  test("tidegate-send tells what keeps datagrams from leaving", () => {
    const { sendInterface, recvAddress, recvInterface, sendAddress } = near();
    const { send, recv } = cable;
    writeSend({});
    const fine = `ok    path path-1: ${recvAddress}:14550 can be opened, by ${sendInterface}, MTU 1500, send buffer `;
    expect(examine("send", send)).toEqual([expect.stringContaining(fine)]);

    send.run("ip", "neighbour", "del", recvAddress, "dev", sendInterface);
    expect(examine("send", send)).toEqual([
      like(
        `FAIL .*${recvAddress} has no neighbour entry on ${sendInterface}, .*: ip neigh replace ${recvAddress} lladdr HARDWARE-ADDRESS dev ${sendInterface} nud permanent`,
      ),
    ]);
    const hardware = recv.run("cat", `/sys/class/net/${recvInterface}/address`).trim();
    const entry = [
      "ip",
      "neighbour",
      "replace",
      recvAddress,
      "lladdr",
      hardware,
      "dev",
      sendInterface,
      "nud",
    ];
    send.run(...entry, "reachable");
    expect(examine("send", send)[1]).toMatch(/^warn .*was learnt from an answer, which no diode gives/);
    send.run(...entry, "permanent");

    send.run("ip", "link", "set", sendInterface, "mtu", "1300");
    expect(examine("send", send)[1]).toMatch(
      /^warn .*more than the MTU 1300 .*set datagram_bytes = 1272, or ip link set/,
    );
    send.run("ip", "link", "set", sendInterface, "mtu", "1500");

    cable.setPath(0, "down");
    expect(examine("send", send)).toEqual([like(`FAIL .*interface ${sendInterface} has no carrier`)]);
    cable.setPath(0, "up");
    send.run(...entry, "permanent");

    writeSend({ rate_mbit_per_second: 10_000 });
    const wmemMax = Number(readFileSync("/proc/sys/net/core/wmem_max", "utf8"));
    const fast = examine("send", send);
    const small = fast.filter((line) => line.includes("sysctl -w net.core.wmem_max=4194304"));
    expect(small).toHaveLength(wmemMax < 4_194_304 ? 1 : 0);
    expect(fast.filter((line) => line.includes("keep up with datagrams of 1400 bytes"))).toHaveLength(1);
    writeSend({ rate_mbit_per_second: 0.0096 });
    expect(examine("send", send)).toEqual([
      like("warn .*1400 bytes takes 1.2 s at this rate.*set datagram_bytes = 200"),
      like("^ok "),
    ]);

    writeSend({ endpoint: "198.51.100.7:14550" });
    expect(examine("send", send)).toEqual([expect.stringContaining("no route leads to 198.51.100.7:14550")]);
    // By a router, which answers for itself.
    send.run("ip", "route", "add", "default", "via", recvAddress);
    expect(examine("send", send)[0]).toContain(`by ${sendInterface} and the router ${recvAddress}`);
    send.run("ip", "route", "del", "default");
    // What is for many needs no neighbour.
    send.run("ip", "route", "add", "239.0.0.0/8", "dev", sendInterface);
    writeSend({ endpoint: "239.7.7.7:14550" });
    expect(examine("send", send)).toEqual([expect.stringMatching(/^ok .*239\.7\.7\.7:14550 can be opened/)]);
    writeSend({ endpoint: `${sendAddress.replace(/1$/, "255")}:14550` });
    expect(examine("send", send)).toEqual([expect.stringMatching(/^ok .*255:14550 can be opened/)]);
    send.run("ip", "link", "set", sendInterface, "down");
    writeSend({ interface: sendInterface });
    expect(examine("send", send)).toEqual([like(`FAIL .*interface ${sendInterface} is down`)]);
    send.run("ip", "link", "set", sendInterface, "up");
  }, 90_000);

  test("tidegate-recv tells what keeps datagrams from arriving", () => {
    const { recvInterface, recvAddress } = near();
    const { recv } = cable;
    const set = (name: string, value: number) =>
      recv.run("sh", "-c", `echo ${value} > /proc/sys/net/ipv4/conf/${name}/rp_filter`);
    for (const name of ["all", recvInterface]) set(name, 0);
    site.writeRecv({
      link: { path: [{ type: "udp", address: `${recvAddress}:14550`, receive_buffer_bytes: 212_992 }] },
    });
    site.writeTarget("hq", { url: "mqtt://127.0.0.1:1", connect_timeout_seconds: 1 });
    const wrong = () =>
      examine("recv", recv).filter((line) => !/^ok|receive_buffer_bytes|receive buffer/.test(line));
    expect(wrong()).toEqual([]);
    // A veth pair says that it runs at 10 Gbit/s, which so small a buffer is not for.
    expect(
      examine("recv", recv).filter((line) => line.includes("receive_buffer_bytes = 212992")),
    ).toHaveLength(1);
    set("all", 1);
    expect(wrong()).toEqual([like(`warn .*drops datagrams on ${recvInterface} whose sender's`)]);
    set("all", 0);
    recv.run("ip", "link", "set", recvInterface, "mtu", "1280");
    expect(wrong()).toEqual([expect.stringContaining("the sender's datagram_bytes must be 1252 at most")]);
    recv.run("ip", "link", "set", recvInterface, "mtu", "1500");
    recv.run("ip", "link", "set", recvInterface, "down");
    expect(wrong()).toEqual([like(`FAIL .*no interface that is up has the address ${recvAddress}`)]);
    site.writeRecv({ link: { path: [{ type: "udp", address: "0.0.0.0:14550", interface: recvInterface }] } });
    expect(wrong()).toEqual([like(`FAIL .*interface ${recvInterface} is down`)]);
  }, 60_000);
});
