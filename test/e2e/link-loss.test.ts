// A link that loses datagrams at random: what FEC can mend is mended without a word; what it cannot is a gap with exact
// numbers, and a code that a person can read over the telephone brings it back from the journal, once.
import { expect, test } from "bun:test";
import { requireTools } from "../support/requirements.ts";
import { sum } from "../support/status.ts";
import { LinkRig, numbered, range, showNumbers, upTo } from "./link-rig.ts";

const NO_REPAIR = { repair_percent: 0, repair_symbols_min: 0 };

type Gap = { readonly code: string; readonly stream: number; readonly first: number; readonly last: number };

const listGaps = (rig: LinkRig) => JSON.parse(rig.runRecv("gaps", "--json").stdout) as Gap[];
const numbersOf = (gaps: readonly Gap[]) => gaps.flatMap(({ first, last }) => range(first, last + 1));

/** Publishes while the link loses beyond repair, and waits until it is known what is missing. */
async function publishInto(rig: LinkRig, lossPermille: number, first: number, end: number) {
  rig.cable?.setLossPermille(lossPermille);
  await rig.near.publishAll(numbered(first, end));
  await rig.waitForSend("all sent", ({ ledger }) => ledger.forwarded === end);
  rig.cable?.setLossPermille(0);
  return (await rig.settle(end)).got;
}

const needs = ["mosquitto", "network namespaces", "ip", "nft"];

requireTools(needs)("random loss", () => {
  test.each([
    [20, { repair_percent: 25, repair_symbols_min: 6, linger_ms: 5 }],
    [50, { repair_percent: 50, repair_symbols_min: 8, linger_ms: 5 }],
  ] as const)(
    "of %d in 1,000 datagrams, within what FEC mends, loses no message",
    async (permille, sendLink) => {
      await using rig = await LinkRig.open({ inNamespaces: true, sendLink });
      await rig.startBoth();
      rig.cable?.setLossPermille(permille);
      const count = 6000;
      await rig.near.publishAll(numbered(0, count));
      await rig.far.waitForCount(count, undefined, rig.explain);
      const { sent, got } = await rig.settle(count);
      expect(rig.arrivals()).toBe(upTo(count));
      expect(sum(got.ledger.lost)).toBe(0);
      expect(got.link.restoredSymbols).toBeGreaterThan(5);
      const missing = (sent.link.paths[0]?.datagrams ?? 0) - (got.link.paths[0]?.datagrams ?? 0);
      expect(missing).toBeGreaterThan(3);
      expect(rig.runRecv("gaps").stdout).toBe("no gaps\n");
    },
    90_000,
  );

  test("beyond what FEC mends is told with the exact numbers of what is missing, and their codes bring it back", async () => {
    await using rig = await LinkRig.open({ inNamespaces: true, sendLink: { ...NO_REPAIR, linger_ms: 0 } });
    await rig.startBoth();
    const count = 1500;
    const got = await publishInto(rig, 200, 0, count);
    const arrived = rig.numbers();
    expect(arrived).toEqual(arrived.toSorted((a, b) => a - b));
    expect(got.ledger.accepted).toBe(arrived.length);
    expect(sum(got.ledger.lost)).toBe(count - arrived.length);
    // How many messages share a lost block depends on how busy the machine is: only that something was lost is needed here.
    expect(arrived.length).toBeLessThan(count);
    const missing = new Set(range(0, count)).difference(new Set(arrived));
    const gaps = listGaps(rig);
    expect(numbersOf(gaps).toSorted((a, b) => a - b)).toEqual([...missing]);
    expect(got.link.gaps).toMatchObject({ count: gaps.length, sequences: missing.size });
    // All of them in one command, as the last line of `gaps` suggests for the first few.
    const codes = gaps.map(({ code }) => code).join(",");
    expect(rig.runSend("replay", "--gap", codes)).toMatchObject({
      status: 0,
      stdout: `${missing.size} sequences are sent again\n`,
    });
    await rig.waitForRecv("no gap left", ({ link }) => link.gaps.count === 0);
    await rig.settle(count);
    expect(showNumbers(rig.numbers().toSorted((a, b) => a - b))).toBe(upTo(count));
  }, 90_000);
});

requireTools(needs)("a replay", () => {
  test("by codes, by numbers and by time fills every hole once, while live traffic goes on", async () => {
    await using rig = await LinkRig.open({ inNamespaces: true, sendLink: NO_REPAIR });
    const { send } = await rig.startBoth();
    const startedMs = Date.now();
    let end = 0;
    // Five outages with traffic around them, so that each is a gap of its own.
    for (let outage = 0; outage < 5; outage++) {
      await publishInto(rig, 0, end, end + 20);
      await publishInto(rig, 1000, end + 20, end + 220);
      end += 220;
    }
    await publishInto(rig, 0, end, end + 20);
    end += 20;
    const gaps = listGaps(rig);
    const [byNumbers, ...byCode] = gaps;
    expect(numbersOf(gaps)).toHaveLength(1000);
    const before = rig.far.messages.length;
    const live = rig.near.publishAll(numbered(end, end + 5000));
    const replay = (...args: string[]) => {
      const { status, stdout, stderr } = rig.runSend("replay", ...args);
      return `${status} ${stdout}${stderr}`;
    };
    const { first = 0, last = 0 } = byNumbers ?? {};
    expect(replay("--from", `${first}`, "--to", `${last}`)).toBe(
      `0 ${last - first + 1} sequences are sent again\n`,
    );
    const typed = byCode.slice(0, 2).map(({ code }) => code.toLowerCase().replaceAll("-", ""));
    expect(replay("--gap", typed.join(","))).toBe("0 400 sequences are sent again\n");
    expect(replay("--since", new Date(startedMs).toISOString())).toMatch(
      /^0 \d+ sequences are sent again\n$/,
    );
    await live;
    const got = await rig.waitForRecv("no gap left", ({ link }) => link.gaps.count === 0);
    end += 5000;
    await rig.far.waitForCount(end, undefined, rig.explain);
    const settled = await rig.settle(end);
    expect(showNumbers(rig.numbers().toSorted((a, b) => a - b))).toBe(upTo(end));
    expect(settled.got.ledger).toMatchObject({ accepted: end, awaited: 0 });
    expect(sum(settled.got.ledger.lost)).toBe(0);
    expect(got.link.recovered).toBe(1000);
    // What is live keeps its order among what comes late.
    const later = rig
      .numbers()
      .slice(before)
      .filter((number) => number >= end - 5000);
    expect(later).toEqual(range(end - 5000, end));
    expect(send.hasEnded).toBe(false);
  }, 120_000);

  test("refuses what was mistyped, what is of another journal and what makes no sense", async () => {
    await using rig = await LinkRig.open({ inNamespaces: true, sendLink: NO_REPAIR });
    const { send } = await rig.startBoth();
    await publishInto(rig, 0, 0, 10);
    await publishInto(rig, 1000, 10, 20);
    const code = listGaps(rig)[0]?.code ?? "";
    const replay = (...args: string[]) => rig.runSend("replay", ...args);
    for (const at of range(0, code.length).filter((index) => code[index] !== "-")) {
      const typo = `${code.slice(0, at)}${code[at] === "A" ? "B" : "A"}${code.slice(at + 1)}`;
      const { status, stderr } = replay("--gap", typo);
      expect([typo, status]).toEqual([typo, 2]);
      expect(stderr).toMatch(
        /^gap code \S+ (has a typing error: its checksum does not match|is too short or cut)\n$/,
      );
    }
    expect(replay("--gap", code.slice(0, -1)).status).toBe(2);
    expect(replay("--gap", `${code}U`)).toMatchObject({ status: 2, stderr: expect.stringContaining('"U"') });
    expect(replay().status).toBe(2);
    expect(replay("--from", "5", "--to", "4").status).toBe(2);
    expect(replay("--from", "5").status).toBe(2);
    expect(replay("--since", "yesterday").status).toBe(2);
    expect(replay("--since", "1h", "--until", "2h").status).toBe(2);
    expect(replay("--gap", code, "--since", "1h").status).toBe(2);
    expect(replay("--from", "1000", "--to", "1010")).toMatchObject({
      status: 1,
      stdout: "0 sequences are sent again; 11 are not in the journal any more, or were never sent\n",
    });
    expect((await rig.readRecv()).link.recovered).toBe(0);

    await send.stop();
    rig.site.writeSend([], {});
    rig.writeSend();
    const moved = rig.site.workspace.read("send.toml").replace('"journal"', '"new-journal"');
    rig.site.workspace.write("send.toml", moved);
    await rig.startSend();
    expect(replay("--gap", code)).toMatchObject({
      status: 2,
      stderr: `gap code ${code} is of another journal: its messages are not here\n`,
    });
  }, 90_000);

  test("asked for while the agent is down says so, and is done when it starts", async () => {
    await using rig = await LinkRig.open({ inNamespaces: true, sendLink: NO_REPAIR });
    const { send } = await rig.startBoth();
    await publishInto(rig, 0, 0, 10);
    await publishInto(rig, 1000, 10, 20);
    await send.stop();
    const code = listGaps(rig)[0]?.code ?? "";
    expect(rig.runSend("replay", "--gap", code)).toMatchObject({
      status: 1,
      stdout: "",
      stderr: "the agent did not answer: is it running? It will find the request when it starts\n",
    });
    await rig.startSend();
    await rig.waitForRecv("no gap left", ({ link }) => link.gaps.count === 0 && link.recovered === 10);
    await rig.settle(20);
    expect(rig.arrivals()).toBe(upTo(20));
  }, 90_000);
});
