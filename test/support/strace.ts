// Reads what strace (-f -yy) wrote: the system calls on UDP sockets, with what they moved. Calls that another thread
// interrupts are put together from their two halves.

export type SocketCall = {
  readonly name: string;
  /** "read" takes bytes from the socket, "write" puts them on it, "other" neither. */
  readonly kind: "read" | "write" | "other";
  /** What it returned: bytes, or datagrams for recvmmsg and sendmmsg; below 0 for an error. */
  readonly bytes: number;
  /** The socket's own port, once it has one. */
  readonly local: number | undefined;
};

const READS = /^(read|readv|pread64|preadv2?|recv|recvfrom|recvmsg|recvmmsg)$/;
const WRITES = /^(write|writev|pwrite64|pwritev2?|send|sendto|sendmsg|sendmmsg|sendfile|splice)$/;
const LINE = /^\d+ +(\w+)\((.*)$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)$/;
const UNFINISHED = " <unfinished ...>";

export function readSocketCalls(trace: string): SocketCall[] {
  const begun = new Map<string, string>();
  const calls: SocketCall[] = [];
  for (const line of trace.split("\n")) {
    const thread = line.slice(0, line.indexOf(" "));
    if (line.endsWith(UNFINISHED)) {
      begun.set(thread, line.slice(0, -UNFINISHED.length));
      continue;
    }
    const resumed = RESUMED.exec(line);
    const call = parseCall(resumed === null ? line : `${begun.get(thread) ?? ""}${resumed[3]}`);
    if (call !== undefined) calls.push(call);
  }
  return calls;
}

function parseCall(line: string): SocketCall | undefined {
  const [, name = "", rest = ""] = LINE.exec(line) ?? [];
  const socket = /^\d+<UDP(?:v6|lite)?:\[([^>]*)\]>/.exec(rest);
  if (socket === null) return undefined;
  const result = / = (-?\d+)/.exec(rest.slice(rest.lastIndexOf(")")))?.[1];
  const port = /:(\d+)$/.exec(socket[1]?.split("->")[0] ?? "")?.[1];
  return {
    name,
    kind: READS.test(name) ? "read" : WRITES.test(name) ? "write" : "other",
    bytes: Number(result ?? 0),
    local: port === undefined ? undefined : Number(port),
  };
}
