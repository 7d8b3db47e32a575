// Whether datagrams of a UDP path can leave this host: name, interface, neighbour, size, buffer, speed. The socket is opened as the agent opens
// it, and nothing is written to it.
import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { formatEndpoint } from "../../../shared/config/endpoint.ts";
import type { Finding } from "../../../shared/doctor/finding.ts";
import { showBytes } from "../../../shared/doctor/host.ts";
import { type InterfaceFacts, readInterface } from "../../../shared/doctor/interface.ts";
import { askNeighbour, askRoute } from "../../../shared/doctor/kernel.ts";
import { isBroadcast, isMulticast } from "../link/address-kind.ts";
import { openUdpSender } from "../link/udp-path.ts";
import type { UdpSendPath } from "../path-config.ts";

/** Up to here any buffer does: what does not fit waits for its turn (docs/speeds.md). */
const SMALL_BUFFER_MBIT = 1000;
const LOOPBACK = "lo";
const UDP_HEADER_BYTES = 8;
const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;

/** The first finding says that the path can be opened, or why not; the others only what is wrong. */
export async function checkUdpPath(path: UdpSendPath, datagramBytes: number): Promise<Finding[]> {
  const subject = `path ${path.name}`;
  const shown = formatEndpoint(path.endpoint);
  const fail = (sentence: string): Finding => ({ level: "fail", subject, sentence });
  const found = await lookup(path.endpoint.host).catch(() => undefined);
  if (found === undefined)
    return [fail(`the name ${path.endpoint.host} has no address; write the address into endpoint`)];
  const family = found.family === 6 ? 6 : 4;
  let granted: number | undefined;
  let wanted: number;
  try {
    const sender = await openUdpSender(path, () => {});
    [granted, wanted] = [sender.sendBufferBytes, sender.sendBufferBytesWanted];
    const { deaf } = sender;
    await sender.close();
    if (!deaf)
      return [fail("the kernel filter against input could not be set; the kernel is too old for it")];
  } catch (error) {
    return [fail(error instanceof Error ? error.message : String(error))];
  }
  const { address } = found;
  const route = askRoute(address);
  const name = path.interface ?? address.split("%")[1] ?? (isOwn(address) ? LOOPBACK : route?.interface);
  const gateway = route?.interface === name ? route?.gateway : undefined;
  const isMany = isMulticast(address) || isBroadcast(address, networkInterfaces());
  if (name === undefined)
    return [
      fail(`no route leads to ${shown}; give the interface an address of that network, or add a route`),
    ];
  const facts = readInterface(name);
  if (facts === undefined) return [fail(`there is no network interface ${name}; set interface of the path`)];
  // An interface that is down has no neighbours.
  const asksNeighbour = facts.isUp && !facts.needsNoAddress && !isMany;
  const wrong = [
    ...judgeInterface(subject, facts),
    ...(asksNeighbour ? judgeNeighbour(subject, address, facts.name, gateway) : []),
    ...judgeSize(subject, facts, datagramBytes + IP_HEADER_BYTES[family] + UDP_HEADER_BYTES, datagramBytes),
    ...(path.rateMbitPerSecond > SMALL_BUFFER_MBIT ? judgeBuffer(subject, granted, wanted) : []),
    ...judgeSpeed(subject, facts, path.rateMbitPerSecond),
  ];
  const buffer = granted === undefined ? "" : `, send buffer ${showBytes(granted)}`;
  const router = gateway === undefined || facts.needsNoAddress ? "" : ` and the router ${gateway}`;
  const fine = `${shown} can be opened, by ${name}${router}, MTU ${facts.mtuBytes}${buffer}; whether it arrives only the receiver knows`;
  const canLeave = wrong.every(({ level }) => level !== "fail");
  return canLeave ? [{ level: "fine", subject, sentence: fine }, ...wrong] : wrong;
}

/** What is sent to an address of this host never leaves it, whatever the table of routes says. */
function isOwn(address: string): boolean {
  const entries = Object.values(networkInterfaces()).flat();
  return address.startsWith("127.") || entries.some((entry) => entry?.address === address);
}

function judgeInterface(subject: string, { name, isUp, hasCarrier }: InterfaceFacts): Finding[] {
  if (!isUp)
    return [{ level: "fail", subject, sentence: `interface ${name} is down; ip link set ${name} up` }];
  if (hasCarrier !== false) return [];
  const sentence = `interface ${name} has no carrier; look at the cable to the diode's input, and whether the diode has power`;
  return [{ level: "fail", subject, sentence }];
}

/** Nothing comes back over a diode, the answer to "who has this address" neither. */
function judgeNeighbour(
  subject: string,
  address: string,
  interfaceName: string,
  gateway: string | undefined,
): Finding[] {
  const hop = gateway ?? address.split("%")[0] ?? address;
  const state = askNeighbour(hop, interfaceName);
  // A router on this side of the diode answers for itself.
  if (state === "static" || (gateway !== undefined && state === "learnt")) return [];
  const command = `ip neigh replace ${hop} lladdr HARDWARE-ADDRESS dev ${interfaceName} nud permanent`;
  const remedy = `${command}, and a line in /etc/tidegate/neighbours keeps it`;
  if (state === undefined) {
    const sentence = `the program ip is missing, so nothing tells whether ${hop} has a static neighbour entry on ${interfaceName}`;
    return [{ level: "warn", subject, sentence }];
  }
  if (state === "learnt") {
    const sentence = `the hardware address of ${hop} on ${interfaceName} was learnt from an answer, which no diode gives; set it: ${remedy}`;
    return [{ level: "warn", subject, sentence }];
  }
  const sentence = `${hop} has no neighbour entry on ${interfaceName}, and nothing comes back over a diode that would tell its hardware address; set it: ${remedy}`;
  return [{ level: "fail", subject, sentence }];
}

function judgeSize(
  subject: string,
  { name, mtuBytes }: InterfaceFacts,
  packetBytes: number,
  datagramBytes: number,
): Finding[] {
  if (packetBytes <= mtuBytes) return [];
  const fits = datagramBytes - (packetBytes - mtuBytes);
  const sentence = `datagrams of ${datagramBytes} bytes make packets of ${packetBytes}, more than the MTU ${mtuBytes} of ${name}: each goes in pieces, and is lost with any of them; set datagram_bytes = ${fits}, or ip link set ${name} mtu ${packetBytes}`;
  return [{ level: "warn", subject, sentence }];
}

function judgeBuffer(subject: string, granted: number | undefined, wanted: number): Finding[] {
  if (granted === undefined || granted >= wanted) return [];
  const sentence = `the kernel grants a send buffer of ${granted} bytes instead of ${wanted}, so the path may not reach its rate; sysctl -w net.core.wmem_max=${wanted}`;
  return [{ level: "warn", subject, sentence }];
}

function judgeSpeed(subject: string, { name, mbitPerSecond }: InterfaceFacts, rate: number): Finding[] {
  if (mbitPerSecond === undefined || rate <= mbitPerSecond) return [];
  const sentence = `rate_mbit_per_second is ${rate}, but ${name} runs at ${mbitPerSecond}; set it below what the interface and the diode carry`;
  return [{ level: "warn", subject, sentence }];
}
