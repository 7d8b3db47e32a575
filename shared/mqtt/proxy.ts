// The way to a broker through a proxy of the business network: HTTP CONNECT [RFC 9110 9.3.6] or SOCKS5 [RFC 1928,
// RFC 1929]. The proxy resolves the broker's name, so that this host needs no name server that knows the internet.
// Refuses an answer that is no HTTP, is over 16 KiB, or says anything but that the way is open. TLS to the broker is
// negotiated through the tunnel: the proxy sees host and port, never a message.

import { connect, isIPv6, type Socket } from "node:net";
import { SocksClient } from "socks";
import type { Revealable } from "../revealable.ts";

export type ProxySettings = {
  readonly scheme: "http" | "socks5";
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: Revealable<string> | undefined;
};

/** Codes of the errors: it wants another login · it refuses this broker · it answers like no proxy. */
export type ProxyCode = "ERR_PROXY_AUTH" | "ERR_PROXY_REFUSED" | "ERR_PROXY_PROTOCOL";

const ANSWER_BYTES_MAX = 16_384;
/** MQTT's connect timeout is the one that counts; this only bounds what nobody waits for any more. */
const SOCKS_TIMEOUT_MS = 300_000;

/**
 * Connects to the proxy and has it open the way to host:port. `done` is called once, with nothing or what went wrong;
 * then the socket is the way itself, and whoever destroys it before then ends the attempt.
 */
export function openTunnel(
  proxy: ProxySettings,
  host: string,
  port: number,
  done: (error?: Error) => void,
): Socket {
  const socket = connect({ host: proxy.host, port: proxy.port });
  let isDone = false;
  const finish = (error?: Error) => {
    if (isDone) return;
    isDone = true;
    socket.off("error", finish);
    socket.off("error", onClose);
    socket.off("close", onClose);
    done(error);
    // Whoever has the socket now hears its later errors; after a failure nobody wants to.
    if (error !== undefined) socket.on("error", () => {}).destroy();
  };
  const onClose = () =>
    finish(proxyError("ERR_PROXY_PROTOCOL", "it closes the connection without an answer"));
  socket.on("error", finish);
  socket.on("close", onClose);
  socket.once("connect", () => {
    // From here on somebody is there: a connection that is cut was cut by what listens at the proxy's port.
    socket.off("error", finish);
    socket.on("error", onClose);
    if (proxy.scheme === "http") askHttp(socket, proxy, host, port, finish);
    else askSocks(socket, proxy, host, port, finish);
  });
  return socket;
}

function askHttp(
  socket: Socket,
  proxy: ProxySettings,
  host: string,
  port: number,
  finish: (error?: Error) => void,
): void {
  const authority = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const lines = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`];
  if (proxy.username !== undefined) {
    const login = Buffer.from(`${proxy.username}:${proxy.password?.reveal() ?? ""}`).toString("base64");
    lines.push(`Proxy-Authorization: Basic ${login}`);
  }
  let answer = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk]);
    const judged = judgeAnswer(answer);
    if (judged === "more") return;
    socket.off("data", onData);
    if (judged instanceof Error) return finish(judged);
    // A broker says nothing before it is spoken to, so what follows the head is mostly nothing.
    if (judged < answer.length) socket.unshift(answer.subarray(judged));
    finish();
  };
  socket.on("data", onData);
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
}

/** Where the tunnel's bytes begin; "more" when the head is not whole yet. */
function judgeAnswer(answer: Buffer): number | "more" | Error {
  const start = answer.toString("latin1", 0, Math.min(answer.length, 5));
  if (!"HTTP/".startsWith(start)) return proxyError("ERR_PROXY_PROTOCOL", "its answer is not HTTP");
  const headEnd = answer.indexOf("\r\n\r\n");
  if (headEnd < 0 && answer.length <= ANSWER_BYTES_MAX) return "more";
  if (headEnd < 0 || headEnd > ANSWER_BYTES_MAX)
    return proxyError("ERR_PROXY_PROTOCOL", `its answer is over ${ANSWER_BYTES_MAX} bytes`);
  const line = answer.toString("latin1", 0, answer.indexOf("\r\n"));
  const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(line)?.[1]);
  if (Number.isNaN(status)) return proxyError("ERR_PROXY_PROTOCOL", "its answer is not HTTP/1.1");
  if (status >= 200 && status < 300) return headEnd + 4;
  const said = `it answers "${line.slice(9, 89).replaceAll(/[^ -~]/g, "?")}"`;
  return proxyError(status === 407 ? "ERR_PROXY_AUTH" : "ERR_PROXY_REFUSED", said);
}

function askSocks(
  socket: Socket,
  proxy: ProxySettings,
  host: string,
  port: number,
  finish: (error?: Error) => void,
): void {
  SocksClient.createConnection({
    proxy: {
      host: proxy.host,
      port: proxy.port,
      type: 5,
      ...(proxy.username === undefined
        ? {}
        : { userId: proxy.username, password: proxy.password?.reveal() ?? "" }),
    },
    command: "connect",
    destination: { host, port },
    existing_socket: socket,
    timeout: SOCKS_TIMEOUT_MS,
  }).then(
    () => finish(),
    (error: unknown) => {
      const said = error instanceof Error ? error.message : String(error);
      const code = /authenticat/i.test(said) ? "ERR_PROXY_AUTH" : "ERR_PROXY_REFUSED";
      finish(proxyError(code, `it answers "${said.replaceAll(/[^ -~]/g, "?").slice(0, 80)}"`));
    },
  );
}

function proxyError(code: ProxyCode, message: string): Error {
  return Object.assign(new Error(message), { code });
}
