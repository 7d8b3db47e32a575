// A TCP connection that never loses what the kernel did not take at once. Bare, because the load generator and the sink
// must cost less than what they measure.

export type Wire = {
  /** Bytes that still wait for the kernel. */
  readonly waiting: number;
  /** Takes a copy of what cannot leave at once. */
  write(bytes: Buffer): void;
  end(): void;
};

export type WireEvents = { data(bytes: Buffer): void; drained(): void; closed(): void };

type BareSocket = { write(bytes: Buffer): number; end(): void };

function makeWire(): { wire: Wire; attach(socket: BareSocket): void; flush(): boolean } {
  let socket: BareSocket | undefined;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  const flush = (): boolean => {
    while (waiting.length > 0) {
      const first = waiting[0] as Buffer;
      const written = Math.max(0, socket?.write(first) ?? 0);
      waitingBytes -= written;
      if (written < first.length) {
        waiting[0] = first.subarray(written);
        return false;
      }
      waiting.shift();
    }
    waiting = [];
    return true;
  };
  const wire = {
    get waiting() {
      return waitingBytes;
    },
    write: (bytes: Buffer) => {
      const written = waiting.length > 0 ? 0 : Math.max(0, socket?.write(bytes) ?? 0);
      if (written === bytes.length) return;
      waiting.push(Buffer.from(bytes.subarray(written)));
      waitingBytes += bytes.length - written;
    },
    end: () => socket?.end(),
  };
  return {
    wire,
    attach: (bare) => {
      socket = bare;
    },
    flush,
  };
}

export async function connectWire(port: number, events: WireEvents): Promise<Wire> {
  const { wire, attach, flush } = makeWire();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_, bytes) => events.data(bytes),
      drain: () => {
        if (flush()) events.drained();
      },
      close: () => events.closed(),
      error: () => events.closed(),
    },
  });
  socket.setNoDelay(true);
  attach(socket);
  return wire;
}

/** Listens for one connection, on a free port unless one is given; over TLS, when it is given a certificate and its key. */
export function listenWire(
  onConnection: (wire: Wire) => WireEvents,
  tls?: { readonly cert: string; readonly key: string },
  port = 0,
): { port: number; stop(): void } {
  let events: WireEvents | undefined;
  let flush = (): boolean => true;
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port,
    ...(tls === undefined ? {} : { tls }),
    socket: {
      open: (socket) => {
        const made = makeWire();
        flush = made.flush;
        socket.setNoDelay(true);
        made.attach(socket);
        events = onConnection(made.wire);
      },
      data: (_, bytes) => events?.data(bytes),
      drain: () => {
        if (flush()) events?.drained();
      },
      close: () => events?.closed(),
    },
  });
  return { port: server.port, stop: () => server.stop(true) };
}
