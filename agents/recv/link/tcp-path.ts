// One TCP path: a listening socket, and connections that are only ever read. The diode's relay, or the sender, connects. Several
// connections are read side by side, since a new one may come before the end of the old one is noticed; each has
// its own record decoder. Refuses connections over a limit, and closes those that bring nothing for long.
import type { Socket } from "bun";
import { formatEndpoint } from "../../../shared/config/endpoint.ts";
import { RecordDecoder } from "../../../shared/framing/record.ts";
import type { TcpRecvPath } from "../path-config.ts";
import type { PathInput, PathSink } from "./path-input.ts";

type Connection = { readonly decoder: RecordDecoder; lastMs: number };

const LOOK_MS = 500;

/** Throws an Error with a sentence for a person when the address cannot be listened on. */
export function openTcpReceiver(path: TcpRecvPath, sink: PathSink): PathInput {
  const connections = new Map<Socket<undefined>, Connection>();
  const { host, port } = path.address;
  const names = { path: path.name };
  const end = (socket: Socket<undefined>) => {
    const connection = connections.get(socket);
    if (connection === undefined) return;
    connections.delete(socket);
    connection.decoder.end();
  };
  const listen = () =>
    Bun.listen<undefined>({
      hostname: host,
      port,
      socket: {
        open: (socket) => {
          if (connections.size >= path.connectionsMax) {
            sink.count("connections_refused");
            sink.log.warn(
              { ...names, from: socket.remoteAddress, connectionsMax: path.connectionsMax },
              "connection refused: there are connections_max already",
            );
            socket.terminate();
            return;
          }
          sink.count("connections");
          sink.log.info({ ...names, from: socket.remoteAddress }, `path ${path.name} has a connection`);
          const decoder = new RecordDecoder(sink);
          connections.set(socket, { decoder, lastMs: performance.now() });
        },
        data: (socket, bytes) => {
          const connection = connections.get(socket);
          if (connection === undefined) return;
          connection.lastMs = performance.now();
          connection.decoder.push(bytes);
        },
        close: (socket) => {
          if (connections.has(socket)) sink.log.info(names, `a connection of path ${path.name} has ended`);
          end(socket);
        },
        error: end,
      },
    });
  let listener: ReturnType<typeof listen>;
  try {
    listener = listen();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "EADDRINUSE" ? "another program has it" : message;
    throw new Error(`cannot listen on ${formatEndpoint(path.address)}: ${why}`);
  }
  const timer = setInterval(() => {
    const before = performance.now() - path.idleMs;
    for (const [socket, { lastMs }] of connections) {
      if (lastMs >= before) continue;
      sink.count("connections_idle");
      sink.log.warn(names, `a connection of path ${path.name} brought nothing for long, and is closed`);
      end(socket);
      socket.terminate();
    }
  }, LOOK_MS);
  return {
    address: formatEndpoint({ host, port: listener.port }),
    close: () => {
      clearInterval(timer);
      for (const socket of connections.keys()) {
        end(socket);
        socket.terminate();
      }
      listener.stop(true);
    },
  };
}
