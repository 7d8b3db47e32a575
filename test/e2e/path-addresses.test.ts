// Every kind of address that a UDP path can have, on cables whose way back is cut: unicast, broadcast, multicast, IPv4, IPv6
// with a scope, and sockets bound to one interface. All of them at once, so that each is compared with the sender's count.
import { expect, test } from "bun:test";
import { findProgram } from "../support/agents.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { type Namespace, OneWayLink } from "../support/network-namespaces.ts";
import { findFirstDifference, makePayloads } from "../support/payloads.ts";
import { requireTools, toolPath } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";
import type { PathStatus } from "./path-rig.ts";

const ADMIN = { admin: { address: "127.0.0.1:9464" } };
const COUNT = 2000;

/** Gives an interface a link-local IPv6 address that needs nobody's consent. */
function addIpv6(side: Namespace, name: string, address: string): string {
  side.run("/bin/sh", "-c", `echo 0 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`);
  side.run(toolPath("ip"), "-6", "address", "add", `${address}/64`, "dev", name, "nodad");
  return side.run("/bin/cat", `/sys/class/net/${name}/address`).trim();
}

requireTools(["mosquitto", "network namespaces", "ip", "nft"])("UDP paths", () => {
  test("reach unicast, broadcast and multicast addresses of both families, each through its interface", async () => {
    using link = new OneWayLink(2);
    await using site = await Site.open();
    const [first, second] = link.paths;
    if (first === undefined || second === undefined) throw new Error("there must be two cables");
    addIpv6(link.send, first.sendInterface, "fe80::a");
    const hardware = addIpv6(link.recv, first.recvInterface, "fe80::b");
    const neighbour = ["fe80::b", "lladdr", hardware, "dev", first.sendInterface, "nud", "permanent"];
    link.send.run(toolPath("ip"), "-6", "neighbour", "replace", ...neighbour);

    const [s0, s1, r0, r1] = [
      first.sendInterface,
      second.sendInterface,
      first.recvInterface,
      second.recvInterface,
    ];
    const table: [name: string, send: TomlTable, recv: TomlTable][] = [
      ["unicast", { endpoint: `${first.recvAddress}:1001` }, { address: `${first.recvAddress}:1001` }],
      [
        "source",
        { endpoint: `${second.recvAddress}:1002`, local_address: second.sendAddress },
        { address: "0.0.0.0:1002" },
      ],
      ["subnet", { endpoint: "10.77.0.255:1003" }, { address: "0.0.0.0:1003" }],
      [
        "everybody",
        { endpoint: "255.255.255.255:1004", interface: s1 },
        { address: "0.0.0.0:1004", interface: r1 },
      ],
      ["group", { endpoint: "239.7.7.7:1005", interface: s0 }, { address: "239.7.7.7:1005", interface: r0 }],
      [
        "group1",
        { endpoint: "239.7.7.7:1006", interface: s1, multicast_ttl: 3 },
        { address: "239.7.7.7:1006", interface: r1 },
      ],
      ["six", { endpoint: `[fe80::b%${s0}]:1007` }, { address: `[fe80::b%${r0}]:1007` }],
      ["sixgroup", { endpoint: `[ff02::7777%${s0}]:1008` }, { address: `[ff02::7777%${r0}]:1008` }],
      ["sixbound", { endpoint: "[fe80::b]:1009", interface: s0 }, { address: "[::]:1009", interface: r0 }],
      // Bound to the other cable: what is sent on the first one must not arrive.
      ["deaf", { endpoint: "10.77.0.255:1010" }, { address: "0.0.0.0:1010", interface: r1 }],
    ];
    const rate = { type: "udp", rate_mbit_per_second: 20 };
    const plant = await site.startBroker({ before: link.send.before });
    const business = await site.startBroker({ before: link.recv.before });
    const source = { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] };
    site.writeSend([source], {
      ...ADMIN,
      link: { path: table.map(([name, send]) => ({ name, ...rate, ...send })) },
    });
    site.writeRecv({
      ...ADMIN,
      link: { path: table.map(([name, , recv]) => ({ name, type: "udp", ...recv })) },
    });
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const far = site.use(await Collector.start({ door: business.socketPath }));
    const near = site.use(await Publisher.start({ door: plant.socketPath }));
    const recv = site.startRecv({ before: link.recv.before });
    await recv.waitForLog("target connected", ({ msg }) => msg === "target hq is connected");
    const send = site.startSend({ before: link.send.before });
    await send.waitForLog("subscribed", ({ msg }) => msg === "source line is subscribed");
    const tails = () => `${send.tail()}\n${recv.tail()}`;
    await near.publishAll(
      makePayloads(COUNT).map((payload) => ({ topic: "plant/x", payload, options: { qos: 1 } })),
    );
    const messages = await far.waitForCount(COUNT, "plant", tails);
    expect(
      findFirstDifference(
        messages.map(({ payload }) => payload),
        COUNT,
      ),
    ).toBeUndefined();
    const read = (): RecvStatus =>
      JSON.parse(link.recv.run(findProgram("recv"), "status", "--json", "--config", site.recvFile));
    const paths = await waitFor(
      "each path compared",
      20_000,
      () => {
        const all = read().link.paths as unknown as readonly PathStatus[];
        const fits = all.every(({ name, missing, silent }) => (name === "deaf" ? silent : missing === 0));
        return fits && all;
      },
      () => `${JSON.stringify(read().link.paths, null, 1)}\n${tails()}`,
    );
    for (const { name, datagrams, refused } of paths) {
      expect([name, refused]).toEqual([name, {}]);
      if (name === "deaf") expect(datagrams).toBe(0);
      else expect([name, datagrams > 100]).toEqual([name, true]);
    }
    // Joining a group makes the kernel itself announce it; the agent has sent nothing.
    for (const [side, iface] of [
      ["recv", r0],
      ["recv", r1],
    ] as const)
      expect(link[side].run("/bin/cat", `/sys/class/net/${iface}/statistics/tx_packets`).trim()).toBe("0");
  }, 90_000);

  test("refuse an interface that is not there, by name", async () => {
    await using site = await Site.open();
    const source = { name: "line", url: "mqtt://127.0.0.1:1", topics: ["x"] };
    site.writeSend([source], {
      link: { path: [{ type: "udp", endpoint: "127.0.0.1:1", interface: "no-such-cable" }] },
    });
    site.writeRecv({
      link: { path: [{ type: "udp", address: "127.0.0.1:14550", interface: "no-such-cable" }] },
    });
    site.writeTarget("hq", { url: "mqtt://127.0.0.1:1" });
    for (const agent of [site.startSend(), site.startRecv()]) {
      await waitFor("its end", 10_000, () => agent.hasEnded);
      expect(agent.exitStatus).toBe(1);
      expect(agent.stderr).toContain(
        "to interface no-such-cable: there is no network interface no-such-cable",
      );
    }
  }, 30_000);
});
