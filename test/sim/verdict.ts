// What must be true in the end, when all trouble is over and every gap was replayed: each message that was acknowledged
// has arrived, or is booked under a name, or was taken by a disaster that the configuration allows.
import type { Published } from "./model.ts";
import type { RecvHost } from "./recv-host.ts";
import type { SendHost } from "./send-host.ts";
import type { TargetBook } from "./target-book.ts";

export function judgeEnd(send: SendHost, recv: RecvHost): void {
  const { model } = send.world;
  const { core } = recv;
  if (core === undefined || send.core === undefined) {
    model.violate("an agent is down in the end");
    return;
  }
  if (core.health.state !== "up") model.violate(`the link is ${core.health.state} in the end`);
  const held = send.core.ledger.held;
  if (held > 0) model.violate(`send still holds ${held} messages in the end`);
  for (const book of recv.books) judgeTarget(book, recv);
  const letters = recv.letters?.count ?? 0;
  if (letters > countRotten(recv))
    model.violate(`${letters} dead letters are left, and none is refused any more`);
  const lost = core.counters.total("link/lost");
  let unexplained = lost - core.counters.get("link/lost/gap") - core.counters.get("link/lost/before-start");
  const newest = new Map<string, number>();
  for (const published of model.messages) {
    const name = nameTopic(published);
    newest.set(name, Math.max(newest.get(name) ?? -1, published.place?.sequence ?? -1));
  }
  for (const published of model.messages) {
    const reason = findLoss(published, newest, send, recv);
    if (reason === "malformed or spool" && unexplained-- > 0) continue;
    if (reason !== undefined) model.violate(`message ${published.id} ${reason}`);
  }
}

/** The target's own ledger against what it has got. */
function judgeTarget(book: TargetBook, recv: RecvHost): void {
  const { model } = recv.world;
  const ledger = recv.desk?.ledger(book.name);
  if (ledger === undefined) return;
  if (ledger.held !== 0) model.violate(`${book.name} still holds ${ledger.held} messages in the end`);
  // What was published, and dropped from the spool before it was acknowledged, is booked as lost when the agent dies then.
  const dropped = (ledger.lost.overflow ?? 0) + (ledger.lost.age ?? 0);
  if (ledger.forwarded > book.count || ledger.forwarded + dropped < book.count)
    model.violate(`${book.name} has got ${book.count} messages, its ledger says ${ledger.forwarded}`);
  let missing = 0;
  let expirable = 0;
  for (const published of model.messages) {
    if (published.spool === undefined || book.has(published.id)) continue;
    if (published.message.properties?.messageExpirySeconds !== undefined) expirable++;
    else missing++;
  }
  const { expired = 0, ...others } = ledger.lost;
  const lost = Object.values(others).reduce((total, count) => total + count, 0);
  if (missing > lost) model.violate(`${book.name} misses ${missing} messages, ${lost} are booked as lost`);
  if (expirable > lost - missing + expired)
    model.violate(`${book.name} misses ${expirable} that can expire, ${expired} are booked as expired`);
}

/** Dead letters that the disk has altered: nobody can send them again. */
function countRotten({ letters }: RecvHost): number {
  return letters === undefined ? 0 : letters.count - [...letters.list()].length;
}

/** Why a message is neither in the spool nor booked; undefined when it is. */
function findLoss(
  published: Published,
  newest: ReadonlyMap<string, number>,
  send: SendHost,
  recv: RecvHost,
): string | undefined {
  const { fate, acknowledged, place, spool, message } = published;
  if (fate !== "kept" || !acknowledged || spool !== undefined) return undefined;
  if (place === undefined) return "was acknowledged and is nowhere";
  const { journal, stream, sequence } = place;
  // A journal that is gone, or the end of one that the power cut took: the configuration allows it.
  if (place.lost || journal !== send.core?.journal.journalId) return undefined;
  const rows = send.disk.state.stream(stream);
  const row = rows.find(({ first, count }) => first <= sequence && sequence < first + count);
  const isOpen = [...(recv.core?.state.gaps.list() ?? [])].some(
    (gap) => gap.stream === stream && gap.first <= sequence && sequence < gap.end,
  );
  if (isOpen)
    return row === undefined ? undefined : "is in an open gap, and in the journal, after all was replayed";
  const isOvertaken = (newest.get(nameTopic(published)) ?? -1) > sequence;
  const canBeSkipped =
    message.properties?.messageExpirySeconds !== undefined ||
    (send.world.plan.send.latestOnly && message.topic.includes("/latest/") && isOvertaken);
  if (canBeSkipped && hasSkips(recv)) return undefined;
  if (hasRot(send) || row?.intact === false) return undefined;
  return "malformed or spool";
}

function nameTopic({ place, message }: Published): string {
  return `${place?.journal}/${place?.stream}/${message.topic}`;
}

function hasSkips(recv: RecvHost): boolean {
  const { counters } = recv.core ?? {};
  return (
    counters !== undefined &&
    counters.get("link/skipped/expired") + counters.get("link/skipped/conflated") > 0
  );
}

function hasRot(send: SendHost): boolean {
  return send.world.plan.troubles["send/disk-rot"] > 0;
}
