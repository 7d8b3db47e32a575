// The recv agent's figures as /api/status, as metrics and as readiness. docs/operating.md lists the fields.
import { labelled, Metrics } from "../../shared/admin/metrics.ts";
import type { Readiness } from "../../shared/admin/server.ts";
import { BUILD_INFO } from "../../shared/build-info.ts";
import type { Counters } from "../../shared/counters.ts";
import type { HeartbeatSection } from "../../shared/framing/heartbeat.ts";
import type { LinkLedger, TargetLedger } from "./ledger.ts";
import type { Comparison } from "./link/comparison.ts";
import type { LinkHealth, LinkHealthState } from "./link/health.ts";
import type { PathFigures } from "./link/paths.ts";
import type { SparkplugFigures } from "./targets/sparkplug/figures.ts";
import { addSparkplugMetrics } from "./targets/sparkplug/metrics.ts";
import type { Target, TargetState } from "./targets/target.ts";

export type RecvFigures = {
  readonly linkId: string;
  readonly startedMs: number;
  readonly stopping: boolean;
  /** What keeps the spool from taking messages. */
  readonly problem: string | undefined;
  readonly journalId: string | undefined;
  readonly epoch: string;
  readonly health: LinkHealth;
  /** Since the last heartbeat; undefined before the first. */
  readonly heartbeatAgeMs: number | undefined;
  /** Open gaps, the sequences in them, and gaps closed because there were too many. */
  readonly gaps: { readonly count: number; readonly sequences: number; readonly closed: number };
  readonly streams: readonly { readonly stream: number; readonly next: number }[];
  readonly waitingBytes: number;
  readonly spoolBytes: number;
  readonly spoolBytesMax: number;
  /** `dropped` went to make room for newer ones, since the agent was started; `problem` is the disk's. */
  readonly deadLetters: {
    readonly count: number;
    readonly dropped: number;
    readonly problem: string | undefined;
    readonly bytes: number;
    readonly bytesMax: number;
  };
  readonly counters: Counters;
  readonly ledger: LinkLedger;
  readonly paths: readonly PathFigures[];
  readonly targets: readonly { readonly target: Target; readonly ledger: TargetLedger }[];
};

export type PathStatus = Omit<PathFigures, "receiveBufferBytes" | "problem" | "silentMs" | "missing"> & {
  /** Of a UDP socket, as granted. */
  readonly receiveBufferBytes: number | null;
  /** What keeps it from reading. */
  readonly problem: string | null;
  /** Since something came; null before the first. */
  readonly silentSeconds: number | null;
  /** Datagrams that the sender has put on this path since its first heartbeat and that have not come; null while unknown. */
  readonly missing: number | null;
};

export type RecvStatus = {
  readonly agent: "recv";
  readonly version: string;
  readonly linkId: string;
  readonly state: "running" | "stopping" | "blocked";
  readonly problem: string | null;
  readonly uptimeSeconds: number;
  readonly link: {
    readonly state: LinkHealthState;
    /** Seconds since the last heartbeat; null before the first. */
    readonly heartbeatAgeSeconds: number | null;
    /** This host's clock less the sender's. */
    readonly clockDifferenceMs: number | null;
    readonly senderRestarts: number;
    readonly journalId: string | null;
    readonly epoch: string | null;
    readonly streams: RecvFigures["streams"];
    readonly waitingBytes: number;
    readonly gaps: RecvFigures["gaps"];
    /** Messages that came after they had been booked as lost. */
    readonly recovered: number;
    /** Symbols that were lost on the way and computed from the others: what FEC has saved. */
    readonly restoredSymbols: number;
    /** Datagrams that were not needed any more: repair of whole blocks, copies by other paths, replays. */
    readonly surplusDatagrams: number;
    /** Datagrams that were refused, by reason. */
    readonly refused: Record<string, number>;
    readonly paths: readonly PathStatus[];
  };
  /** The sender's side as its last heartbeat told it; null before the first. */
  readonly sender: {
    readonly clockMs: number;
    readonly uptimeSeconds: number;
    readonly stopping: boolean;
    readonly streams: readonly { readonly stream: number; readonly next: number; readonly sent: number }[];
    readonly sections: readonly {
      readonly type: string;
      readonly name: string;
      readonly state: string;
      readonly counters: Record<string, number>;
    }[];
  } | null;
  readonly ledger: Omit<LinkLedger, "comparison"> & { readonly comparison: Comparison | null };
  readonly spool: { readonly bytes: number; readonly bytesMax: number };
  readonly deadLetters: Omit<RecvFigures["deadLetters"], "problem"> & { readonly problem: string | null };
  readonly targets: readonly {
    readonly name: string;
    readonly type: string;
    readonly address: string;
    readonly state: TargetState;
    readonly problem: string | null;
    readonly connections: number;
    readonly ledger: TargetLedger;
    /** What it was told of the link, in no ledger; null when its profile wants no status. */
    readonly status: { readonly published: number; readonly lost: number } | null;
    /** Messages that were too large as they were and went in another form, since the start of the agent. */
    readonly reduced: { readonly compressed: number; readonly split: number };
    /** Of a target of type "sparkplug"; null of others. */
    readonly sparkplug: SparkplugFigures | null;
  }[];
};

export function makeStatus(figures: RecvFigures, nowMs: number): RecvStatus {
  const { problem, stopping, health, counters } = figures;
  const last = health.last;
  return {
    agent: "recv",
    version: BUILD_INFO.version,
    linkId: figures.linkId,
    state: stopping ? "stopping" : problem === undefined ? "running" : "blocked",
    problem: problem ?? null,
    uptimeSeconds: Math.max(0, Math.round((nowMs - figures.startedMs) / 1000)),
    link: {
      state: health.state,
      heartbeatAgeSeconds: figures.heartbeatAgeMs === undefined ? null : figures.heartbeatAgeMs / 1000,
      clockDifferenceMs: health.clockDifferenceMs ?? null,
      senderRestarts: counters.get("link/sender_restarts"),
      journalId: figures.journalId ?? null,
      epoch: figures.journalId === undefined ? null : figures.epoch,
      streams: figures.streams,
      waitingBytes: figures.waitingBytes,
      gaps: figures.gaps,
      recovered: counters.get("link/recovered"),
      restoredSymbols: counters.get("link/restored_symbols"),
      surplusDatagrams: counters.get("link/surplus"),
      refused: counters.group("link/refused"),
      paths: figures.paths.map(({ silentMs, ...path }) => ({
        ...path,
        receiveBufferBytes: path.receiveBufferBytes ?? null,
        problem: path.problem ?? null,
        silentSeconds: silentMs === undefined ? null : silentMs / 1000,
        missing: path.missing ?? null,
      })),
    },
    sender: last
      ? {
          clockMs: last.heartbeat.clockMs,
          uptimeSeconds: Math.round(last.heartbeat.uptimeMs / 1000),
          stopping: last.heartbeat.stopping,
          streams: last.heartbeat.streams.map(({ stream, next, sent }) => ({ stream, next, sent })),
          sections: last.heartbeat.sections.map(plainSection),
        }
      : null,
    ledger: { ...figures.ledger, comparison: figures.ledger.comparison ?? null },
    spool: { bytes: figures.spoolBytes, bytesMax: figures.spoolBytesMax },
    deadLetters: { ...figures.deadLetters, problem: figures.deadLetters.problem ?? null },
    targets: figures.targets.map(({ target, ledger }) => {
      const { name, type, address, state, problem: trouble, connections } = target;
      const status = target.status ? { published: target.status.published, lost: target.status.lost } : null;
      const { reduced = { compressed: 0, split: 0 } } = target;
      const shown = { name, type, address, state, problem: trouble ?? null, connections, ledger, status };
      return { ...shown, reduced: { ...reduced }, sparkplug: target.sparkplug ?? null };
    }),
  };
}

function plainSection({ type, name, state, counters }: HeartbeatSection) {
  return { type, name, state, counters: Object.fromEntries(counters) };
}

/** Ready when the link is bound, the spool takes messages, and each target is connected or known to be down. */
export function judgeReadiness(figures: RecvFigures): Readiness {
  const missing: string[] = [];
  if (figures.stopping) missing.push("the agent is stopping");
  if (figures.problem !== undefined) missing.push(`spool: ${figures.problem}`);
  if (figures.paths.length === 0) missing.push("no path is bound");
  for (const { target } of figures.targets) {
    if (target.state === "connecting") missing.push(`target ${target.name} is connecting`);
  }
  return { ready: missing.length === 0, missing };
}

const LINK_STATES: readonly LinkHealthState[] = ["waiting", "down", "degraded", "up"];

export function createMetrics(read: () => RecvFigures): Metrics {
  const metrics = new Metrics();
  const single = (value: number) => [[{}, value]] as const;
  metrics.gauge("tidegate_recv_link_state", "1 for the state that the link is in.", ["state"], function* () {
    const state = read().health.state;
    for (const name of LINK_STATES) yield [{ state: name }, name === state ? 1 : 0];
  });
  metrics.gauge("tidegate_recv_heartbeat_age_seconds", "Time since the last heartbeat.", [], () => {
    const { heartbeatAgeMs } = read();
    return heartbeatAgeMs === undefined ? [] : single(heartbeatAgeMs / 1000);
  });
  metrics.gauge("tidegate_recv_clock_difference_seconds", "This host's clock less the sender's.", [], () => {
    const difference = read().health.clockDifferenceMs;
    return difference === undefined ? [] : single(difference / 1000);
  });
  metrics.counter("tidegate_recv_sender_restarts_total", "Times the send agent was started again.", [], () =>
    single(read().counters.get("link/sender_restarts")),
  );
  metrics.counter("tidegate_recv_accepted_total", "Messages that came over the link.", [], () =>
    single(read().ledger.accepted),
  );
  metrics.gauge(
    "tidegate_recv_lost_messages",
    "Messages lost before the spool and not recovered, by reason.",
    ["reason"],
    () => labelled("reason", read().ledger.lost),
  );
  metrics.counter(
    "tidegate_recv_recovered_total",
    "Messages that came after they had been booked as lost.",
    [],
    () => single(read().counters.get("link/recovered")),
  );
  metrics.gauge("tidegate_recv_open_gaps", "Ranges that are lost and may still come.", [], () =>
    single(read().gaps.count),
  );
  metrics.counter("tidegate_recv_skipped_total", "Sequences the sender gave up, by reason.", ["reason"], () =>
    labelled("reason", read().ledger.skipped),
  );
  metrics.gauge("tidegate_recv_awaited_messages", "Messages sent that have not arrived yet.", [], () =>
    single(read().ledger.awaited),
  );
  metrics.gauge(
    "tidegate_recv_ledger_difference_messages",
    "What the sender's ledger has more than this one; anything but 0 is a fault.",
    [],
    () => {
      const { comparison } = read().ledger;
      return comparison === undefined ? [] : single(comparison.difference);
    },
  );
  metrics.counter("tidegate_recv_restored_symbols_total", "Lost symbols computed from others.", [], () =>
    single(read().counters.get("link/restored_symbols")),
  );
  metrics.counter("tidegate_recv_refused_datagrams_total", "Refused by reason.", ["reason"], () =>
    labelled("reason", read().counters.group("link/refused")),
  );
  addPathMetrics(metrics, read);
  metrics.gauge("tidegate_recv_spool_bytes", "Content bytes in the spool.", [], () =>
    single(read().spoolBytes),
  );
  metrics.gauge("tidegate_recv_spool_blocked", "1 while the spool takes no messages.", [], () =>
    single(read().problem === undefined ? 0 : 1),
  );
  metrics.gauge("tidegate_recv_dead_letters", "Messages that targets refused, kept here.", [], () =>
    single(read().deadLetters.count),
  );
  metrics.counter("tidegate_recv_dead_letters_dropped_total", "Dead letters that had to make room.", [], () =>
    single(read().deadLetters.dropped),
  );
  addTargetMetrics(metrics, read);
  addSparkplugMetrics(metrics, () => read().targets.map(({ target }) => target));
  return metrics;
}

function addPathMetrics(metrics: Metrics, read: () => RecvFigures): void {
  const perPath = function* (pick: (path: PathFigures) => number | undefined) {
    for (const path of read().paths) {
      const value = pick(path);
      if (value !== undefined) yield [{ path: path.name }, value] as const;
    }
  };
  const perReason = function* (pick: (path: PathFigures) => Record<string, number>, label: string) {
    for (const path of read().paths) {
      for (const [reason, value] of Object.entries(pick(path)))
        yield [{ path: path.name, [label]: reason }, value] as const;
    }
  };
  const counter = (name: string, help: string, pick: (path: PathFigures) => number) =>
    metrics.counter(`tidegate_recv_path_${name}_total`, help, ["path"], () => perPath(pick));
  counter("datagrams", "Datagrams read from a path.", (path) => path.datagrams);
  counter("bytes", "Bytes of datagrams read from a path.", (path) => path.bytes);
  counter("first", "Datagrams that brought what was not here yet.", (path) => path.first);
  counter("surplus", "Datagrams that were not needed any more.", (path) => path.surplus);
  metrics.gauge(
    "tidegate_recv_path_missing_datagrams",
    "Datagrams that the sender has put on a path and that have not come by it.",
    ["path"],
    () => perPath((path) => path.missing),
  );
  metrics.gauge("tidegate_recv_path_silent", "1 while a path brings nothing and others do.", ["path"], () =>
    perPath((path) => (path.silent ? 1 : 0)),
  );
  metrics.gauge("tidegate_recv_path_blocked", "1 while a path cannot be read.", ["path"], () =>
    perPath((path) => (path.problem === undefined ? 0 : 1)),
  );
  metrics.counter("tidegate_recv_path_refused_total", "Refused by reason.", ["path", "reason"], () =>
    perReason((path) => path.refused, "reason"),
  );
  metrics.counter(
    "tidegate_recv_path_skipped_bytes_total",
    "Bytes of a stream or of files that belong to no record, by reason.",
    ["path", "reason"],
    () => perReason((path) => path.skippedBytes, "reason"),
  );
  metrics.counter(
    "tidegate_recv_path_events_total",
    "Connections, files and the like.",
    ["path", "event"],
    () => perReason((path) => path.events, "event"),
  );
}

function addTargetMetrics(metrics: Metrics, read: () => RecvFigures): void {
  metrics.gauge("tidegate_recv_target_connected", "1 while connected.", ["target"], function* () {
    for (const { target } of read().targets)
      yield [{ target: target.name }, target.state === "connected" ? 1 : 0];
  });
  metrics.gauge(
    "tidegate_recv_target_certificate_end_seconds",
    "When our certificate for the target ends, in seconds since 1970.",
    ["target"],
    function* () {
      for (const { target } of read().targets)
        if (target.certificateEndMs !== undefined)
          yield [{ target: target.name }, target.certificateEndMs / 1000];
    },
  );
  metrics.counter("tidegate_recv_target_forwarded_total", "Messages delivered.", ["target"], function* () {
    for (const { target, ledger } of read().targets) yield [{ target: target.name }, ledger.forwarded];
  });
  metrics.gauge("tidegate_recv_target_held_messages", "Messages that wait.", ["target"], function* () {
    for (const { target, ledger } of read().targets) yield [{ target: target.name }, ledger.held];
  });
  metrics.counter(
    "tidegate_recv_target_status_published_total",
    "Status messages delivered; in no ledger.",
    ["target"],
    function* () {
      for (const { target } of read().targets)
        if (target.status) yield [{ target: target.name }, target.status.published];
    },
  );
  metrics.counter(
    "tidegate_recv_target_reduced_total",
    "Messages delivered compressed or split, because they were too large as they were.",
    ["target", "form"],
    function* () {
      for (const { target } of read().targets)
        for (const [form, value] of Object.entries(target.reduced ?? {}))
          yield [{ target: target.name, form }, value] as const;
    },
  );
  const perName = function* (kind: "filtered" | "lost", label: string) {
    for (const { target, ledger } of read().targets) {
      for (const [name, value] of Object.entries(ledger[kind]))
        yield [{ target: target.name, [label]: name }, value] as const;
    }
  };
  metrics.counter(
    "tidegate_recv_target_filtered_total",
    "Messages a rule kept back.",
    ["target", "rule"],
    () => perName("filtered", "rule"),
  );
  metrics.gauge(
    "tidegate_recv_target_lost_messages",
    "Messages lost to a target and not sent again, by reason.",
    ["target", "reason"],
    () => perName("lost", "reason"),
  );
}
