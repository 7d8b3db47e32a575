import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { encodeClientFrame, ServerFrameDecoder } from "../../../../shared/mqtt/websocket-frame.ts";
import { decodeUpgradeAnswer, encodeUpgradeRequest } from "../../../../shared/mqtt/websocket-handshake.ts";
import { WebsocketStream } from "../../../../shared/mqtt/websocket-stream.ts";
import { FakeSocket, seededRandom } from "./fake-socket.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
// The sample of RFC 6455 1.3.
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const settle = () => new Promise((resolve) => setImmediate(resolve));

function answer(
  changes: Record<string, string | undefined> = {},
  statusLine = "HTTP/1.1 101 Switching Protocols",
): Buffer {
  const headers: Record<string, string | undefined> = {
    Upgrade: "websocket",
    Connection: "keep-alive, Upgrade",
    "Sec-WebSocket-Accept": ACCEPT,
    "Sec-WebSocket-Protocol": "mqtt",
    ...changes,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return Buffer.from(`${[statusLine, ...lines].join("\r\n")}\r\n\r\n`);
}

function serverFrame(first: number, payload: Buffer): Buffer {
  const size = payload.length;
  if (size < 126) return Buffer.concat([Buffer.from([first, size]), payload]);
  const length = Buffer.alloc(size < 65_536 ? 2 : 8);
  if (size < 65_536) length.writeUInt16BE(size);
  else length.writeBigUInt64BE(BigInt(size));
  return Buffer.concat([Buffer.from([first, size < 65_536 ? 126 : 127]), length, payload]);
}

function decodeAll(pieces: Buffer[]): {
  data: string;
  controls: [number, string][];
  problem: string | undefined;
} {
  const data: Buffer[] = [];
  const controls: [number, string][] = [];
  const decoder = new ServerFrameDecoder({
    onData: (bytes) => data.push(bytes),
    onControl: (opcode, payload) => controls.push([opcode, payload.toString()]),
  });
  let problem: string | undefined;
  for (const piece of pieces) problem ??= decoder.push(piece);
  return { data: Buffer.concat(data).toString("hex"), controls, problem };
}

test("encodeClientFrame() masks, in the three length forms of RFC 6455 5.2", () => {
  expect(encodeClientFrame(1, Buffer.from("Hello"), hex("37fa213d")).toString("hex")).toBe(
    "818537fa213d7f9f4d5158",
  );
  for (const size of [0, 125, 126, 65_535, 65_536]) {
    const payload = Buffer.alloc(size, 7);
    const frame = encodeClientFrame(2, payload, hex("00000000"));
    expect(frame.toString("hex")).toBe(
      Buffer.concat([
        serverFrame(0x82, payload).subarray(0, frame.length - size - 4),
        hex("00000000"),
        payload,
      ])
        .toString("hex")
        .replace(/^(..)(..)/, (_, a, b) => a + (Number.parseInt(b, 16) | 0x80).toString(16)),
    );
  }
});

test("ServerFrameDecoder finds the same at every split point and byte by byte", () => {
  const bytes = Buffer.concat([
    serverFrame(0x82, Buffer.from("one")),
    serverFrame(0x02, Buffer.alloc(130, 1)),
    serverFrame(0x89, Buffer.from("ping")),
    serverFrame(0x00, Buffer.alloc(0)),
    serverFrame(0x80, Buffer.from("end")),
    serverFrame(0x8a, Buffer.alloc(0)),
    serverFrame(0x88, hex("03e8")),
  ]);
  const whole = decodeAll([bytes]);
  expect(whole.problem).toBe(undefined as unknown as string);
  expect(whole.controls.map(([opcode]) => opcode)).toEqual([9, 10, 8]);
  for (let at = 1; at < bytes.length; at++)
    expect(decodeAll([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
  expect(decodeAll(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))).toEqual(whole);
  expect(decodeAll([serverFrame(0x82, Buffer.alloc(70_000, 9))]).data).toBe("09".repeat(70_000));
});

const BAD_FRAMES: [name: string, bytes: string, reason: string][] = [
  ["reserved bits", "c2 00", "WebSocket frame has reserved bits"],
  ["a mask", "82 80 00000000", "WebSocket frame from the server is masked"],
  ["text", "81 00", "WebSocket frame has the opcode 1"],
  ["an unknown opcode", "83 00", "WebSocket frame has the opcode 3"],
  ["an unknown control opcode", "8b 00", "WebSocket frame has the opcode 11"],
  ["a fragmented ping", "09 00", "WebSocket control frame is fragmented or too long"],
  ["a long ping", "89 7e 0080", "WebSocket control frame is fragmented or too long"],
  ["a continuation of nothing", "80 00", "WebSocket fragments are out of order"],
  ["a message inside a message", "02 00 82 00", "WebSocket fragments are out of order"],
  ["an impossible length", "82 7f ffffffffffffffff", "WebSocket frame is too long"],
];
test.each(BAD_FRAMES)("ServerFrameDecoder refuses %s", (_name, bytes, reason) => {
  expect(decodeAll([hex(bytes)]).problem).toBe(reason);
});

test("ServerFrameDecoder and decodeUpgradeAnswer() never throw on random bytes", () => {
  const random = seededRandom(5);
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from(Array.from({ length: 40 }, () => random() * 256));
    decodeAll([bytes]);
    decodeUpgradeAnswer(bytes, KEY);
    decodeUpgradeAnswer(
      Buffer.concat([Buffer.from("HTTP/1.1 101 X\r\n"), bytes, Buffer.from("\r\n\r\n")]),
      KEY,
    );
  }
});

test("decodeUpgradeAnswer() opens on the sample of RFC 6455, wherever it is cut", () => {
  const bytes = answer();
  for (let at = 0; at < bytes.length; at++)
    expect(decodeUpgradeAnswer(bytes.subarray(0, at), KEY)).toEqual({ kind: "more" });
  expect(decodeUpgradeAnswer(Buffer.concat([bytes, hex("8200")]), KEY)).toEqual({
    kind: "open",
    end: bytes.length,
  });
});

const BAD_ANSWERS: [name: string, bytes: Buffer, reason: string][] = [
  ["MQTT", hex("20020000"), "the answer is not HTTP"],
  ["HTTP/1.0", answer({}, "HTTP/1.0 101 Switching"), "the answer is not HTTP/1.1"],
  ["403", answer({}, "HTTP/1.1 403 Forbidden"), 'the answer is "403 Forbidden"'],
  ["no upgrade", answer({ Upgrade: "h2c" }), "the answer doesn't upgrade to websocket"],
  ["no connection upgrade", answer({ Connection: "close" }), "the answer doesn't upgrade the connection"],
  ["another accept", answer({ "Sec-WebSocket-Accept": "x" }), "the answer is not to our request"],
  [
    "no subprotocol",
    answer({ "Sec-WebSocket-Protocol": undefined }),
    "the subprotocol is missing, must be mqtt",
  ],
  [
    "an extension",
    answer({ "Sec-WebSocket-Extensions": "permessage-deflate" }),
    "the answer has an extension that was not asked for",
  ],
  ["a malformed header", answer({ "": "x" }), "the answer has a malformed header"],
  ["no end", Buffer.from(`HTTP/1.1 101 X\r\nA: ${"x".repeat(17_000)}`), "the answer is over 16384 bytes"],
];
test.each(BAD_ANSWERS)("decodeUpgradeAnswer() refuses %s", (name, bytes, reason) => {
  const status = name === "403" ? 403 : undefined;
  expect(decodeUpgradeAnswer(bytes, KEY)).toEqual({ kind: "refused", reason, status });
});

function openStream() {
  const socket = new FakeSocket();
  let opened = 0;
  const stream = new WebsocketStream(socket, "connect", "broker.example:80", "/mqtt", () => opened++);
  const got: Buffer[] = [];
  const errors: Error[] = [];
  stream.on("data", (bytes: Buffer) => got.push(bytes));
  stream.on("error", (error) => errors.push(error));
  socket.emit("connect");
  const key = /Sec-WebSocket-Key: (.*)\r\n/.exec(socket.sent.toString())?.[1] ?? "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return {
    socket,
    stream,
    got,
    errors,
    key,
    opened: () => opened,
    accept: answer({ "Sec-WebSocket-Accept": accept }),
  };
}

test("WebsocketStream asks, waits for the answer, then carries bytes both ways", async () => {
  const { socket, stream, got, key, opened, accept } = openStream();
  stream.write(Buffer.from("early"));
  await settle();
  expect(socket.sent.toString()).toBe(encodeUpgradeRequest("broker.example:80", "/mqtt", key));
  expect(socket.sent.toString()).toStartWith("GET /mqtt HTTP/1.1\r\nHost: broker.example:80\r\n");
  socket.takeSent();
  socket.emit("data", Buffer.concat([accept, serverFrame(0x82, Buffer.from("hello"))]));
  await settle();
  expect(opened()).toBe(1);
  expect(Buffer.concat(got).toString()).toBe("hello");
  const frame = hex(socket.takeSent());
  expect(frame.subarray(0, 2).toString("hex")).toBe("8285");
  expect(
    Buffer.from(frame.subarray(6).map((byte, i) => byte ^ (frame[2 + (i & 3)] as number))).toString(),
  ).toBe("early");
  socket.emit("data", serverFrame(0x89, Buffer.from("p")));
  expect(hex(socket.takeSent()).subarray(0, 2).toString("hex")).toBe("8a81");
});

test("WebsocketStream ends with an error on a refused or malformed answer", async () => {
  for (const bytes of [answer({}, "HTTP/1.1 404 Not Found"), answer(), hex("ffff")]) {
    const { socket, stream, errors } = openStream();
    socket.emit("data", bytes);
    await settle();
    expect(errors.map((error) => "code" in error && error.code)).toEqual(["ERR_WEBSOCKET"]);
    expect(stream.destroyed && socket.destroyed).toBe(true);
  }
});

test("WebsocketStream stops the socket when nobody reads", async () => {
  const { socket, stream, accept } = openStream();
  socket.emit("data", accept);
  stream.pause();
  for (let i = 0; i < 20; i++) socket.emit("data", serverFrame(0x82, Buffer.alloc(10_000)));
  expect(socket.isPaused()).toBe(true);
  stream.resume();
  await settle();
  expect(socket.isPaused()).toBe(false);
});

test("WebsocketStream answers a close frame and ends", async () => {
  const { socket, stream, accept } = openStream();
  socket.emit("data", accept);
  socket.takeSent();
  const closed = new Promise((resolve) => stream.once("close", resolve));
  socket.emit("data", serverFrame(0x88, hex("03e8")));
  stream.end();
  await closed;
  expect(hex(socket.takeSent()).subarray(0, 2).toString("hex")).toBe("8882");
});
