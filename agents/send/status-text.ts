// The send agent's status for a person at a terminal: is it through, what is missing, why.
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatReasons,
  formatRows,
} from "../../shared/admin/text.ts";
import { describeSparkplug } from "./sparkplug/text.ts";
import type { SendStatus } from "./status.ts";

function describeListen(listen: SendStatus["sources"][number]["listen"]): string[] {
  if (listen === undefined) return [];
  const { listeners, clients, sessions, refused, banned } = listen;
  return [
    ...listeners.map(
      ({ address, transport, connections }) =>
        `listens on ${address} (${transport}): ${formatCount(connections)} connections`,
    ),
    `${formatCount(clients)} clients, ${formatCount(sessions)} sessions, refused ${formatReasons(refused)}`,
    ...(banned > 0 ? [`${formatCount(banned)} addresses are shut out for now`] : []),
  ];
}

export function formatSendStatus(status: SendStatus): string {
  const { ledger, link, journal } = status;
  const head = `tidegate-send ${status.version}, link ${status.linkId}: ${status.state}, up ${formatDuration(status.uptimeSeconds)}\n`;
  const problem = status.problem === null ? "" : `  cannot write the journal: ${status.problem}\n`;
  const sources = status.sources.map(
    ({ name, state, problem: why, accepted, filtered, lost, listen, sparkplug }) => {
      const figures = `${state}, accepted ${formatCount(accepted)}, filtered ${formatReasons(filtered)}, lost ${formatReasons(lost)}`;
      const more = [
        ...(why === null ? [] : [why]),
        ...describeListen(listen),
        ...describeSparkplug(sparkplug),
      ];
      return [name, [figures, ...more].join("\n    ")] as const;
    },
  );
  const paths = link.paths.map((path) => {
    const figures = `${path.endpoint}, ${formatCount(path.datagrams)} datagrams, ${formatBytes(path.bytes)}, waiting ${formatBytes(path.queuedBytes)}`;
    return [
      path.name,
      path.problem === null ? figures : `${figures}\n    takes no datagrams: ${path.problem}`,
    ] as const;
  });
  return [
    head,
    problem,
    "\nsources\n",
    formatRows(sources),
    "\npaths\n",
    formatRows(paths),
    "\nledger\n",
    formatRows([
      ["accepted", formatCount(ledger.accepted)],
      ["= forwarded", formatCount(ledger.forwarded)],
      ["+ held", formatCount(ledger.held)],
      ["+ filtered", formatReasons(ledger.filtered)],
      ["+ lost", formatReasons(ledger.lost)],
    ]),
    `\njournal ${formatBytes(journal.bytes)} of ${formatBytes(journal.bytesMax)}\n`,
  ].join("");
}
