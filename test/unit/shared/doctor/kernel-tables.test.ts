// The kernel's own tables, as they were printed on a host, read back.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { readInterface } from "../../../../shared/doctor/interface.ts";
import { readArpTable, readNeighbour } from "../../../../shared/doctor/neighbour.ts";
import { findRoute } from "../../../../shared/doctor/route.ts";
import { Workspace } from "../../../support/workspace.ts";

const IPV4 = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t00000A0A\t00000000\t0001\t0\t0\t300\t00FFFFFF\t0\t0\t0
eth2\t00000A0A\t0200000A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0
eth3\t0200000A\t00000000\t0201\t0\t0\t0\tFFFFFFFF\t0\t0\t0
eth4\t00000A0A\t00000000\t0001\t0\t0\t350\t00FFFFFF\t0\t0\t0
`;
const IPV6 = `fd000007000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`;
const tables = { ipv4: IPV4, ipv6: IPV6 };

test.each([
  ["10.10.0.2", { interface: "eth1", gateway: undefined }],
  ["10.10.7.2", { interface: "eth2", gateway: "10.0.0.2" }],
  ["8.8.4.4", { interface: "eth0", gateway: "192.168.0.1" }],
  ["10.0.0.2", { interface: "eth0", gateway: "192.168.0.1" }],
  ["fd00:7::2", { interface: "eth1", gateway: undefined }],
  ["2001:db8::1", { interface: "eth0", gateway: "fe80:0000:0000:0000:0000:0000:0000:0001" }],
])("findRoute() takes the longest prefix, then the lowest metric: %s", (address, route) => {
  expect(findRoute(address, tables)).toEqual(route as never);
});

test("findRoute() finds none where there is none, and takes no text for an address", () => {
  const direct = { ipv4: IPV4.replace(/^eth0.*\n/m, ""), ipv6: "" };
  expect(findRoute("8.8.4.4", direct)).toBeUndefined();
  expect(findRoute("fd00:7::2", direct)).toBeUndefined();
  expect(findRoute("broker.example", tables)).toBeUndefined();
});

test.each([
  ["10.10.0.2 lladdr 02:00:00:00:00:02 PERMANENT \n", "static"],
  ["10.10.0.2 lladdr 02:00:00:00:00:02 NOARP\n", "static"],
  ["fe80::2 lladdr 02:00:00:00:00:02 router STALE\n", "learnt"],
  ["10.10.0.2 lladdr 02:00:00:00:00:02 ref 1 used 0/0/0 probes 1 REACHABLE\n", "learnt"],
  ["10.10.0.2  FAILED\n", "missing"],
  ["10.10.0.2 lladdr 02:00:00:00:00:02 FAILED\n", "missing"],
  ["10.10.0.2  INCOMPLETE\n", "missing"],
  ["", "missing"],
])("readNeighbour() reads what ip says: %j", (text, state) => {
  expect(readNeighbour(text)).toBe(state as never);
});

test("readArpTable() reads the kernel's own table, by address and interface", () => {
  const text = `IP address       HW type     Flags       HW address            Mask     Device
10.10.0.2        0x1         0x6         02:00:00:00:00:02     *        eth1
10.10.0.3        0x1         0x2         02:00:00:00:00:03     *        eth1
10.10.0.4        0x1         0x0         00:00:00:00:00:00     *        eth1
`;
  expect(readArpTable(text, "10.10.0.2", "eth1")).toBe("static");
  expect(readArpTable(text, "10.10.0.2", "eth2")).toBe("missing");
  expect(readArpTable(text, "10.10.0.3", "eth1")).toBe("learnt");
  expect(readArpTable(text, "10.10.0.4", "eth1")).toBe("missing");
  expect(readArpTable("", "10.10.0.2", "eth1")).toBe("missing");
});

const workspace = new Workspace("interfaces");
afterAll(() => workspace.remove());

test("readInterface() reads flags, link, size and speed, and knows what the kernel does not tell", () => {
  const put = (name: string, files: Record<string, string>) => {
    mkdirSync(workspace.path(name));
    for (const [file, text] of Object.entries(files))
      writeFileSync(workspace.path(`${name}/${file}`), `${text}\n`);
  };
  put("eth1", { flags: "0x1003", mtu: "1500", carrier: "1", speed: "1000" });
  put("eth2", { flags: "0x1002", mtu: "9000" });
  put("veth", { flags: "0x1003", mtu: "1500", carrier: "0", speed: "-1" });
  put("lo", { flags: "0x9", mtu: "65536" });
  put("ppp0", { flags: "0x1011", mtu: "1492" });
  put("tun0", { flags: "0x1081", mtu: "1400", carrier: "1", speed: "10" });
  const read = (name: string) => readInterface(name, workspace.directory);
  const eth1 = { name: "eth1", isUp: true, hasCarrier: true, mtuBytes: 1500, mbitPerSecond: 1000 };
  expect(read("eth1")).toEqual({ ...eth1, needsNoAddress: false });
  expect(read("eth2")).toMatchObject({ isUp: false, mtuBytes: 9000 });
  expect(read("eth2")?.hasCarrier).toBeUndefined();
  expect(read("veth")).toMatchObject({ hasCarrier: false, needsNoAddress: false });
  expect(read("veth")?.mbitPerSecond).toBeUndefined();
  expect(read("tun0")).toMatchObject({ needsNoAddress: true, mbitPerSecond: 10 });
  for (const name of ["lo", "ppp0"]) expect(read(name)).toMatchObject({ needsNoAddress: true });
  expect(read("eth9")).toBeUndefined();
});
