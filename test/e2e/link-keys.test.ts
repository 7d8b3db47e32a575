// Keys and sealing: keys change in any order under load and nothing is lost, a bad new key changes nothing, what is not
// sealed as it should be is refused, and whatever happens to the datagrams on the way, no message is altered, doubled or
// out of order.
import { expect, test } from "bun:test";
import type { Agent, AgentName } from "../support/agents.ts";
import { runProgram } from "../support/agents.ts";
import { findFirstDifference } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { type RecvStatus, sum } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";
import { HONEST, HostileRelay } from "./hostile-relay.ts";
import { LinkRig, numbered, upTo } from "./link-rig.ts";

const REREAD = "link keys read again; other changes need a restart";

/** Publishes a few messages again and again until it is told to stop. */
class Traffic {
  published = 0;
  #isOver = false;
  readonly #flow: Promise<void>;

  constructor(private readonly rig: LinkRig) {
    this.#flow = this.#run();
  }

  /** Waits until what is published from now on has arrived. */
  async flowOn(): Promise<void> {
    await this.rig.far.waitForCount(this.published + 100, undefined, this.rig.explain);
  }

  /** Ends it; how many there were. */
  async end(): Promise<number> {
    this.#isOver = true;
    await this.#flow;
    return this.published;
  }

  // Never far ahead of what has arrived, so that a step waits for its own messages and not for a backlog.
  async #run(): Promise<void> {
    for (; !this.#isOver; this.published += 20) {
      await this.rig.near.publishAll(numbered(this.published, this.published + 20));
      await this.rig.far.waitForCount(this.published - 200, undefined, this.rig.explain);
    }
  }
}

/** SIGHUP, and waits until the agent has said what came of it. */
async function reload(agent: Agent, fits: (msg: string) => boolean = (msg) => msg === REREAD): Promise<void> {
  const count = () => agent.logs.filter(({ msg }) => fits(msg)).length;
  const before = count();
  agent.reload();
  await waitFor(
    "the keys read again",
    10_000,
    () => count() > before,
    () => agent.tail(),
  );
}

function makeKey(rig: LinkRig, name: string): void {
  expect(runProgram("send", ["keygen", "--out", rig.site.workspace.path(name)]).status).toBe(0);
}

requireTools(["mosquitto"])("key rotation", () => {
  const orders = [
    [
      ["send", "recv"],
      ["send", "recv"],
    ],
    [
      ["send", "recv"],
      ["recv", "send"],
    ],
    [
      ["recv", "send"],
      ["send", "recv"],
    ],
    [
      ["recv", "send"],
      ["recv", "send"],
    ],
  ] as const satisfies readonly (readonly (readonly AgentName[])[])[];

  test.each(orders)(
    "both live on %p, then only the new one on %p, loses nothing under load",
    async (add, drop) => {
      await using rig = await LinkRig.open();
      makeKey(rig, "next.key");
      const agents = await rig.startBoth();
      const traffic = new Traffic(rig);
      await traffic.flowOn();
      const change = async (side: AgentName, keys: { key_file: string; next_key_file?: string }) => {
        if (side === "send") rig.writeSend(keys);
        else rig.writeRecv(keys);
        await reload(agents[side]);
        await traffic.flowOn();
      };
      for (const side of add) await change(side, { key_file: "link.key", next_key_file: "next.key" });
      for (const side of drop) await change(side, { key_file: "next.key" });
      const count = await traffic.end();
      const { got } = await rig.settle(count);
      expect(rig.arrivals()).toBe(upTo(count));
      expect(sum(got.ledger.lost)).toBe(0);
      // The old key is worth nothing any more.
      rig.writeSend({ key_file: "link.key" });
      await reload(agents.send);
      await rig.near.publishAll(numbered(count, count + 10));
      await rig.waitForRecv("the old key refused", ({ link }) => (link.refused.key ?? 0) > 10);
      expect((await rig.readRecv()).ledger.accepted).toBe(count);
    },
    60_000,
  );

  test.each(["send", "recv"] as const)(
    "of %s to a file that is no key keeps the old key and says so in one line",
    async (side) => {
      await using rig = await LinkRig.open();
      const agents = await rig.startBoth();
      const faults = [
        ["short.key", "not a key", 0o600],
        ["loose.key", rig.site.workspace.read("link.key"), 0o644],
      ] as const;
      for (const [name, content, mode] of faults) {
        rig.site.workspace.write(name, content, mode);
        if (side === "send") rig.writeSend({ next_key_file: name });
        else rig.writeRecv({ next_key_file: name });
        const lines = agents[side].logs.length;
        await reload(agents[side], (msg) => msg.startsWith("cannot read the keys again"));
        const said = agents[side].logs.slice(lines).filter(({ level }) => level === "error");
        expect(said).toHaveLength(1);
        expect(said[0]?.msg).toMatch(new RegExp(`${side}\\.toml:\\d+:\\d+: link\\.next_key_file: .*${name}`));
        expect(JSON.stringify(said)).not.toContain(rig.site.workspace.read("link.key").trim().slice(-20));
      }
      await rig.near.publishAll(numbered(0, 200));
      await rig.settle(200);
      expect(rig.arrivals()).toBe(upTo(200));
      expect(agents[side].hasEnded).toBe(false);
    },
    60_000,
  );
});

const UNSEALED = { sealing: "none", key_file: undefined };

requireTools(["mosquitto"])('sealing = "none"', () => {
  test("on both sides carries everything", async () => {
    await using rig = await LinkRig.open({ sendLink: UNSEALED, recvLink: UNSEALED });
    await rig.startBoth();
    await rig.near.publishAll(numbered(0, 2000));
    await rig.settle(2000);
    expect(rig.arrivals()).toBe(upTo(2000));
  }, 60_000);

  test.each(["send", "recv"] as const)(
    "on the %s side alone is refused and counted",
    async (side) => {
      await using rig = await LinkRig.open(side === "send" ? { sendLink: UNSEALED } : { recvLink: UNSEALED });
      const { recv } = await rig.startBoth();
      await rig.near.publishAll(numbered(0, 100));
      await rig.waitForSend("all sent", ({ ledger }) => ledger.forwarded === 100);
      const status = await rig.waitForRecv("refused", ({ link }) => (link.refused.key ?? 0) >= 10);
      expect(Object.keys(status.link.refused)).toEqual(["key"]);
      expect(status.ledger.accepted).toBe(0);
      expect(status.link.state).toBe("waiting");
      expect(rig.far.messages).toEqual([]);
      const said = recv.logs.filter(({ msg }) => msg.startsWith("datagram refused"));
      expect(said).toHaveLength(1);
    },
    60_000,
  );

  test.each(["send", "recv"] as const)(
    "is not taken up by %s on SIGHUP: that needs a restart",
    async (side) => {
      await using rig = await LinkRig.open();
      const agents = await rig.startBoth();
      if (side === "send") rig.writeSend(UNSEALED);
      else rig.writeRecv(UNSEALED);
      await reload(agents[side], (msg) => msg.startsWith("cannot read the keys again"));
      await rig.near.publishAll(numbered(0, 100));
      await rig.settle(100);
      expect(rig.arrivals()).toBe(upTo(100));
    },
    60_000,
  );
});

requireTools(["mosquitto"])("a hostile link", () => {
  test("that doubles, delays, reorders, forges and replays alters nothing and loses nothing", async () => {
    const seed = Number(process.env.TIDEGATE_SEED ?? Math.floor(Math.random() * 2 ** 32));
    process.stderr.write(`hostile link: TIDEGATE_SEED=${seed}\n`);
    await using rig = await LinkRig.open({ sendLink: { repair_symbols_min: 4, repair_percent: 30 } });
    const mischief = { twice: 100, late: 100, lateMs: 200, forged: 200, corrupted: 10, replayed: 200 };
    const relay = rig.site.use(await HostileRelay.start(rig.site.linkPort, mischief, seed));
    rig.writeSend({
      path: [{ type: "udp", endpoint: `127.0.0.1:${relay.port}`, rate_mbit_per_second: 20 }],
    });
    await rig.startBoth();
    const count = 8000;
    await rig.near.publishAll(numbered(0, count));
    await rig.far.waitForCount(count, undefined, rig.explain);
    const { got } = await rig.settle(count);
    expect(
      findFirstDifference(
        rig.far.messages.map(({ payload }) => payload),
        count,
      ),
    ).toBeUndefined();
    expect(sum(got.ledger.lost)).toBe(0);
    expect(got.link.refused.tag).toBeGreaterThan(50);
    expect(got.link.surplusDatagrams).toBeGreaterThan(50);
    expect(Math.min(...Object.values(relay.done))).toBeGreaterThan(0);
    expect(got.link.state).not.toBe("down");
  }, 90_000);

  test.each(["SIGTERM", "SIGKILL"] as const)(
    "that plays everything again after the receiver's %s changes nothing",
    async (signal) => {
      await using rig = await LinkRig.open();
      const relay = rig.site.use(await HostileRelay.start(rig.site.linkPort, HONEST, 1));
      rig.writeSend({ path: [{ type: "udp", endpoint: `127.0.0.1:${relay.port}` }] });
      const { send, recv } = await rig.startBoth();
      const count = 2000;
      await rig.near.publishAll(numbered(0, count));
      await rig.settle(count);
      // What the spool has noted as delivered is not delivered again even after a SIGKILL.
      await waitFor("the target's cursor on disk", 5000, () => spoolIsEmpty(rig));
      await send.stop();
      await recv.stop(signal);
      await rig.startRecv();
      const played = [...relay.captured];
      for (const datagram of played) await relay.inject(datagram);
      const got = await rig.waitForRecv(
        "all of it taken",
        ({ link }) => link.paths[0]?.datagrams === played.length,
      );
      expect(got.ledger).toMatchObject({ accepted: count, awaited: 0 });
      expect(sum(got.ledger.lost)).toBe(0);
      const blocks = new Set(
        played.filter((datagram) => datagram[1] === 1).map((datagram) => datagram.readUInt32BE(28)),
      );
      expect(got.link.refused["sequence-delivered"]).toBe(blocks.size);
      await rig.startSend();
      await rig.near.publishAll(numbered(count, count + 100));
      await rig.settle(count + 100);
      expect(rig.arrivals()).toBe(upTo(count + 100));
      // And what is of the run before is refused before anything is opened.
      for (const datagram of played) await relay.inject(datagram);
      await rig.waitForRecv("the old run refused", ({ link }) => link.refused["epoch-old"] === played.length);
      expect(rig.arrivals()).toBe(upTo(count + 100));
    },
    60_000,
  );
});

async function spoolIsEmpty(rig: LinkRig): Promise<boolean> {
  const status = (await rig.readRecv()) as RecvStatus & { readonly spool: { readonly bytes: number } };
  return status.spool.bytes === 0;
}
