// What the receiver's doctor makes of an interface and of the kernel's settings.
import { expect, test } from "bun:test";
import { judgeInterfaces } from "../../../../../agents/recv/doctor/interfaces.ts";
import type { UdpRecvPath } from "../../../../../agents/recv/path-config.ts";
import type { InterfaceFacts } from "../../../../../shared/doctor/interface.ts";

const path: UdpRecvPath = {
  type: "udp",
  name: "path-1",
  silentAfterMs: 5000,
  address: { host: "0.0.0.0", port: 14_550 },
  interface: "eth1",
  receiveBufferBytes: 8_388_608,
};
const eth1: InterfaceFacts = {
  name: "eth1",
  isUp: true,
  hasCarrier: true,
  mtuBytes: 1500,
  mbitPerSecond: 100,
  needsNoAddress: false,
};
const kernel: Record<string, number> = {
  "net.core.netdev_max_backlog": 1000,
  "net.ipv4.conf.all.rp_filter": 0,
  "net.ipv4.conf.eth1.rp_filter": 2,
};
const judge = (facts: Partial<InterfaceFacts>, settings: Record<string, number> = {}, over = path) =>
  judgeInterfaces(over, [{ ...eth1, ...facts }], (name) => ({ ...kernel, ...settings })[name]).map(
    ({ level, sentence }) => `${level} ${sentence}`,
  );

test("judgeInterfaces() finds nothing wrong with 100 Mbit/s, and nothing where the kernel tells nothing", () => {
  expect(judge({})).toEqual([]);
  expect(judge({ mbitPerSecond: undefined, hasCarrier: undefined })).toEqual([]);
  expect(judgeInterfaces(path, [], () => undefined)).toEqual([]);
});

test.each([
  [{ isUp: false }, {}, "fail interface eth1 is down; ip link set eth1 up"],
  [{ hasCarrier: false }, {}, "fail interface eth1 has no carrier; "],
  [
    { mtuBytes: 1280 },
    {},
    "warn the MTU of eth1 is 1280: larger packets do not arrive, so the sender's datagram_bytes must be 1252",
  ],
  [
    {},
    { "net.ipv4.conf.eth1.rp_filter": 1, "net.ipv4.conf.all.rp_filter": 0 },
    "warn the kernel drops datagrams on eth1",
  ],
])("judgeInterfaces() tells of one thing at a time, with what to do: %j %j", (facts, settings, says) => {
  const found = judge(facts, settings);
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(says);
});

test("judgeInterfaces() holds the buffer and the backlog against the speed of the interface", () => {
  expect(judge({ mbitPerSecond: 1000 })).toEqual([
    expect.stringMatching(/^fine .*1000 Mbit\/s: a link as fast wants receive_buffer_bytes = 16777216/),
    expect.stringMatching(/^fine .*net\.core\.netdev_max_backlog=5000, now 1000/),
  ]);
  const fast = judge({ mbitPerSecond: 10_000 });
  expect(fast).toEqual([
    expect.stringMatching(/^warn .*holds less than 8 ms of the 10000 Mbit\/s .*set 67108864, and sysctl/),
    expect.stringMatching(/^fine .*netdev_max_backlog=30000/),
  ]);
  const larger = { ...path, receiveBufferBytes: 67_108_864 };
  expect(judge({ mbitPerSecond: 10_000 }, { "net.core.netdev_max_backlog": 30_000 }, larger)).toEqual([]);
  expect(judge({}, {}, { ...path, receiveBufferBytes: 65_536 })[0]).toContain("set 100000, and sysctl");
  // Loose wins over strict, as the larger number counts.
  expect(judge({}, { "net.ipv4.conf.all.rp_filter": 1, "net.ipv4.conf.eth1.rp_filter": 2 })).toEqual([]);
});
