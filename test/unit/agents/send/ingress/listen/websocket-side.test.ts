// The server's side of WebSocket: handshake, frames of a client, what must be refused; fed at every split point.
import { expect, test } from "bun:test";
import { WebsocketSide } from "../../../../../../agents/send/ingress/listen/websocket-side.ts";
import { encodeClientFrame } from "../../../../../../shared/mqtt/websocket-frame.ts";

const MASK = Buffer.from("37fa213d", "hex");
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const frame = (first: number, payload: string | Buffer) => {
  const bytes = encodeClientFrame(first & 0x0f, Buffer.from(payload), MASK);
  bytes[0] = first;
  return bytes;
};

function ask(changes: Record<string, string | undefined> = {}, requestLine = "GET /mqtt HTTP/1.1"): Buffer {
  const headers: Record<string, string | undefined> = {
    Host: "plant.example",
    Upgrade: "WebSocket",
    Connection: "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "chat, mqtt",
    ...changes,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return Buffer.from(`${[requestLine, ...lines].join("\r\n")}\r\n\r\n`);
}

function feed(...chunks: Buffer[]) {
  let data = "";
  let sent = Buffer.alloc(0);
  const ends: (string | undefined)[] = [];
  const side = new WebsocketSide("/mqtt", {
    onData: (bytes) => {
      data += bytes.toString();
    },
    onSend: (bytes) => {
      sent = Buffer.concat([sent, bytes]);
    },
    onEnd: (refusal) => ends.push(refusal),
  });
  for (const chunk of chunks) side.receive(Buffer.from(chunk));
  const text = sent.toString("latin1");
  const headEnd = text.indexOf("\r\n\r\n") + 4;
  return { side, data, head: text.slice(0, headEnd), frames: sent.subarray(headEnd).toString("hex"), ends };
}

test("WebsocketSide accepts the sample of RFC 6455 with MQTT in it, wherever the bytes are cut", () => {
  const bytes = Buffer.concat([
    ask(),
    frame(0x82, "one "),
    frame(0x02, "two "),
    frame(0x89, "?"),
    frame(0x80, "three "),
    frame(0x82, Buffer.alloc(300, "x")),
    frame(0x82, ""),
    frame(0x88, hex("03e8")),
  ]);
  const whole = feed(bytes);
  expect(whole.head).toStartWith("HTTP/1.1 101 Switching Protocols\r\n");
  // The accept value of RFC 6455 1.3.
  expect(whole.head).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
  expect(whole.head).toContain("Sec-WebSocket-Protocol: mqtt\r\n");
  expect(whole.data).toBe(`one two three ${"x".repeat(300)}`);
  // The pong has the ping's payload; the close has the client's code.
  expect(whole.frames).toBe("8a013f880203e8");
  expect(whole.ends).toEqual([undefined]);
  const { side: _, ...wanted } = whole;
  for (let at = 1; at < bytes.length; at++) {
    const { side: _side, ...got } = feed(bytes.subarray(0, at), bytes.subarray(at));
    expect(got).toEqual(wanted);
  }
  const { side: _each, ...slow } = feed(...Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)));
  expect(slow).toEqual(wanted);
});

test("WebsocketSide sends unmasked frames in each length form, and none before the handshake", () => {
  for (const [size, head] of [
    [5, "8205"],
    [300, "827e012c"],
    [70_000, "827f0000000000011170"],
  ] as const) {
    const opened = feed(ask());
    let sent = "";
    const side = new WebsocketSide("/mqtt", {
      onData: () => {},
      onSend: (bytes) => {
        sent += Buffer.from(bytes).toString("hex");
      },
      onEnd: () => {},
    });
    side.send(Buffer.alloc(size));
    expect(sent).toBe("");
    side.receive(ask());
    sent = "";
    side.send(Buffer.alloc(size));
    expect(sent).toBe(head + "00".repeat(size));
    opened.side.sayGoodbye();
  }
});

const BAD_FRAMES: [name: string, bytes: Buffer, reason: string][] = [
  ["no mask", hex("82 01 61"), "is not masked"],
  ["text", frame(0x81, "a"), "has the opcode 1"],
  ["an unknown opcode", frame(0x83, "a"), "has the opcode 3"],
  ["an unknown control opcode", frame(0x8b, ""), "has the opcode 11"],
  ["reserved bits", frame(0xc2, "a"), "has reserved bits"],
  ["a fragmented ping", frame(0x09, ""), "fragmented or too long"],
  ["a long ping", frame(0x89, Buffer.alloc(126)), "fragmented or too long"],
  ["a continuation of nothing", frame(0x80, "a"), "out of order"],
  ["a message inside a message", Buffer.concat([frame(0x02, "a"), frame(0x82, "b")]), "out of order"],
  ["an impossible length", hex("82 ff ffffffffffffffff 00000000"), "is too long"],
];

test.each(BAD_FRAMES)("WebsocketSide closes with 1002 on %s", (_name, bytes, reason) => {
  const { frames, ends } = feed(ask(), bytes);
  expect(ends).toEqual([expect.stringContaining(reason)]);
  expect(frames).toBe("880203ea");
});

const BAD_REQUESTS: [name: string, bytes: Buffer, status: number, reason: string][] = [
  ["MQTT", hex("100e00044d515454"), 400, "no HTTP GET"],
  ["POST", ask({}, "POST /mqtt HTTP/1.1"), 400, "no HTTP GET"],
  ["HTTP/1.0", ask({}, "GET /mqtt HTTP/1.0"), 400, "malformed"],
  ["another path", ask({}, "GET /other HTTP/1.1"), 404, "path is another one"],
  ["no upgrade", ask({ Upgrade: undefined }), 426, "no upgrade"],
  ["no upgraded connection", ask({ Connection: "close" }), 426, "no upgrade"],
  ["another version", ask({ "Sec-WebSocket-Version": "8" }), 426, "version is not 13"],
  ["no key", ask({ "Sec-WebSocket-Key": undefined }), 400, "no valid key"],
  ["a short key", ask({ "Sec-WebSocket-Key": "YQ==" }), 400, "no valid key"],
  ["no subprotocol", ask({ "Sec-WebSocket-Protocol": undefined }), 400, "mqtt is not offered"],
  ["another subprotocol", ask({ "Sec-WebSocket-Protocol": "chat" }), 400, "mqtt is not offered"],
  ["a malformed header", ask({ "": "x" }), 400, "malformed"],
  ["no end", Buffer.from(`GET /mqtt HTTP/1.1\r\nA: ${"x".repeat(17_000)}`), 431, "over 16384 bytes"],
];

test.each(BAD_REQUESTS)("WebsocketSide refuses %s", (_name, bytes, status, reason) => {
  const { head, ends, data, side } = feed(bytes);
  expect(head).toStartWith(`HTTP/1.1 ${status} `);
  expect(head).toContain("Connection: close\r\n");
  expect(ends).toEqual([expect.stringContaining(reason)]);
  side.receive(frame(0x82, "late"));
  expect(data).toBe("");
});

test("WebsocketSide never throws on random bytes", () => {
  for (let round = 0; round < 3000; round++) {
    const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(40)));
    feed(noise);
    const { ends } = feed(ask(), noise, noise);
    expect(ends.length).toBeLessThanOrEqual(1);
  }
});
