// The configuration of the send agent: the schema of send.toml, and loading it with the files it names.
// Reads files only, never the network. Refuses to give a part: it is all of it, or every fault.

import type * as z from "zod";
import {
  type Durability,
  durability,
  loadAdmin,
  type SharedConfig,
  sharedShape,
  toShared,
} from "../../shared/config/agent-tables.ts";
import { choice, localTopicFilter, name, path, wholeNumber } from "../../shared/config/leaf.ts";
import { chooseClock, type Loaded, type LoadOptions, refuse } from "../../shared/config/loaded.ts";
import { type Environment, Review } from "../../shared/config/review.ts";
import { type LinkKeys, loadSealing, sealingShape } from "../../shared/config/sealing.ts";
import { list, oneOrMore, table, tables } from "../../shared/config/table.ts";
import { readToml } from "../../shared/config/toml.ts";
import { type Partially, validate } from "../../shared/config/validate.ts";
import type { Qos0Overflow } from "./intake-options.ts";
import { reviewSendPaths, type SendPath, sendPathTable, toSendPath } from "./path-config.ts";
import { loadSources, type SourceConfig, sourceTable, toSource } from "./source-config.ts";
import { expandSparkplug } from "./sparkplug-config.ts";
import { OWN_STREAM } from "./topic-treatment.ts";

export type SendConfig = SharedConfig & {
  readonly link: LinkKeys & {
    readonly id: string;
    readonly datagramBytes: number;
    readonly lingerMs: number;
    readonly heartbeatMs: number;
    readonly blockBytes: number;
    readonly repairPercent: number;
    readonly repairSymbolsMin: number;
    readonly interleaveBlocks: number;
    readonly compression: "zstd" | "none";
    readonly repeatAfterSeconds: number;
    readonly paths: readonly SendPath[];
  };
  readonly journal: {
    readonly directory: string;
    readonly bytesMax: number;
    /** 0: nothing is given up because of its age. */
    readonly ageHoursMax: number;
    readonly durability: Durability;
    readonly waitingBytesMax: number;
    readonly qos0Overflow: Qos0Overflow;
  };
  readonly sources: readonly SourceConfig[];
  readonly filters: readonly { readonly name: string; readonly drop: readonly string[] }[];
  /** From the most urgent to the least; what matches none comes last, on stream 0. */
  readonly priorities: readonly {
    readonly name: string;
    readonly stream: number;
    readonly topics: readonly string[];
  }[];
  readonly latestOnly: readonly string[];
};

export const sendSchema = table({
  link: table({
    id: name().describe("Name of the link, the same on both sides."),
    ...sealingShape(),
    datagram_bytes: wholeNumber(200, 65_000)
      .default(1400)
      .describe("Size of the UDP payload. With its headers (28 bytes, IPv6 48) it must fit the MTU."),
    linger_ms: wholeNumber(0, 10_000)
      .default(1)
      .describe(
        "How long a message may wait for others to share its block; after a pause as long as that, none waits.",
      ),
    heartbeat_ms: wholeNumber(100, 1000)
      .default(1000)
      .describe("Time between heartbeats, from which the receiver tells that the link is up."),
    block_bytes: wholeNumber(1024, 262_144)
      .default(49_152)
      .describe("A block is closed when it holds this many bytes of messages."),
    repair_percent: wholeNumber(0, 400)
      .default(10)
      .describe("Repair symbols for each 100 source symbols: how many of 100 lost datagrams are restored."),
    repair_symbols_min: wholeNumber(0, 64)
      .default(1)
      .describe("Repair symbols of even the smallest block. 0 leaves single datagrams without repair."),
    interleave_blocks: wholeNumber(1, 64)
      .default(1)
      .describe("Blocks whose datagrams are sent in turns, so that a burst of loss is spread over them."),
    compression: choice(["zstd", "none"])
      .default("zstd")
      .describe(
        '"zstd" compresses a block where that saves a sixteenth of it, or a quarter while the link keeps up.',
      ),
    repeat_after_seconds: wholeNumber(0, 604_800)
      .default(0)
      .describe(
        "Sends everything once more after this time, in capacity that nothing else wants. 0 turns it off.",
      ),
    path: tables("link.path", sendPathTable, 1, 16).describe("The one-way paths across; all carry the same."),
  }).describe("The link to the other side."),
  journal: table({
    directory: path().describe("Directory of the journal. It must be on a local disk."),
    bytes_max: wholeNumber(16_777_216, 17_592_186_044_416)
      .default(1_073_741_824)
      .describe("Space for the journal. The oldest messages that have been sent go first."),
    age_hours_max: wholeNumber(0, 87_600)
      .default(0)
      .describe(
        "Older messages go: those that were sent in silence, the others by name when their turn comes. 0 keeps them while there is space.",
      ),
    durability: durability("fsync"),
    waiting_bytes_max: wholeNumber(1_048_576, 17_179_869_184)
      .default(33_554_432)
      .describe(
        "Memory for messages while the journal takes none (a full disk, or the journal itself full of what was not sent). QoS 1 and 2 are held back by not acknowledging them; QoS 0, which cannot be, is lost beyond this, and counted as overflow.",
      ),
    qos0_overflow: choice(["drop-newest", "drop-oldest"])
      .default("drop-newest")
      .describe("Which messages of QoS 0 are lost then."),
  }).describe("The durable log of what was accepted."),
  source: tables("source", sourceTable, 1, 64).describe("Where MQTT comes from."),
  filter: tables(
    "filter",
    table({
      name: name().describe("Name of the rule; what it drops is counted under it."),
      drop: oneOrMore("topic filters", localTopicFilter(), 256).describe(
        "Messages with such a topic are dropped.",
      ),
    }),
    0,
    256,
  )
    .default([])
    .describe("Rules for what stays in the plant. The first that matches counts."),
  priority: tables(
    "priority",
    table({
      name: name().describe("Name of the class."),
      topics: oneOrMore("topic filters", localTopicFilter(), 256).describe(
        "Messages with such a topic are of this class.",
      ),
    }),
    0,
    15,
  )
    .default([])
    .describe(
      "Classes that overtake what comes after them, the most urgent first. Order holds within a class. What is of none comes last.",
    ),
  latest_only: table({
    topics: list("topic filters", localTopicFilter(), 1, 256).describe(
      "While messages wait for the link, only the latest of each such topic is sent.",
    ),
  })
    .optional()
    .describe("Topics whose older values are worthless once there is a newer one."),
  ...sharedShape(),
});

type SendTable = z.output<typeof sendSchema>;

export function loadSendConfig(
  file: string,
  environment: Environment,
  options: LoadOptions = {},
): Loaded<SendConfig> {
  const parsed = readToml(file);
  if (!parsed.ok) return refuse([parsed.fault]);
  const document = expandSparkplug(parsed.document);
  const { value, partial, faults } = validate(sendSchema, document);
  const review = new Review(document, environment, chooseClock(options));
  const sealing = partial.link === undefined ? undefined : loadSealing(review, partial.link);
  const token = loadAdmin(review, partial.admin);
  const materials = loadSources(review, partial.link?.id, partial.source ?? []);
  checkTogether(review, partial);
  if (value === undefined || sealing === undefined || review.faults.length > 0) {
    return refuse([...faults, ...review.faults]);
  }
  return {
    ok: true,
    config: {
      ...toShared(review, value, token),
      link: toLink(review, value.link, sealing),
      journal: {
        directory: review.resolve(value.journal.directory),
        bytesMax: value.journal.bytes_max,
        ageHoursMax: value.journal.age_hours_max,
        durability: value.journal.durability,
        waitingBytesMax: value.journal.waiting_bytes_max,
        qos0Overflow: value.journal.qos0_overflow,
      },
      sources: value.source.map((source, index) => toSource(review, source, value.link.id, materials[index])),
      filters: value.filter.map(({ name, drop }) => ({
        name,
        drop: typeof drop === "string" ? [drop] : drop,
      })),
      priorities: value.priority.map(({ name, topics }, index) => ({
        name,
        stream: index + 1,
        topics: typeof topics === "string" ? [topics] : topics,
      })),
      latestOnly: value.latest_only?.topics ?? [],
    },
  };
}

function checkTogether(review: Review, send: Partially<SendTable>): void {
  reviewSendPaths(review, send.link?.path ?? []);
  review.requireUnique(
    (send.filter ?? []).map((filter, index) => ({ path: ["filter", index, "name"], value: filter?.name })),
  );
  review.requireUnique(
    (send.priority ?? []).map((entry, index) => ({ path: ["priority", index, "name"], value: entry?.name })),
  );
  const usesSparkplug = send.source?.some((source) => source?.sparkplug !== undefined) === true;
  if (usesSparkplug && (send.priority?.length ?? 0) > OWN_STREAM - 1)
    review.add(
      ["priority"],
      `has ${send.priority?.length} classes`,
      `must have at most ${OWN_STREAM - 1} with sparkplug`,
    );
  review.requireOrder(
    { path: ["limits", "message_bytes_max"], value: send.limits?.message_bytes_max },
    { path: ["journal", "bytes_max"], value: send.journal?.bytes_max },
  );
}

function toLink(review: Review, link: SendTable["link"], sealing: LinkKeys): SendConfig["link"] {
  return {
    id: link.id,
    ...sealing,
    datagramBytes: link.datagram_bytes,
    lingerMs: link.linger_ms,
    heartbeatMs: link.heartbeat_ms,
    blockBytes: link.block_bytes,
    repairPercent: link.repair_percent,
    repairSymbolsMin: link.repair_symbols_min,
    interleaveBlocks: link.interleave_blocks,
    compression: link.compression,
    repeatAfterSeconds: link.repeat_after_seconds,
    paths: link.path.map((entry, index) => toSendPath(review, entry, index)),
  };
}
