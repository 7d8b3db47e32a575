// The account of the demonstration agrees only when every count does.
import { expect, test } from "bun:test";
import { findDisagreements, printAccount, type Snapshot } from "../../../../build/demo/account.ts";
import type { Ledger } from "../../../../build/demo/status.ts";

const GOOD: Snapshot = {
  elapsedMs: 5_000,
  published: 10,
  staying: 2,
  arrived: 8,
  missing: 0,
  altered: 0,
  duplicated: 0,
  outOfOrder: 0,
  send: { ledger: { accepted: 10, forwarded: 8, held: 0, filtered: { "no-debug": 2 }, lost: {} } },
  recv: {
    ledger: { lost: {}, comparison: { difference: 0 } },
    targets: [{ ledger: { accepted: 8, forwarded: 8, held: 0, filtered: {}, lost: {} } }],
  },
};

const withSend = (ledger: Partial<Ledger>): Snapshot => ({
  ...GOOD,
  send: { ledger: { ...GOOD.send.ledger, ...ledger } },
});
const withTarget = (ledger: Partial<Ledger>): Snapshot => {
  return {
    ...GOOD,
    recv: { ...GOOD.recv, targets: [{ ledger: { ...GOOD.recv.targets?.[0]?.ledger, ...ledger } }] },
  };
};

test("findDisagreements() finds none when each message has one fate", () => {
  expect(findDisagreements(GOOD)).toEqual([]);
  expect(printAccount(GOOD).at(-1)).toBe("It agrees.");
});

test("findDisagreements() names any single count that is off", () => {
  const off: Snapshot[] = [
    { ...GOOD, arrived: 7 },
    { ...GOOD, missing: 1 },
    { ...GOOD, altered: 1 },
    { ...GOOD, duplicated: 1 },
    { ...GOOD, outOfOrder: 1 },
    { ...GOOD, published: 11 },
    { ...GOOD, staying: 3 },
    withSend({ accepted: 11 }),
    withSend({ held: 1 }),
    withSend({ lost: { expired: 1 } }),
    withSend({ filtered: {} }),
    withTarget({ accepted: 9 }),
    withTarget({ forwarded: 7, held: 1 }),
    withTarget({ lost: { refused: 1 } }),
    { ...GOOD, recv: { ...GOOD.recv, ledger: { ...GOOD.recv.ledger, lost: { gap: 1 } } } },
    { ...GOOD, recv: { ...GOOD.recv, ledger: { lost: {}, comparison: { difference: 1 } } } },
    { ...GOOD, recv: { ...GOOD.recv, ledger: { lost: {}, comparison: null } } },
    { ...GOOD, recv: {} },
    { ...GOOD, send: {} },
  ];
  for (const snapshot of off) expect(findDisagreements(snapshot)).not.toEqual([]);
});
