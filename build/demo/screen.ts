// Draws the demonstration as lines of styled pieces: the way of a message, the account of both sides, the
// latest arrivals. Pure: a snapshot and a width in, lines out; the terminal is painted elsewhere.
import { describeDifference, findDisagreements, type Snapshot, show } from "./account.ts";
import { describePayload } from "./plant-data.ts";
import type { Rates } from "./rate.ts";
import { listReasons, readLedger, sum } from "./status.ts";
import type { Arrival } from "./traffic.ts";

export type Style = "plain" | "faint" | "strong" | "good" | "bad" | "link";
export type Piece = readonly [text: string, style?: Style];
export type Line = readonly Piece[];

export type View = Snapshot &
  Rates & {
    readonly title: string;
    /** The latest arrival of each topic. */
    readonly latest: readonly Arrival[];
    readonly phase: "starting" | "running" | "settling";
  };

const DRAWING_COLUMNS = 78;
const TOPIC_COLUMNS = 36;

/** All lines that fit into so many rows. */
export function drawScreen(view: View, columns: number, rows: number): Line[] {
  const lines: Line[] = [
    drawTitle(view),
    [],
    ...(columns >= DRAWING_COLUMNS ? drawPath(view) : []),
    ...drawAccount(view),
    [],
    ...drawVerdict(view),
    [],
    [["  latest at headquarters, by topic", "faint"]],
  ];
  const room = Math.max(0, rows - lines.length - 1);
  return [...lines, ...view.latest.slice(0, room).map(drawArrival)].slice(0, rows);
}

function drawTitle(view: View): Line {
  const time = `${Math.floor(view.elapsedMs / 60_000)}:${String(Math.floor(view.elapsedMs / 1_000) % 60).padStart(2, "0")}`;
  const hint = { starting: "starting …", running: "Ctrl-C ends", settling: "settling the account …" }[
    view.phase
  ];
  return [
    [` ${view.title}`, "strong"],
    [`   ${time}   ${hint}`, "faint"],
  ];
}

function drawPath(view: View): Line[] {
  const moving = view.arrivedPerSecond > 0 ? "link" : "faint";
  const state = view.recv.link?.state ?? "waiting";
  const hop: Piece = ["─▶", view.arrivedPerSecond > 0 ? "plain" : "faint"];
  const rate = (perSecond: number): string => `${show(Math.round(perSecond))} msg/s`;
  return [
    [["      PLANT (OT)", "faint"], ["".padEnd(30)], ["BUSINESS (IT)", "faint"]],
    [[" ┌──────────────┐  ┌───────────────┐         ┌───────────────┐  ┌────────────┐"]],
    [
      [" │ plant broker │"],
      hop,
      ["│ tidegate-send │"],
      ["══▶", moving],
      ["▐█▌", "strong"],
      ["══▶", moving],
      ["│ tidegate-recv │"],
      hop,
      ["│ hq broker  │"],
    ],
    [
      [" │ MQTT         │  │ journal, seal │  "],
      ["diode", "strong"],
      ["  │ open, spool   │  │ MQTT, TLS  │"],
    ],
    [
      [" └──────────────┘  └───────────────┘  "],
      [state.padEnd(7).slice(0, 7), state === "up" ? "good" : "bad"],
      ["└───────────────┘  └────────────┘"],
    ],
    [
      [`   ${rate(view.publishedPerSecond).padEnd(32)}`],
      [`${show(Math.round(view.bytesPerSecond / 1_000))} kB/s`.padStart(9), "faint"],
      ["".padEnd(20)],
      [rate(view.arrivedPerSecond)],
    ],
    [],
  ];
}

function drawAccount(view: View): Line[] {
  const send = readLedger(view.send.ledger);
  const recv = readLedger(view.recv.ledger);
  const hq = readLedger(view.recv.targets?.[0]?.ledger);
  const target = view.recv.targets?.[0]?.state ?? "";
  const row = (name: string, left: number, right: number, note = "", style: Style = "plain"): Line => [
    [`  ${name.padEnd(12)}`, "faint"],
    [show(left).padStart(13), style],
    [show(right).padStart(17), style],
    [`   ${note}`, "faint"],
  ];
  const lost = sum(send.lost) + sum(recv.lost) + sum(hq.lost);
  return [
    [["".padEnd(14)], ["tidegate-send".padStart(13), "faint"], ["tidegate-recv".padStart(17), "faint"]],
    row("accepted", send.accepted, hq.accepted),
    row("forwarded", send.forwarded, hq.forwarded, `hq ${target}`),
    row("filtered", sum(send.filtered), sum(hq.filtered), listReasons(send.filtered)),
    row("held", send.held, hq.held),
    row(
      "lost",
      sum(send.lost),
      sum(recv.lost) + sum(hq.lost),
      listReasons({ ...send.lost, ...recv.lost, ...hq.lost }),
      lost > 0 ? "bad" : "good",
    ),
    [
      ["  ledgers     ", "faint"],
      [
        `compared by the receiver: ${describeDifference(view.recv)}`,
        (view.recv.ledger?.comparison?.difference ?? 0) === 0 ? "good" : "bad",
      ],
    ],
  ];
}

function drawVerdict(view: View): Line[] {
  const faults = view.altered + view.duplicated + view.outOfOrder;
  return [
    [
      ["  counted independently: ", "faint"],
      [`published ${show(view.published)}  arrived ${show(view.arrived)}  under way ${show(view.missing)}`],
    ],
    [
      ["  compared by content:   ", "faint"],
      [
        `${view.altered} altered  ${view.duplicated} twice  ${view.outOfOrder} out of order`,
        faults > 0 ? "bad" : "good",
      ],
      [view.phase === "settling" && findDisagreements(view).length === 0 ? "   it agrees" : "", "good"],
    ],
  ];
}

function drawArrival({ topic, payload }: Arrival): Line {
  return [
    [`  ${topic.padEnd(TOPIC_COLUMNS)}`],
    [`${payload.byteLength} B`.padStart(7), "faint"],
    [`   ${describePayload(topic, payload)}`],
  ];
}

/** One line without any styling, for a log. */
export function drawPlainLine(view: View): string {
  const send = readLedger(view.send.ledger);
  const hq = readLedger(view.recv.targets?.[0]?.ledger);
  const lost = sum(send.lost) + sum(readLedger(view.recv.ledger).lost) + sum(hq.lost);
  return (
    `${(view.elapsedMs / 1_000).toFixed(0).padStart(4)} s  ${Math.round(view.arrivedPerSecond)} msg/s  link ${view.recv.link?.state ?? "waiting"}` +
    `  accepted ${send.accepted}  forwarded ${send.forwarded}  filtered ${sum(send.filtered)}` +
    `  delivered ${hq.forwarded}  arrived ${view.arrived}  held ${send.held + hq.held}  lost ${lost}`
  );
}
