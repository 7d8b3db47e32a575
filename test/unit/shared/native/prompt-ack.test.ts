import { expect, test } from "bun:test";
import { connect, createServer } from "node:net";
import { loadLibc } from "../../../../shared/native/libc.ts";
import { PromptAck, readDescriptor } from "../../../../shared/native/prompt-ack.ts";

const IPPROTO_TCP = 6;
const TCP_QUICKACK = 12;

/** Whether the kernel acknowledges at once, as it does until it has seen that each side answers the other. */
function isPrompt(fd: number): boolean {
  const value = new Int32Array(1);
  expect(loadLibc()?.getsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, value, new Int32Array([4]))).toBe(0);
  return value[0] !== 0;
}

test("PromptAck has the kernel acknowledge at once what it would keep for an answer of ours", async () => {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  const fd = readDescriptor(socket) as number;
  for (let turn = 0; turn < 50 && (turn < 3 || isPrompt(fd)); turn++) {
    socket.write("?");
    await new Promise((resolve) => socket.once("data", resolve));
    // An answer soon after what was read.
    socket.write("!");
    await new Promise((resolve) => socket.once("data", resolve));
  }
  expect(isPrompt(fd)).toBe(false);
  new PromptAck().send(socket, 10_000);
  expect(isPrompt(fd)).toBe(false);
  new PromptAck().send(socket, 100);
  expect(isPrompt(fd)).toBe(true);
  socket.destroy();
  server.close();
});

test("PromptAck knows the sockets of both kinds, and leaves alone what is none", async () => {
  const found: (number | undefined)[] = [];
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket) => {
        found.push(readDescriptor(socket));
        socket.end();
      },
    },
  });
  const socket = connect(listener.port, "127.0.0.1");
  socket.write("x");
  await new Promise((resolve) => socket.once("close", resolve));
  expect(found[0]).toBeGreaterThan(2);
  listener.stop();
  expect(readDescriptor({})).toBeUndefined();
  expect(readDescriptor({ _handle: null })).toBeUndefined();
  expect(() => new PromptAck().send({}, 1)).not.toThrow();
  expect(() => new PromptAck().send({ fd: -1 }, 1)).not.toThrow();
});
