// What a target refuses for good: kept as dead letters, listed and shown and exported beside the running agent, sent
// again when what was wrong is mended. And messages that make a broker end the connection: put aside, the rest goes on.
import { expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { type Packet, parser } from "mqtt-packet";
import { type Finished, runProgram } from "../support/agents.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { type RecvStatus, unaccounted } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";

function deadLetters(site: Site, ...args: string[]): Finished {
  const [action = "", ...rest] = args;
  return runProgram("recv", ["dead-letters", action, "--config", site.recvFile, ...rest]);
}

function ledger(status: RecvStatus) {
  const [target] = status.targets;
  if (target === undefined) throw new Error("there is no target");
  expect(unaccounted(target.ledger)).toBe(0);
  return target.ledger;
}

/** A broker of MQTT 3.1.1 that ends the connection, without a word, when it gets a message of certain topics. */
class TouchyBroker implements AsyncDisposable {
  readonly topics: string[] = [];
  connections = 0;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly hates: (topic: string) => boolean,
    readonly port: number,
  ) {}

  static async start(hates: (topic: string) => boolean, port = 0): Promise<TouchyBroker> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    const address = server.address();
    const broker = new TouchyBroker(server, hates, typeof address === "object" ? (address?.port ?? 0) : 0);
    server.on("connection", (socket: Socket) => broker.#serve(socket));
    return broker;
  }

  endAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endAll();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    const input = parser({ protocolVersion: 4 });
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (bytes: Buffer) => input.parse(bytes));
    input.on("packet", (packet: Packet) => {
      if (socket.destroyed) return;
      if (packet.cmd === "connect") {
        this.connections++;
        socket.write(Buffer.from([0x20, 2, 0, 0]));
      }
      if (packet.cmd === "pingreq") socket.write(Buffer.from([0xd0, 0]));
      if (packet.cmd !== "publish") return;
      if (this.hates(packet.topic)) {
        socket.destroy();
        return;
      }
      this.topics.push(packet.topic);
      const id = packet.messageId ?? 0;
      if (packet.qos === 1) socket.write(Buffer.from([0x40, 2, id >> 8, id & 0xff]));
    });
  }
}

requireTools(["mosquitto"])("a dead letter", () => {
  test("is kept, listed, shown, exported, sent again and refused again, or forwarded when the broker is mended", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const accessList = site.workspace.write("access", "topic readwrite #\ntopic deny plant/secret/#\n");
    const business = await site.startBroker({ listeners: [{ lines: [`acl_file ${accessList}`] }] });
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { recv } = await site.startBoth();
    const payload = Buffer.from([0, 1, 2, 0xff, 27, 91, 50, 74]);
    await near.publish("plant/secret/binary", payload, { qos: 1 });
    await near.publish("plant/secret/text", 'temperature "ä" \u001b[2J', { qos: 2, retain: true });
    await near.publish("plant/secret/large", Buffer.alloc(300_000, "x"), { qos: 1 });
    await near.publish("plant/open", "x", { qos: 1 });
    const refused = await recv.waitForStatus<RecvStatus>("all settled", ({ targets }) => {
      const own = targets[0]?.ledger;
      return own?.accepted === 4 && own.held === 0;
    });
    expect(ledger(refused)).toMatchObject({ forwarded: 1, lost: { refused: 3 } });

    const listed = await waitFor("the letters", 5000, () => {
      const run = deadLetters(site, "list");
      return run.stdout.includes("3 dead letters") ? run : undefined;
    });
    expect(listed.status).toBe(0);
    expect(listed.stdout).toMatch(/^1 .*hq .*plant\/secret\/binary .*8 B .*refused .*not authorized/m);
    const json = JSON.parse(deadLetters(site, "list", "--json", "--id", "2").stdout);
    expect(json).toEqual([
      expect.objectContaining({ id: 2, target: "hq", reason: "refused", topic: "plant/secret/text", qos: 2 }),
    ]);
    expect(json[0]).not.toHaveProperty("payload");
    const shown = deadLetters(site, "show", "--id", "1,2,3");
    expect(shown.stdout).toContain("00000000  00 01 02 ff 1b 5b 32 4a");
    expect(shown.stdout).toContain('temperature "ä" \u{fffd}[2J');
    expect(shown.stdout).not.toContain("\u001b");
    expect(shown.stdout).toContain("295904 more bytes");
    expect(deadLetters(site, "show", "--id", "9")).toMatchObject({ status: 1 });

    const file = site.workspace.path("letters.jsonl");
    const exported = deadLetters(site, "export", "--out", file);
    expect([exported.status, exported.stdout]).toEqual([0, ""]);
    expect((statSync(file).mode & 0o777).toString(8)).toBe("600");
    const lines = readFileSync(file, "utf8").trim().split("\n");
    expect(lines.map((line) => Buffer.from(JSON.parse(line).payload, "base64").length)).toEqual([
      8, 21, 300_000,
    ]);
    expect(deadLetters(site, "export", "--out", file)).toMatchObject({ status: 1 });
    expect(deadLetters(site, "export").stdout).toBe(readFileSync(file, "utf8"));

    const again = deadLetters(site, "requeue", "--target", "hq");
    expect(again).toMatchObject({ status: 0, stdout: "3 dead letters are sent again\n", stderr: "" });
    const still = await recv.waitForStatus<RecvStatus>(
      "refused again",
      ({ targets }) => targets[0]?.ledger.lost.refused === 3,
    );
    expect(ledger(still)).toMatchObject({ forwarded: 1, held: 0 });
    expect(deadLetters(site, "list").stdout).toContain("3 dead letters");

    writeFileSync(accessList, "topic readwrite #\n");
    await business.restart();
    const far = site.use(await Collector.start({ door: business.port, session: "reader" }));
    await recv.waitForStatus<RecvStatus>(
      "connected again",
      ({ targets }) => targets[0]?.state === "connected",
    );
    expect(deadLetters(site, "requeue", "--id", "1").status).toBe(0);
    const [message] = await far.waitForCount(1, "plant/secret/binary", () => recv.tail());
    expect(message?.payload).toEqual(payload);
    const mended = await recv.waitForStatus<RecvStatus>(
      "forwarded",
      ({ targets }) => targets[0]?.ledger.forwarded === 2,
    );
    expect(ledger(mended)).toMatchObject({ accepted: 4, forwarded: 2, held: 0, lost: { refused: 2 } });
    await waitFor("one letter less", 5000, () =>
      deadLetters(site, "list").stdout.includes("\n2 dead letters\n"),
    );

    await recv.kill();
    expect(deadLetters(site, "list").stdout).toContain("plant/secret/text");
    const revived = site.startRecv();
    const after = await revived.waitForStatus<RecvStatus>(
      "the same",
      ({ targets }) => targets[0]?.state === "connected",
    );
    expect(ledger(after)).toMatchObject({ accepted: 4, forwarded: 2, held: 0, lost: { refused: 2 } });
    expect(deadLetters(site, "requeue", "--reason", "refused").status).toBe(0);
    await far.waitForCount(1, "plant/secret/text", () => revived.tail());
    const clean = await revived.waitForStatus<RecvStatus>(
      "all forwarded",
      ({ targets }) => targets[0]?.ledger.forwarded === 4,
    );
    expect(ledger(clean)).toMatchObject({ held: 0, lost: { refused: 0 } });
    await waitFor("none left", 5000, () => deadLetters(site, "list").stdout === "no dead letters\n");
  }, 90_000);

  test("is asked for in words that make sense", async () => {
    await using site = await Site.open();
    site.writeRecv();
    site.writeTarget("hq", { url: "mqtt://127.0.0.1:1" });
    const cases: [string[], number, string][] = [
      [["burn"], 2, 'cannot do "burn" with dead letters: must be list, show, requeue or export'],
      [["show"], 2, "say which: --id N"],
      [["requeue"], 2, "say which: --id N[,N], --target NAME or --reason REASON"],
      [["list", "--id", "0"], 2, "--id takes ids"],
      [["list", "--id", "1;2"], 2, "--id takes ids"],
      [["list"], 1, "there is no such file"],
    ];
    for (const [args, status, words] of cases) {
      const run = deadLetters(site, ...args);
      expect([run.status, run.stdout]).toEqual([status, ""]);
      expect(run.stderr).toContain(words);
    }
  }, 60_000);
});

requireTools(["mosquitto"])("a message that ends the connection", () => {
  test("is put aside when the broker does so each time, and all others arrive, in order", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const far = site.use(await TouchyBroker.start((topic) => topic.includes("bad")));
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${far.port}`, mqtt_version: "3.1.1" });
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { recv } = await site.startBoth();
    const topics = Array.from(
      { length: 60 },
      (_, index) => `plant/${index === 20 ? "bad" : "good"}/${index}`,
    );
    await near.publishAll(topics.map((topic) => ({ topic, payload: topic, options: { qos: 1 as const } })));
    const status = await recv.waitForStatus<RecvStatus>(
      "all settled",
      ({ targets }) => targets[0]?.ledger.accepted === 60 && targets[0].ledger.held === 0,
      60_000,
    );
    expect(ledger(status)).toMatchObject({ forwarded: 59, lost: { poison: 1 } });
    const first = [...new Set(far.topics)];
    expect(first).toEqual(topics.filter((topic) => !topic.includes("bad")));
    await waitFor("the letter", 5000, () => deadLetters(site, "list").stdout.includes("plant/bad/20"));
    const line = await recv.waitForLog("the loss", ({ outcome }) => outcome === "lost/poison");
    expect(line.msg).toContain("ends the connection");
  }, 90_000);

  test("is put aside by Mosquitto's max_packet_size with MQTT 3.1.1", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const business = await site.startBroker({ lines: ["max_packet_size 2000"] });
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}`, mqtt_version: "3.1.1" });
    const far = site.use(await Collector.start({ door: business.port, version: 4 }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { recv } = await site.startBoth();
    await near.publish("plant/a", "a", { qos: 1 });
    await near.publish("plant/large", Buffer.alloc(5000, 1), { qos: 1 });
    await near.publish("plant/b", "b", { qos: 2 });
    await far.waitForCount(2, undefined, () => recv.tail(), 60_000);
    expect(far.messages.map(({ topic }) => topic)).toEqual(["plant/a", "plant/b"]);
    const status = await recv.waitForStatus<RecvStatus>(
      "settled",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(ledger(status)).toMatchObject({ accepted: 3, forwarded: 2, lost: { poison: 1 } });
  }, 90_000);

  test("is not blamed for a broker that is down, restarts and flaps under load", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const first = await TouchyBroker.start(() => false);
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    site.writeTarget("hq", {
      url: `mqtt://127.0.0.1:${first.port}`,
      mqtt_version: "3.1.1",
      reconnect_max_ms: 100,
    });
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { recv } = await site.startBoth();
    const [rounds, each] = [40, 50];
    const publishSome = (round: number) =>
      near.publishAll(
        Array.from({ length: each }, (_, index) => ({
          topic: `plant/${round}/${index}`,
          payload: "x",
          options: { qos: 1 as const },
        })),
      );
    await publishSome(rounds);
    await waitFor("some", 10_000, () => first.topics.length > 10);
    await first[Symbol.asyncDispose]();
    // Up and down at once, three times of four before it has taken a message, each time with messages in flight.
    const topics = new Set(first.topics);
    for (let round = 0; round < rounds; round++) {
      const published = publishSome(round);
      const broker = await TouchyBroker.start(() => false, first.port);
      const explain = () => recv.tail();
      await waitFor("a session", 20_000, () => broker.connections > 0, explain);
      if (round % 4 === 3) await waitFor("a message", 20_000, () => broker.topics.length > 0, explain);
      await published;
      await broker[Symbol.asyncDispose]();
      for (const topic of broker.topics) topics.add(topic);
    }
    const last = site.use(await TouchyBroker.start(() => false, first.port));
    const count = (rounds + 1) * each;
    const status = await recv.waitForStatus<RecvStatus>(
      "all settled",
      ({ targets }) => targets[0]?.ledger.accepted === count && targets[0].ledger.held === 0,
      60_000,
    );
    expect(ledger(status)).toMatchObject({ forwarded: count, lost: {} });
    for (const topic of last.topics) topics.add(topic);
    expect(topics.size).toBe(count);
  }, 120_000);
});
