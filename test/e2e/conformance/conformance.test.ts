// What every type of target does when things go wrong, the same for all: a storm of reconnects, a throttle, a poison message,
// limits at their edge and one past it, credentials that end in mid-stream, certificates that change, a proxy that
// refuses, a second target that is down, and messages that are too large.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { runProgram } from "../../support/agents.ts";
import { waitForLetters } from "../../support/letters.ts";
import { requireTools } from "../../support/requirements.ts";
import { type Kind, repeat } from "./kind.ts";
import { KINDS } from "./kinds.ts";
import { Stage, spread, spreadOf, TARGETS } from "./stage.ts";

test("the suite has every type that there is", () => {
  const { stdout } = runProgram("recv", ["init", "--help"]);
  const types = (/One of (.*)/.exec(stdout)?.[1] ?? "").split(", ");
  // Takes nothing but Sparkplug, and speaks in its own voice: test/e2e/sparkplug-recv.test.ts.
  const generic = types.filter((type) => type !== "sparkplug");
  expect(KINDS.map(({ type }) => type).toSorted()).toEqual(generic.toSorted());
});

for (const kind of KINDS) requireTools(["mosquitto", "tinyproxy"])(kind.type, () => testKind(kind));

function testKind(kind: Kind): void {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open(kind);
  }, 60_000);
  afterAll(() => stage.close());

  test("gets through a storm: refused, cut before and after a message, answered late; all arrive, in order", async () => {
    const { server } = stage.subjects.main;
    const letters = spread("storm", 60, 6);
    const next = () => stage.publish(letters.splice(0, 15));
    const all = spreadOf(letters);
    server.faults.refuse = { times: 2 };
    server.dropAll();
    await next();
    await stage.until("two refusals", () => server.faults.refuse.times === 0);
    server.faults.closeAtPublish = 3;
    await next();
    await stage.until("a cut before a message", () => server.faults.closeAtPublish === 0);
    server.faults.loseAcknowledgements = 1;
    await next();
    await stage.until("a cut after a message", () => server.faults.loseAcknowledgements === 0);
    server.faults.holdAcknowledgements = true;
    await next();
    await stage.until("a message that is not acknowledged", () => server.faults.held.length > 0);
    server.dropAll();
    server.faults.releaseAcknowledgements();
    const { main } = await stage.settleOpen();
    expect(main).toEqual({ forwarded: 60, lost: {} });
    expect(stage.taken("main", "storm")).toEqual(all);
  }, 90_000);

  test("stays below the rate past which the service discards or closes", async () => {
    const { records } = stage.subjects.main.server;
    const before = await stage.status();
    const was = { publishes: records.count("publish"), closes: records.count("close") };
    const letters = spread("throttle", 150, 10);
    await stage.publish(letters);
    const { main } = await stage.settleOpen(before);
    expect(main).toEqual({ forwarded: 150, lost: {} });
    expect(stage.taken("main", "throttle")).toEqual(spreadOf(letters));
    expect(records.count("publish")).toEqual({
      ...was.publishes,
      taken: (was.publishes.taken ?? 0) + 150,
    });
    expect(records.count("close")).toEqual(was.closes);
  }, 90_000);

  test("puts a message aside that ends the connection whenever it comes, and the others go on in order", async () => {
    const { faults } = stage.subjects.main.server;
    const before = await stage.status();
    faults.poison = "poison";
    await stage.publish(["1", "poison", "2"].map((payload) => ({ topic: "poison/x", payload })));
    const { main, certified } = await stage.settleOpen(before);
    faults.poison = undefined;
    expect(main).toEqual({ forwarded: 2, lost: { poison: 1 } });
    expect(certified).toEqual({ forwarded: 3, lost: {} });
    expect(stage.taken("main", "poison")).toEqual({ "poison/x": ["1", "2"] });
    const said = "the broker ends the connection whenever it gets this message";
    await waitForLetters(stage.site, (text) => text.includes(said));
  }, 90_000);

  test("sends what is exactly at each limit, makes a dead letter of what is one past it, and stays connected", async () => {
    const { records } = stage.subjects.main.server;
    const before = await stage.status();
    const was = records.count("close");
    const taken = stage.subjects.main.taken().length;
    await stage.publish([...kind.edges, ...kind.beyond]);
    const { main } = await stage.settleOpen(before);
    const lost: Record<string, number> = {};
    for (const { reason } of kind.beyond) lost[reason] = (lost[reason] ?? 0) + 1;
    expect(main).toEqual({ forwarded: kind.edges.length, lost });
    const topics = stage.subjects.main
      .taken()
      .slice(taken)
      .map(({ topic }) => topic);
    expect(topics.toSorted()).toEqual(kind.edges.map(({ topic }) => topic).toSorted());
    expect(records.count("close")).toEqual(was);
  }, 90_000);

  test("compresses or splits what is too large where the profile says so, and makes a dead letter of it elsewhere", async () => {
    const before = await stage.status();
    const size = Math.min(1_000_000, kind.payloadBytesMax * 3);
    const text = repeat("température 21.5 °C; ", Math.round(size / 1.1));
    const noise = Buffer.concat(
      Array.from({ length: Math.ceil(size / 65_536) }, () => crypto.getRandomValues(new Uint8Array(65_536))),
    ).subarray(0, size);
    await stage.publish([
      { topic: "size/text", payload: "before" },
      { topic: "size/text", payload: text },
      { topic: "size/text", payload: "after" },
      { topic: "size/noise", payload: noise },
    ]);
    const { main, compress, split } = await stage.settleOpen(before);
    expect(main).toEqual({ forwarded: 2, lost: { oversize: 2 } });
    expect(compress).toEqual({ forwarded: 3, lost: { oversize: 1 } });
    expect(split).toEqual({ forwarded: 4, lost: {} });
    const reduced = Object.fromEntries(
      (await stage.status()).targets.map((target) => [target.name, target.reduced]),
    );
    expect(reduced.main).toEqual({ compressed: 0, split: 0 });
    expect(reduced.compress?.compressed).toBeGreaterThan(0);
    expect(reduced.split?.split).toBeGreaterThan(1);
    const [first, gzipped, last, ...more] = stage.raw("compress", "size/text");
    expect([first, last].map((each) => each?.payload.toString())).toEqual(["before", "after"]);
    expect([gzipped?.mark, more]).toEqual(["gzip", []]);
    expect(gunzipSync(gzipped?.payload ?? "").toString()).toBe(text);
    for (const [topic, whole] of [
      ["size/text", Buffer.from(text)],
      ["size/noise", noise],
    ] as const) {
      const parts = stage.raw("split", topic).filter(({ mark }) => mark !== undefined);
      const [id] = parts[0]?.mark?.split("-") ?? [];
      expect(parts.length).toBeGreaterThan(1);
      expect(parts.map(({ mark }) => mark)).toEqual(parts.map((_, n) => `${id}-${n + 1}-${parts.length}`));
      expect(Buffer.concat(parts.map(({ payload }) => payload)).equals(whole)).toBe(true);
    }
    const around = stage
      .raw("split", "size/text")
      .map(({ payload, mark }) => mark?.slice(-1) ?? payload.toString());
    expect([around[0], around.at(-1)]).toEqual(["before", "after"]);
  }, 90_000);

  test("goes on with new credentials when the old ones end in mid-stream", async () => {
    const { expireToken, server } = stage.subjects.main;
    const before = await stage.status();
    const connects = server.records.count("connect").accepted ?? 0;
    const letters = spread("token", 60, 6);
    const all = spreadOf(letters);
    await stage.publish(letters.splice(0, 30));
    const rest = stage.publish(letters);
    // Where there is nothing that ends, the service ends the connection as if there were.
    await (expireToken?.() ?? server.dropAll({ reason: "expired", code: 0x87 }));
    await rest;
    const { main } = await stage.settleOpen(before);
    expect(main).toEqual({ forwarded: 60, lost: {} });
    expect(stage.taken("main", "token")).toEqual(all);
    expect(server.records.count("connect").accepted).toBeGreaterThan(connects);
  }, 90_000);

  test("takes a changed certificate from the next connection on, loses and doubles nothing, and bears a change of the service's", async () => {
    const { server } = stage.subjects.certified;
    const { records } = server;
    const before = await stage.status();
    const was = records.taken.length;
    const closed = records.closes.length;
    const shown = () =>
      records.connects.filter(({ outcome }) => outcome === "accepted").at(-1)?.peer.certificate?.fingerprint;
    const first = shown();
    let number = 0;
    const next = async () => {
      await stage.publish([{ topic: "certificate", payload: String(number++) }]);
      await stage.settleOpen(before);
    };
    stage.changeCertificate(await stage.set.authority.issue("client", { usage: "client" }));
    while (shown() === first) await next();
    const reasons = new Set(records.closes.slice(closed).map(({ reason }) => reason));
    expect([...reasons]).toEqual(["client DISCONNECT"]);
    expect(records.taken.slice(was).some(({ fields }) => fields.dup === true)).toBe(false);
    server.changeCertificate(await stage.set.authority.issue("server-2", { usage: "server" }));
    server.dropAll();
    await next();
    const { certified } = await stage.settleOpen(before);
    expect(certified).toEqual({ forwarded: number, lost: {} });
    const numbers = Array.from({ length: number }, (_, n) => String(n));
    expect(stage.taken("certified", "certificate")).toEqual({ certificate: numbers });
  }, 90_000);

  test("behind a proxy that refuses says so in one line, and catches up when it opens the way", async () => {
    const { targets } = await stage.status();
    const proxied = targets.find(({ name }) => name === "proxied");
    expect(proxied).toMatchObject({ state: "down", ledger: { forwarded: 0, lost: {} } });
    expect(proxied?.problem).toContain("does not open the way to localhost:");
    const [door] = stage.subjects.proxied.server.doors.filter(({ port }) =>
      proxied?.problem?.includes(`localhost:${port}`),
    );
    await stage.openProxy(door?.port ?? 0);
    await stage.settle(["proxied"]);
    expect(stage.taken("proxied", "throttle")).toEqual(spreadOf(spread("throttle", 150, 10)));
  }, 90_000);

  test("that was down all the time has everything, in order, when it is there; the others never noticed", async () => {
    const { targets } = await stage.status();
    const down = targets.find(({ name }) => name === "down");
    expect(down).toMatchObject({
      state: "down",
      ledger: { forwarded: 0, held: down?.ledger.accepted, lost: {} },
    });
    for (const door of stage.subjects.down.server.doors) door.shut = false;
    await stage.settle(TARGETS);
    expect(stage.taken("down", "storm")).toEqual(spreadOf(spread("storm", 60, 6)));
    expect(stage.taken("down", "throttle")).toEqual(spreadOf(spread("throttle", 150, 10)));
    const after = await stage.status();
    expect(after.targets.map(({ state }) => state)).toEqual(TARGETS.map(() => "connected"));
  }, 120_000);
}
