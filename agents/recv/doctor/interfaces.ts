// What the kernel and the interface of a UDP path do to datagrams before the agent sees them: link, size, buffers against the interface's speed, the
// filter against addresses that it could not answer. Only what is wrong or could be better is told.
import { readdirSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { Finding } from "../../../shared/doctor/finding.ts";
import { type InterfaceFacts, readInterface } from "../../../shared/doctor/interface.ts";
import { readSetting } from "../../../shared/doctor/kernel.ts";
import { parseAddress } from "../../../shared/native/socket-options.ts";
import type { UdpRecvPath } from "../path-config.ts";

/** What docs/speeds.md wants for a link of at least this speed. The link may be slower than the interface, so this is advice. */
const SPEEDS = [
  { mbit: 10_000, bufferBytes: 67_108_864, backlogPackets: 30_000 },
  { mbit: 1000, bufferBytes: 16_777_216, backlogPackets: 5000 },
] as const;
/** A buffer that holds less than this of what the interface can bring loses at the first commit to a disk. */
const TURN_MS = 8;
const USUAL_DATAGRAM_BYTES = 1400;
const IPV4_HEADERS_BYTES = 28;
const STRICT = 1;

/** `settings` reads the kernel's, and another's in tests. */
export function judgeInterfaces(
  path: UdpRecvPath,
  facts: readonly InterfaceFacts[],
  settings: (name: string) => number | undefined = readSetting,
): Finding[] {
  const subject = `path ${path.name}`;
  const warn = (sentence: string): Finding => ({ level: "warn", subject, sentence });
  const note = (sentence: string): Finding => ({ level: "fine", subject, sentence });
  const found: Finding[] = [];
  for (const { name, isUp, hasCarrier, mtuBytes } of facts) {
    if (!isUp) {
      const sentence = `interface ${name} is down; ip link set ${name} up`;
      found.push({ level: "fail", subject, sentence });
    } else if (hasCarrier === false) {
      const sentence = `interface ${name} has no carrier; look at the cable to the diode's output, and whether the diode has power`;
      found.push({ level: "fail", subject, sentence });
    }
    const fits = mtuBytes - IPV4_HEADERS_BYTES;
    if (fits < USUAL_DATAGRAM_BYTES)
      found.push(
        warn(
          `the MTU of ${name} is ${mtuBytes}: larger packets do not arrive, so the sender's datagram_bytes must be ${fits} at most, or ip link set ${name} mtu 1500`,
        ),
      );
    // The stricter of the two counts [ip-sysctl, rp_filter].
    const filters = ["all", name].map((each) => settings(`net.ipv4.conf.${each}.rp_filter`) ?? 0);
    if (Math.max(...filters) === STRICT)
      found.push(
        warn(
          `the kernel drops datagrams on ${name} whose sender's address it would not answer there; if the sender's is of another network: sysctl -w net.ipv4.conf.all.rp_filter=2`,
        ),
      );
  }
  const speed = Math.max(0, ...facts.map(({ mbitPerSecond }) => mbitPerSecond ?? 0));
  const turnBytes = Math.ceil(((speed * 1e6) / 8 / 1000) * TURN_MS);
  const { receiveBufferBytes } = path;
  const backlog = settings("net.core.netdev_max_backlog") ?? Number.POSITIVE_INFINITY;
  const wanted = SPEEDS.find(({ mbit }) => speed >= mbit);
  if (receiveBufferBytes < turnBytes)
    found.push(
      warn(
        `receive_buffer_bytes = ${receiveBufferBytes} holds less than ${TURN_MS} ms of the ${speed} Mbit/s that the interface can bring; set ${wanted?.bufferBytes ?? turnBytes}, and sysctl -w net.core.rmem_max=${wanted?.bufferBytes ?? turnBytes}`,
      ),
    );
  else if (wanted !== undefined && receiveBufferBytes < wanted.bufferBytes)
    found.push(
      note(
        `the interface runs at ${speed} Mbit/s: a link as fast wants receive_buffer_bytes = ${wanted.bufferBytes}, and sysctl -w net.core.rmem_max=${wanted.bufferBytes}`,
      ),
    );
  if (wanted !== undefined && backlog < wanted.backlogPackets)
    found.push(
      note(
        `the interface runs at ${speed} Mbit/s: a link as fast wants sysctl -w net.core.netdev_max_backlog=${wanted.backlogPackets}, now ${backlog}`,
      ),
    );
  return found;
}

/** A path that is bound to one address has no use for it while its interface is down. */
export function judgeAddress({ name, interface: named, address }: UdpRecvPath): Finding[] {
  const { host } = address;
  const isForMany = /^(0\.0\.0\.0|::|ff.*|2[23]\d\..*|.*\.255)$/i.test(host);
  if (named !== undefined || isForMany || findOwner(host) !== undefined) return [];
  const sentence = `no interface that is up has the address ${host}; ip address shows whose it is, and ip link set INTERFACE up wakes it`;
  return [{ level: "fail", subject: `path ${name}`, sentence }];
}

/** An IPv6 address may be written in more than one way. */
function findOwner(host: string): string | undefined {
  const bytes = parseAddress(host)?.join();
  const has = (address: string) => parseAddress(address)?.join() === bytes;
  const all = Object.entries(networkInterfaces());
  return all.find(([, entries]) => entries?.some(({ address }) => has(address)))?.[0];
}

/** Those that datagrams of the path can come in by, as far as the configuration tells; else all but the loopback. */
export function listInterfaces({ interface: named, address }: UdpRecvPath): InterfaceFacts[] {
  const chosen = named ?? findOwner(address.host);
  const names = chosen === undefined ? listAll() : [chosen];
  const facts = names.flatMap((name) => readInterface(name) ?? []);
  // Of all of them only what has a link can be meant.
  return chosen === undefined ? facts.filter(({ isUp, hasCarrier }) => isUp && hasCarrier !== false) : facts;
}

function listAll(): string[] {
  try {
    return readdirSync("/sys/class/net").filter((name) => name !== "lo");
  } catch {
    return [];
  }
}
