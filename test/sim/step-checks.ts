// What must be true after every single event, on the host where it happened: the ledgers add up and agree with what
// the observer knows, and nothing outgrows its bound.
import { countSequences, type RecvHost } from "./recv-host.ts";
import type { SendHost } from "./send-host.ts";

/** Heap that a queue of datagrams may take beyond its room: the last block that was let in. */
const BLOCK_BYTES_MAX = 800_000;

export function checkSender(send: SendHost): void {
  const { core, world } = send;
  if (!send.isUp || core === undefined) return;
  const { model } = world;
  const { journal, ledger, counters } = core;
  let journaled = 0;
  let unsent = model.waiting.size;
  for (const stream of journal.streams) {
    journaled += model.countFrom(journal.journalId, stream, 0);
    unsent += model.countFrom(journal.journalId, stream, journal.sent(stream));
  }
  const kept = counters.get("source/plant/kept");
  if (kept !== journaled) model.violate(`send: says ${kept} kept; ${journaled} are in the journal`);
  if (ledger.held !== unsent) model.violate(`send: says ${ledger.held} held; ${unsent} are not sent`);
  const booked = ledger.forwarded + ledger.held + sum(ledger.filtered) + sum(ledger.lost);
  if (ledger.accepted !== booked || ledger.forwarded < 0)
    model.violate(`send: accepted ${ledger.accepted}, booked ${booked}, forwarded ${ledger.forwarded}`);
  const { bytesMax } = { bytesMax: world.plan.send.journalBytesMax };
  if (journal.bytes > bytesMax + BLOCK_BYTES_MAX / 100)
    model.violate(`send: the journal holds ${journal.bytes} bytes`);
  for (const { name, queue } of send.paths) {
    if (queue.bytes > BLOCK_BYTES_MAX * 2 || queue.bytes < 0)
      model.violate(`send: ${queue.bytes} bytes wait on ${name}`);
  }
}

export function checkReceiver(recv: RecvHost): void {
  const { core, desk, world } = recv;
  if (!recv.isUp || core === undefined || desk === undefined) return;
  const { model, plan } = world;
  const { state } = core;
  if (state.journalId !== undefined) {
    let expected = recv.bases.get(state.journalId) ?? 0;
    for (const next of state.expected.values()) expected += next;
    const booked = countSequences(core);
    if (expected !== booked) model.violate(`recv: ${expected} sequences are over, ${booked} are booked`);
  }
  const streams = state.expected.size;
  const { assemblyBytesMax, holdBytesMax } = plan.recv;
  const bound =
    2 * assemblyBytesMax + streams * (assemblyBytesMax + holdBytesMax) + plan.send.messageBytesMax + 70_000;
  if (core.waitingBytes > bound || core.waitingBytes < 0)
    model.violate(`recv: ${core.waitingBytes} bytes wait, the bound is ${bound}`);
  for (const { name } of desk.targets) {
    const { accepted, held, forwarded } = desk.ledger(name);
    if (held < 0 || forwarded < 0)
      model.violate(`recv: ${name} holds ${held} of ${accepted} messages, ${forwarded} forwarded`);
  }
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
