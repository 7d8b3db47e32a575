// The [[link.path]] tables of send.toml: one for each type of path, and what the agent makes of them.
// Refuses a pipe without exactly one of `command` and `device`, and multicast keys where nothing is multicast.

import { isIPv4, isIPv6 } from "node:net";
import * as z from "zod";
import { toEndpoint } from "../../shared/config/agent-tables.ts";
import { type Endpoint, parseEndpoint } from "../../shared/config/endpoint.ts";
import { decimalNumber, endpoint, flag, name, path, wholeNumber } from "../../shared/config/leaf.ts";
import {
  commandList,
  defaultPathName,
  interfaceName,
  localAddress,
  type PipeEnd,
  reviewPipe,
  serialBaud,
  toPipeEnd,
} from "../../shared/config/path-tables.ts";
import type { Review } from "../../shared/config/review.ts";
import { table, typedTable } from "../../shared/config/table.ts";
import type { Partially } from "../../shared/config/validate.ts";

type PathBase = {
  readonly name: string;
  readonly rateMbitPerSecond: number;
  readonly queueBytesMax: number;
  readonly bestEffort: boolean;
};

export type UdpSendPath = PathBase & {
  readonly type: "udp";
  readonly endpoint: Endpoint;
  /** The only network interface to send through. */
  readonly interface: string | undefined;
  readonly localAddress: string | undefined;
  readonly multicastTtl: number;
  readonly multicastLoop: boolean;
};

export type TcpSendPath = PathBase & {
  readonly type: "tcp";
  readonly endpoint: Endpoint;
  readonly interface: string | undefined;
  readonly localAddress: string | undefined;
};

export type PipeSendPath = PathBase & { readonly type: "pipe"; readonly end: PipeEnd };

export type DirectorySendPath = PathBase & {
  readonly type: "directory";
  readonly directory: string;
  readonly fileBytesMax: number;
  readonly fileSeconds: number;
  readonly outboxFilesMax: number;
  readonly outboxBytesMax: number;
};

export type SendPath = UdpSendPath | TcpSendPath | PipeSendPath | DirectorySendPath;

function pathBase() {
  return {
    name: name()
      .optional()
      .describe(
        'Name of the path, the same on both sides so that they can be compared. Default: "path-1", "path-2" and so on.',
      ),
    rate_mbit_per_second: decimalNumber(0.0096, 10_000)
      .default(100)
      .describe(
        "Never faster than this, headers included; but after a delay of its own host a quarter faster, until that is made up for. Set it below what the diode can carry.",
      ),
    queue_bytes_max: wholeNumber(65_536, 1_073_741_824)
      .default(4_194_304)
      .describe("Memory for datagrams that wait for their turn on the path."),
    best_effort: flag()
      .default(false)
      .describe("Leaves out what the path is too slow for, so that it holds up no other path."),
  };
}

const udpPath = table({
  ...pathBase(),
  type: z.literal("udp").describe("UDP datagrams: unicast, broadcast or multicast, IPv4 or IPv6."),
  endpoint: endpoint().describe(
    'Where the datagrams go: the receiver, the diode\'s own input, a broadcast address or a multicast group. A link-local address names its interface: "[fe80::2%eth1]:14550".',
  ),
  interface: interfaceName()
    .optional()
    .describe("The only network interface to send through, whatever the routing table says."),
  local_address: localAddress()
    .optional()
    .describe("Address of this machine that the datagrams come from. Chosen by the kernel unless given."),
  multicast_ttl: wholeNumber(0, 255)
    .default(1)
    .describe("Routers that a multicast datagram may pass, plus one."),
  multicast_loop: flag()
    .default(false)
    .describe("Gives multicast datagrams to programs on this machine, too."),
});

const tcpPath = table({
  ...pathBase(),
  type: z
    .literal("tcp")
    .describe("A TCP connection, for diodes whose host software relays a stream. Nothing is read from it."),
  endpoint: endpoint().describe("What is connected to: the input of the diode's relay, or the receiver."),
  interface: interfaceName().optional().describe("The only network interface to connect through."),
  local_address: localAddress()
    .optional()
    .describe("Address of this machine to connect from. Chosen by the kernel unless given."),
});

const pipePath = table({
  ...pathBase(),
  type: z.literal("pipe").describe("A program's standard input, or a device: serial diodes, vendor tools."),
  command: commandList()
    .optional()
    .describe(
      "Program that takes the stream on its standard input, and its arguments. It is started again when it ends.",
    ),
  device: path()
    .optional()
    .describe("Serial device or named pipe that the stream is written to. Either this or command."),
  baud: serialBaud()
    .optional()
    .describe(
      "Speed that a serial device is set to. Leave room for start and stop bits in rate_mbit_per_second: 115200 baud carry 0.092.",
    ),
});

const directoryPath = table({
  ...pathBase(),
  type: z
    .literal("directory")
    .describe("Files in a directory: file-transfer diodes, or media carried by hand."),
  directory: path().describe(
    "Outbox. A finished file appears in it under its final name, and whoever moves the files removes it.",
  ),
  file_bytes_max: wholeNumber(65_536, 67_108_864)
    .default(1_048_576)
    .describe("A file is finished when it has this many bytes."),
  file_seconds: decimalNumber(0.1, 86_400)
    .default(1)
    .describe(
      "A file is finished this long after its first byte. Choose 60 or more for media carried by hand.",
    ),
  outbox_files_max: wholeNumber(1, 1_000_000)
    .default(10_000)
    .describe("Files that may wait in the outbox. When it is full, messages wait in the journal."),
  outbox_bytes_max: wholeNumber(1_048_576, 17_592_186_044_416)
    .default(1_073_741_824)
    .describe("Bytes that may wait in the outbox."),
});

export const sendPathTable = typedTable([udpPath, tcpPath, pipePath, directoryPath]);
type SendPathTable = z.output<typeof sendPathTable>;

/** Faults that no schema of one value can see. */
export function reviewSendPaths(
  review: Review,
  paths: readonly (Partially<SendPathTable> | undefined)[],
): void {
  review.requireUnique(
    paths.map((entry, index) => ({
      path: ["link", "path", index, "name"],
      value: entry === undefined ? undefined : (entry.name ?? defaultPathName(index)),
    })),
  );
  review.requireUnique(
    paths.map((entry, index) => ({
      path: ["link", "path", index, "directory"],
      value: entry?.type === "directory" && entry.directory ? review.resolve(entry.directory) : undefined,
    })),
  );
  for (const [index, entry] of paths.entries()) {
    if (entry?.type === "pipe") reviewPipe(review, index);
    if (entry?.type === "udp" || entry?.type === "tcp") reviewFamily(review, index, entry);
    if (entry?.type === "directory") {
      review.requireOrder(
        { path: ["link", "path", index, "file_bytes_max"], value: entry.file_bytes_max },
        { path: ["link", "path", index, "outbox_bytes_max"], value: entry.outbox_bytes_max },
      );
    }
  }
}

function reviewFamily(
  review: Review,
  index: number,
  entry: { readonly endpoint?: string | undefined; readonly local_address?: string | undefined },
): void {
  const parsed = entry.endpoint === undefined ? "" : parseEndpoint(entry.endpoint);
  if (typeof parsed === "string" || entry.local_address === undefined) return;
  const differs =
    (isIPv4(parsed.host) && isIPv6(entry.local_address)) ||
    (isIPv6(parsed.host) && isIPv4(entry.local_address));
  if (!differs) return;
  const family = isIPv4(parsed.host) ? "IPv4" : "IPv6";
  review.add(
    ["link", "path", index, "local_address"],
    `is ${entry.local_address}, of another family than the endpoint`,
    `must be an ${family} address`,
  );
}

export function toSendPath(review: Review, entry: SendPathTable, index: number): SendPath {
  const base: PathBase = {
    name: entry.name ?? defaultPathName(index),
    rateMbitPerSecond: entry.rate_mbit_per_second,
    queueBytesMax: entry.queue_bytes_max,
    bestEffort: entry.best_effort,
  };
  switch (entry.type) {
    case "udp":
      return {
        ...base,
        type: "udp",
        endpoint: toEndpoint(entry.endpoint),
        interface: entry.interface,
        localAddress: entry.local_address,
        multicastTtl: entry.multicast_ttl,
        multicastLoop: entry.multicast_loop,
      };
    case "tcp":
      return {
        ...base,
        type: "tcp",
        endpoint: toEndpoint(entry.endpoint),
        interface: entry.interface,
        localAddress: entry.local_address,
      };
    case "pipe":
      return { ...base, type: "pipe", end: toPipeEnd(review, entry) };
    case "directory":
      return {
        ...base,
        type: "directory",
        directory: review.resolve(entry.directory),
        fileBytesMax: entry.file_bytes_max,
        fileSeconds: entry.file_seconds,
        outboxFilesMax: entry.outbox_files_max,
        outboxBytesMax: entry.outbox_bytes_max,
      };
  }
}

/** Where a path leads, for logs and the status. */
export function showSendPath(path: SendPath): string {
  switch (path.type) {
    case "udp":
    case "tcp": {
      const { host, port } = path.endpoint;
      return `${host.includes(":") ? `[${host}]` : host}:${port}`;
    }
    case "pipe":
      return path.end.kind === "device" ? path.end.device : (path.end.command[0] ?? "");
    case "directory":
      return path.directory;
  }
}
