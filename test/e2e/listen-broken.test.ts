// Broken clients at the compiled agent, each with the answer that the specification has for it, while a good one goes on.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect as connectTcp } from "node:net";
import type { Agent } from "../support/agents.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { type SendStatus, unaccounted } from "../support/status.ts";

type ListenStatus = SendStatus & {
  readonly sources: readonly { readonly listen?: { readonly refused: Record<string, number> } }[];
};

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const CONNECT_4 = "10 0f 00044d515454 04 02 0002 0003 626164";
const CONNECT_5 = "10 10 00044d515454 05 02 0002 00 0003 626164";
const WILL_5 = "10 20 00044d515454 05 06 0002 00 0003 626164 00 0008 6261642f676f6e65 0003 627965";

requireTools(["mosquitto"])("a broken client", () => {
  let site: Site;
  let far: Collector;
  let send: Agent;
  let good: Publisher;
  let port: number;
  let published = 0;

  beforeAll(async () => {
    port = await findFreeTcpPort();
    site = await Site.open();
    const business = await site.startBroker();
    const listener = [{ address: `127.0.0.1:${port}` }];
    site.writeSend([
      { name: "floor", type: "listen", anonymous: true, connect_timeout_seconds: 2, listener },
    ]);
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    far = site.use(await Collector.start({ door: business.port }));
    ({ send } = await site.startBoth());
    good = site.use(await Publisher.start({ door: port }));
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  /** All that the agent answers until it ends the connection. */
  function say(bytes: Buffer, more?: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connectTcp(port, "127.0.0.1", () => socket.write(bytes));
      let answer = "";
      socket.on("data", (chunk) => {
        if (answer === "" && more !== undefined) socket.write(more);
        answer += chunk.toString("hex");
      });
      socket.on("error", reject);
      socket.on("close", () => resolve(answer));
    });
  }

  const refused = async () => (await send.readStatus<ListenStatus>()).sources[0]?.listen?.refused ?? {};

  const LARGE = Buffer.concat([hex("30 ffffff7f 0003 626164"), Buffer.alloc(1000)]);
  // What comes before CONNACK says 0x20; "e0" is DISCONNECT, its third byte the reason code. "": closed without a word.
  const BROKEN: [name: string, connect: string, more: Buffer, answer: string, reason: string][] = [
    ["CONNECT twice", CONNECT_5, hex(CONNECT_5), "82", "protocol-error"],
    ["CONNECT twice in 3.1.1", CONNECT_4, hex(CONNECT_4), "", "protocol-error"],
    ["a topic longer than its packet", CONNECT_5, hex("30 05 00ff 6161 00"), "81", "malformed"],
    ["a topic longer than its packet in 3.1.1", CONNECT_4, hex("30 04 00ff 6161"), "", "malformed"],
    ["a remaining length over four bytes", CONNECT_5, hex("30 ffffffff01"), "81", "malformed"],
    ["a topic that is not UTF-8", CONNECT_5, hex("30 06 0003 61c328 00"), "81", "malformed"],
    ["a topic that is not UTF-8 in 3.1.1", CONNECT_4, hex("30 05 0003 61c328"), "", "malformed"],
    ["a wildcard in the topic", CONNECT_5, hex("32 08 0003 612f23 0001 00"), "81", "malformed"],
    ["a wildcard in the topic in 3.1.1", CONNECT_4, hex("32 07 0003 612f2b 0001"), "", "malformed"],
    ["a packet over the maximum", CONNECT_5, LARGE, "95", "packet-too-large"],
    ["QoS 3", CONNECT_5, hex("36 07 0001 61 0001 00 00"), "81", "malformed"],
    ["an alias over the maximum", CONNECT_5, hex("30 07 0001 61 03 23ffff"), "94", "topic-alias"],
    ["what only a server sends", CONNECT_5, hex("d0 00"), "82", "protocol-error"],
  ];

  test.each(BROKEN)(
    "(%s) gets the answer for it, and is counted",
    async (_, connect, more, answer, reason) => {
      const before = (await refused())[reason] ?? 0;
      const heard = await say(hex(connect), more);
      expect(heard.slice(0, 2)).toBe("20");
      const connackEnd = 4 + 2 * Number.parseInt(heard.slice(2, 4), 16);
      const rest = heard.slice(connackEnd);
      expect([rest.slice(0, 2), rest.slice(4, 6)]).toEqual(answer === "" ? ["", ""] : ["e0", answer]);
      expect((await refused())[reason]).toBe(before + 1);
      await good.publishAll([{ topic: "good", payload: String(published++), options: { qos: 1 } }]);
    },
  );

  const TURNED_AWAY: [name: string, bytes: Buffer, answer: string, reason: string][] = [
    ["no MQTT at all", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "", "protocol-error"],
    ["PUBLISH before CONNECT", hex("30 04 0001 61 00"), "", "protocol-error"],
    ["a CONNECT cut short", hex("10 04 00044d51"), "", "malformed"],
    ["a client id that is not UTF-8", hex(CONNECT_4.replace("626164", "62c328")), "", "malformed"],
    ["a version that does not exist", hex(CONNECT_4.replace("04 02", "09 02")), "84", "version"],
    ["nothing", Buffer.alloc(0), "", "connect-timeout"],
    ["half a CONNECT", hex(CONNECT_4.slice(0, 20)), "", "connect-timeout"],
  ];

  test.each(TURNED_AWAY)("(%s) is turned away, and counted", async (_, bytes, answer, reason) => {
    const before = (await refused())[reason] ?? 0;
    const heard = await say(bytes);
    expect([heard.slice(0, 2), heard.slice(6, 8)]).toEqual(answer === "" ? ["", ""] : ["20", answer]);
    expect((await refused())[reason]).toBe(before + 1);
  });

  test("half open, it is cut off after 1.5 times its keep-alive, and its will crosses", async () => {
    const heard = await say(hex(WILL_5));
    const connackEnd = 4 + 2 * Number.parseInt(heard.slice(2, 4), 16);
    expect(heard.slice(connackEnd)).toMatch(/^e0..8d/);
    expect(await refused()).toMatchObject({ "keep-alive": 1 });
    const [will] = await far.waitForCount(1, "bad/gone", () => send.tail());
    expect(will?.payload.toString()).toBe("bye");
  });

  test("leaves an account that adds up, with all of the good client's messages across", async () => {
    const good = await far.waitForCount(published, "good", () => send.tail());
    expect(good.map(({ payload }) => Number(payload))).toEqual(
      Array.from({ length: published }, (_, index) => index),
    );
    const { ledger } = await send.readStatus<ListenStatus>();
    expect(unaccounted(ledger)).toBe(0);
    expect(ledger.lost).toEqual({ "invalid-topic": 5, oversize: 1 });
  });
});
