// The [[link.path]] tables of recv.toml: one for each type of path, and what the agent makes of them.
// Refuses two paths that would read the same thing, and a pickup that moves files to where they come from.

import * as z from "zod";
import { toEndpoint } from "../../shared/config/agent-tables.ts";
import type { Endpoint } from "../../shared/config/endpoint.ts";
import { address, choice, decimalNumber, name, path, wholeNumber } from "../../shared/config/leaf.ts";
import {
  commandList,
  defaultPathName,
  interfaceName,
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
  /** Silence after which the path is called silent, while others bring something. */
  readonly silentAfterMs: number;
};

export type UdpRecvPath = PathBase & {
  readonly type: "udp";
  /** When it is a multicast group, the group is joined. */
  readonly address: Endpoint;
  readonly interface: string | undefined;
  readonly receiveBufferBytes: number;
};

export type TcpRecvPath = PathBase & {
  readonly type: "tcp";
  readonly address: Endpoint;
  readonly connectionsMax: number;
  readonly idleMs: number;
};

export type PipeRecvPath = PathBase & { readonly type: "pipe"; readonly end: PipeEnd };

export type DirectoryRecvPath = PathBase & {
  readonly type: "directory";
  readonly directory: string;
  readonly pollMs: number;
  readonly settleMs: number;
  readonly fileBytesMax: number;
  /** Where files go after pickup; undefined: they are deleted. */
  readonly moveTo: string | undefined;
};

export type RecvPath = UdpRecvPath | TcpRecvPath | PipeRecvPath | DirectoryRecvPath;

function pathBase(silentSeconds: number) {
  return {
    name: name()
      .optional()
      .describe(
        'Name of the path, the same on both sides so that they can be compared. Default: "path-1", "path-2" and so on.',
      ),
    silent_after_seconds: wholeNumber(1, 604_800)
      .default(silentSeconds)
      .describe("Silence after which the path is called silent, while other paths bring something."),
  };
}

const SILENT_SECONDS = 5;
const SILENT_DIRECTORY_SECONDS = 120;

const udpPath = table({
  ...pathBase(SILENT_SECONDS),
  type: z.literal("udp").describe("UDP datagrams: unicast, broadcast or multicast, IPv4 or IPv6."),
  address: address(1, "0.0.0.0:14550").describe(
    "What is bound: an address of this machine, 0.0.0.0 or [::] for all, a broadcast address, or a multicast group, which is joined.",
  ),
  interface: interfaceName()
    .optional()
    .describe("The only network interface to receive from, and to join a multicast group on."),
  receive_buffer_bytes: wholeNumber(212_992, 1_073_741_824)
    .default(8_388_608)
    .describe("Socket buffer to ask the kernel for; net.core.rmem_max may grant less."),
});

const tcpPath = table({
  ...pathBase(SILENT_SECONDS),
  type: z
    .literal("tcp")
    .describe("TCP connections that the diode's relay, or the sender, opens. Nothing is written to them."),
  address: address(1, "0.0.0.0:14550").describe("What is listened on."),
  connections_max: wholeNumber(1, 64)
    .default(8)
    .describe("Connections that are read at the same time. A further one is closed at once."),
  idle_seconds: wholeNumber(2, 86_400)
    .default(60)
    .describe(
      "A connection that brings nothing for this long is closed. The sender says something each second.",
    ),
});

const pipePath = table({
  ...pathBase(SILENT_SECONDS),
  type: z.literal("pipe").describe("A program's standard output, or a device: serial diodes, vendor tools."),
  command: commandList()
    .optional()
    .describe(
      "Program that writes the stream to its standard output, and its arguments. It is started again when it ends.",
    ),
  device: path()
    .optional()
    .describe("Serial device or named pipe that the stream is read from. Either this or command."),
  baud: serialBaud().optional().describe("Speed that a serial device is set to."),
});

const directoryPath = table({
  ...pathBase(SILENT_DIRECTORY_SECONDS),
  type: z
    .literal("directory")
    .describe("Files in a directory: file-transfer diodes, or media carried by hand."),
  directory: path().describe("Inbox. Only files that the sender of this link has named are looked at."),
  poll_seconds: decimalNumber(0.1, 3600).default(1).describe("How often the inbox is looked at, at least."),
  settle_seconds: decimalNumber(0.1, 86_400)
    .default(5)
    .describe("A file that is not complete is given up when it has not grown for this long."),
  file_bytes_max: wholeNumber(65_536, 1_073_741_824)
    .default(134_217_728)
    .describe("Larger files are left alone and counted."),
  after_pickup: choice(["delete", "move"])
    .default("delete")
    .describe(
      'What becomes of a file that was read: "delete" removes it, "move" puts it into move_directory.',
    ),
  move_directory: path()
    .optional()
    .describe(
      'Directory for files that were read, on the same file system. Only with after_pickup = "move".',
    ),
});

export const recvPathTable = typedTable([udpPath, tcpPath, pipePath, directoryPath]);
type RecvPathTable = z.output<typeof recvPathTable>;

/** Faults that no schema of one value can see. */
export function reviewRecvPaths(
  review: Review,
  paths: readonly (Partially<RecvPathTable> | undefined)[],
): void {
  const requireUnique = (key: string, read: (entry: Partially<RecvPathTable>) => string | undefined) =>
    review.requireUnique(
      paths.map((entry, index) => ({
        path: ["link", "path", index, key],
        value: entry === undefined ? undefined : read(entry),
      })),
    );
  review.requireUnique(
    paths.map((entry, index) => ({
      path: ["link", "path", index, "name"],
      value: entry === undefined ? undefined : (entry.name ?? defaultPathName(index)),
    })),
  );
  for (const type of ["udp", "tcp"] as const) {
    requireUnique("address", (entry) => (entry.type === type ? entry.address : undefined));
  }
  const resolved = (file: string | undefined) => (file === undefined ? undefined : review.resolve(file));
  requireUnique("directory", (entry) => (entry.type === "directory" ? resolved(entry.directory) : undefined));
  requireUnique("device", (entry) => (entry.type === "pipe" ? resolved(entry.device) : undefined));
  for (const [index, entry] of paths.entries()) {
    if (entry?.type === "pipe") reviewPipe(review, index);
    if (entry?.type === "directory") reviewPickup(review, index, entry);
  }
}

type PickupKeys = {
  readonly directory?: string | undefined;
  readonly after_pickup?: string | undefined;
  readonly move_directory?: string | undefined;
};

function reviewPickup(review: Review, index: number, entry: PickupKeys): void {
  const { directory, after_pickup: after, move_directory: target } = entry;
  const at = (key: string) => ["link", "path", index, key];
  if (after === "move" && target === undefined)
    review.add(at("after_pickup"), 'is "move", and there is no move_directory', "must have one");
  if (after === "delete" && target !== undefined)
    review.add(
      at("move_directory"),
      'is given, and after_pickup is "delete"',
      'must be left out, or after_pickup = "move"',
    );
  if (directory !== undefined && target !== undefined && review.resolve(directory) === review.resolve(target))
    review.add(at("move_directory"), "is the inbox itself", "must be another directory");
}

export function toRecvPath(review: Review, entry: RecvPathTable, index: number): RecvPath {
  const base: PathBase = {
    name: entry.name ?? defaultPathName(index),
    silentAfterMs: entry.silent_after_seconds * 1000,
  };
  switch (entry.type) {
    case "udp":
      return {
        ...base,
        type: "udp",
        address: toEndpoint(entry.address),
        interface: entry.interface,
        receiveBufferBytes: entry.receive_buffer_bytes,
      };
    case "tcp":
      return {
        ...base,
        type: "tcp",
        address: toEndpoint(entry.address),
        connectionsMax: entry.connections_max,
        idleMs: entry.idle_seconds * 1000,
      };
    case "pipe":
      return { ...base, type: "pipe", end: toPipeEnd(review, entry) };
    case "directory":
      return {
        ...base,
        type: "directory",
        directory: review.resolve(entry.directory),
        pollMs: entry.poll_seconds * 1000,
        settleMs: entry.settle_seconds * 1000,
        fileBytesMax: entry.file_bytes_max,
        moveTo: entry.move_directory === undefined ? undefined : review.resolve(entry.move_directory),
      };
  }
}
