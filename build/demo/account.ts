// Settles the account: what was published, what each agent says became of it, and what really arrived.
// Pure; it agrees only when every message has exactly one fate and all three say the same.
import { listReasons, type RecvStatus, readLedger, type SendStatus, sum } from "./status.ts";

export type Snapshot = {
  readonly elapsedMs: number;
  readonly published: number;
  /** Published messages that the filter must keep back. */
  readonly staying: number;
  readonly arrived: number;
  readonly missing: number;
  readonly altered: number;
  readonly duplicated: number;
  readonly outOfOrder: number;
  readonly send: SendStatus;
  readonly recv: RecvStatus;
};

/** What does not agree, one sentence each; empty when all does. */
export function findDisagreements(snapshot: Snapshot): string[] {
  const send = readLedger(snapshot.send.ledger);
  const hq = readLedger(snapshot.recv.targets?.[0]?.ledger);
  const crossing = snapshot.published - snapshot.staying;
  const found: string[] = [];
  const expectEqual = (what: string, is: number, mustBe: number): void => {
    if (is !== mustBe) found.push(`${what} is ${is}, must be ${mustBe}`);
  };
  expectEqual("accepted by the send agent", send.accepted, snapshot.published);
  expectEqual("filtered by the send agent", sum(send.filtered), snapshot.staying);
  expectEqual("forwarded by the send agent", send.forwarded, crossing);
  expectEqual("held by the send agent", send.held, 0);
  expectEqual("lost by the send agent", sum(send.lost), 0);
  expectEqual("lost on the link", sum(readLedger(snapshot.recv.ledger).lost), 0);
  expectEqual("difference of the two agents' ledgers", readDifference(snapshot.recv) ?? Number.NaN, 0);
  expectEqual("accepted for headquarters", hq.accepted, crossing);
  expectEqual("forwarded to headquarters", hq.forwarded, crossing);
  expectEqual("held for headquarters", hq.held, 0);
  expectEqual("lost on the way to headquarters", sum(hq.lost), 0);
  expectEqual("arrived, counted independently", snapshot.arrived, crossing);
  expectEqual("missing, counted independently", snapshot.missing, 0);
  expectEqual("altered", snapshot.altered, 0);
  expectEqual("delivered twice", snapshot.duplicated, 0);
  expectEqual("out of order", snapshot.outOfOrder, 0);
  return found;
}

/** The account as a table for a person. */
export function printAccount(snapshot: Snapshot): string[] {
  const send = readLedger(snapshot.send.ledger);
  const hq = readLedger(snapshot.recv.targets?.[0]?.ledger);
  const linkLost = readLedger(snapshot.recv.ledger).lost;
  const row = (name: string, left: number, right: number, note = ""): string =>
    `  ${name.padEnd(11)}${show(left).padStart(12)}   ${show(right).padStart(14)}   ${note}`.trimEnd();
  const disagreements = findDisagreements(snapshot);
  return [
    "",
    `The account after ${(snapshot.elapsedMs / 1000).toFixed(0)} s`,
    `  ${"".padEnd(11)}${"plant side".padStart(12)}   ${"business side".padStart(14)}`,
    row("accepted", send.accepted, hq.accepted),
    row("delivered", send.forwarded, hq.forwarded),
    row("filtered", sum(send.filtered), sum(hq.filtered), listReasons(send.filtered)),
    row(
      "lost",
      sum(send.lost),
      sum(linkLost) + sum(hq.lost),
      listReasons({ ...send.lost, ...linkLost, ...hq.lost }),
    ),
    row("held", send.held, hq.held),
    `The receiver compared both ledgers: ${describeDifference(snapshot.recv)}`,
    `Counted independently: published ${show(snapshot.published)}, arrived ${show(snapshot.arrived)}, missing ${show(snapshot.missing)}`,
    `Compared by content: ${snapshot.altered} altered, ${snapshot.duplicated} twice, ${snapshot.outOfOrder} out of order`,
    ...(disagreements.length === 0
      ? ["It agrees."]
      : ["It does not agree:", ...disagreements.map((line) => `  ${line}`)]),
  ];
}

/** Undefined before the first comparison. */
function readDifference(recv: RecvStatus): number | undefined {
  return recv.ledger?.comparison?.difference;
}

/** What the receiver says of the sender's ledger and its own. */
export function describeDifference(recv: RecvStatus): string {
  const difference = readDifference(recv);
  if (difference === undefined) return "not yet";
  return difference === 0 ? "no difference" : `they differ by ${show(difference)}`;
}

export function show(count: number): string {
  return count.toLocaleString("en");
}
