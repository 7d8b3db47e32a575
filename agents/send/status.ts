// The send agent's figures as /api/status, as metrics and as readiness. docs/operating.md lists the fields.

import { labelled, Metrics } from "../../shared/admin/metrics.ts";
import type { Readiness } from "../../shared/admin/server.ts";
import { BUILD_INFO } from "../../shared/build-info.ts";
import type { Counters } from "../../shared/counters.ts";
import type { ListenFigures, Source } from "./ingress/source.ts";
import { type SendLedger, type SourceLedger, sourceLedger } from "./ledger.ts";
import type { PathCounters } from "./link/path-queue.ts";
import type { SparkplugFigures } from "./sparkplug/figures.ts";
import { addSparkplugMetrics } from "./sparkplug/metrics.ts";

export type SendFigures = {
  readonly linkId: string;
  readonly startedMs: number;
  readonly stopping: boolean;
  /** What keeps the journal from taking messages. */
  readonly problem: string | undefined;
  readonly journalId: string;
  readonly epoch: string;
  readonly journalBytes: number;
  readonly journalBytesMax: number;
  readonly streams: readonly { readonly stream: number; readonly next: number; readonly sent: number }[];
  /** Sequences that wait to be sent again on request. */
  readonly replaying: number;
  readonly counters: Counters;
  readonly ledger: SendLedger;
  readonly sources: readonly Source[];
  readonly paths: readonly PathFigures[];
};

export type PathFigures = {
  readonly name: string;
  readonly endpoint: string;
  readonly problem: string | undefined;
  readonly queuedBytes: number;
  readonly counters: PathCounters;
};

export type SendStatus = {
  readonly agent: "send";
  readonly version: string;
  readonly linkId: string;
  readonly state: "running" | "stopping" | "blocked";
  readonly problem: string | null;
  readonly uptimeSeconds: number;
  readonly sources: readonly (Omit<SourceLedger, "problem"> & {
    readonly problem: string | null;
    /** Only of a source that clients connect to. */
    readonly listen?: ListenFigures;
    /** Only of a source with Sparkplug. */
    readonly sparkplug?: SparkplugFigures;
  })[];
  readonly ledger: SendLedger;
  readonly journal: { readonly bytes: number; readonly bytesMax: number };
  readonly link: {
    readonly journalId: string;
    readonly epoch: string;
    readonly streams: SendFigures["streams"];
    readonly replaying: number;
    readonly paths: readonly (PathCounters & {
      readonly name: string;
      readonly endpoint: string;
      readonly problem: string | null;
      readonly queuedBytes: number;
    })[];
  };
};

export function makeStatus(figures: SendFigures, nowMs: number): SendStatus {
  const { problem, stopping } = figures;
  return {
    agent: "send",
    version: BUILD_INFO.version,
    linkId: figures.linkId,
    state: stopping ? "stopping" : problem === undefined ? "running" : "blocked",
    problem: problem ?? null,
    uptimeSeconds: Math.max(0, Math.round((nowMs - figures.startedMs) / 1000)),
    sources: figures.sources.map((source) => {
      const ledger = sourceLedger(source, figures.counters);
      const { listen, sparkplug } = source;
      const more = {
        ...(listen === undefined ? {} : { listen }),
        ...(sparkplug === undefined ? {} : { sparkplug }),
      };
      return { ...ledger, problem: ledger.problem ?? null, ...more };
    }),
    ledger: figures.ledger,
    journal: { bytes: figures.journalBytes, bytesMax: figures.journalBytesMax },
    link: {
      journalId: figures.journalId,
      epoch: figures.epoch,
      streams: figures.streams,
      replaying: figures.replaying,
      paths: figures.paths.map(({ counters, ...path }) => {
        return { ...path, problem: path.problem ?? null, ...counters };
      }),
    },
  };
}

/** Ready when every source has subscribed, the journal takes messages and no path refuses datagrams. */
export function judgeReadiness(figures: SendFigures): Readiness {
  const missing: string[] = [];
  if (figures.stopping) missing.push("the agent is stopping");
  if (figures.problem !== undefined) missing.push(`journal: ${figures.problem}`);
  for (const { name, state, problem } of figures.sources) {
    if (state !== "connected") missing.push(`source ${name} is ${state}${problem ? `: ${problem}` : ""}`);
  }
  for (const { name, problem } of figures.paths) if (problem) missing.push(`path ${name}: ${problem}`);
  return { ready: missing.length === 0, missing };
}

export function createMetrics(read: () => SendFigures): Metrics {
  const metrics = new Metrics();
  const perSource = function* (pick: (ledger: SourceLedger) => number) {
    const figures = read();
    for (const source of figures.sources) {
      yield [{ source: source.name }, pick(sourceLedger(source, figures.counters))] as const;
    }
  };
  const perPath = function* (pick: (path: PathFigures) => number) {
    for (const path of read().paths) yield [{ path: path.name }, pick(path)] as const;
  };
  metrics.counter("tidegate_send_accepted_total", "Messages taken from a source.", ["source"], () =>
    perSource((ledger) => ledger.accepted),
  );
  metrics.gauge("tidegate_send_source_connected", "1 while the source is subscribed.", ["source"], () =>
    perSource((ledger) => (ledger.state === "connected" ? 1 : 0)),
  );
  const perListen = function* (pick: (listen: ListenFigures) => number) {
    for (const { name, listen } of read().sources) {
      if (listen !== undefined) yield [{ source: name }, pick(listen)] as const;
    }
  };
  metrics.gauge("tidegate_send_listen_clients", "Clients that are connected.", ["source"], () =>
    perListen((listen) => listen.clients),
  );
  metrics.gauge(
    "tidegate_send_listen_sessions",
    "Sessions of clients, those away included.",
    ["source"],
    () => perListen((listen) => listen.sessions),
  );
  metrics.gauge("tidegate_send_listen_banned", "Addresses that are shut out for now.", ["source"], () =>
    perListen((listen) => listen.banned),
  );
  metrics.gauge(
    "tidegate_send_listener_connections",
    "Connections to a listener.",
    ["source", "listener"],
    function* () {
      for (const { name: source, listen } of read().sources) {
        for (const { address: listener, connections } of listen?.listeners ?? [])
          yield [{ source, listener }, connections] as const;
      }
    },
  );
  metrics.counter(
    "tidegate_send_listen_refused_total",
    "Connections refused or ended by the server.",
    ["source", "reason"],
    function* () {
      for (const { name: source, listen } of read().sources) {
        for (const [reason, count] of Object.entries(listen?.refused ?? {}))
          yield [{ source, reason }, count] as const;
      }
    },
  );
  addSparkplugMetrics(metrics, () => read().sources);
  metrics.counter("tidegate_send_filtered_total", "Messages a rule kept back.", ["rule"], () =>
    labelled("rule", read().ledger.filtered),
  );
  metrics.counter("tidegate_send_lost_total", "Messages lost, by reason.", ["reason"], () =>
    labelled("reason", read().ledger.lost),
  );
  metrics.counter("tidegate_send_forwarded_total", "Messages written to the link.", [], () => [
    [{}, read().ledger.forwarded],
  ]);
  metrics.gauge("tidegate_send_held_messages", "Messages that wait for the link.", [], () => [
    [{}, read().ledger.held],
  ]);
  metrics.gauge("tidegate_send_journal_bytes", "Content bytes in the journal.", [], () => [
    [{}, read().journalBytes],
  ]);
  metrics.gauge("tidegate_send_journal_blocked", "1 while the journal takes no messages.", [], () => [
    [{}, read().problem === undefined ? 0 : 1],
  ]);
  metrics.counter("tidegate_send_path_datagrams_total", "Datagrams written to a path.", ["path"], () =>
    perPath((path) => path.counters.datagrams),
  );
  metrics.counter(
    "tidegate_send_path_bytes_total",
    "Bytes on the wire of a path, headers included.",
    ["path"],
    () => perPath((path) => path.counters.bytes),
  );
  metrics.counter("tidegate_send_path_errors_total", "Times the kernel refused a datagram.", ["path"], () =>
    perPath((path) => path.counters.errors),
  );
  metrics.counter(
    "tidegate_send_path_dropped_blocks_total",
    "Blocks a full path did not get.",
    ["path"],
    () => perPath((path) => path.counters.droppedBlocks),
  );
  metrics.gauge("tidegate_send_path_queued_bytes", "Bytes that wait for a path.", ["path"], () =>
    perPath((path) => path.queuedBytes),
  );
  return metrics;
}
