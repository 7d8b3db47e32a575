// The configuration of the recv agent: the schema of recv.toml, and loading it with the profiles and files it names.
// Reads files only, never the network. Refuses to give a part: it is all of it, or every fault of every file.

import { dirname, isAbsolute, join } from "node:path";
import type * as z from "zod";
import {
  type Durability,
  durability,
  loadAdmin,
  type SharedConfig,
  sharedShape,
  toShared,
} from "../../shared/config/agent-tables.ts";
import { name, path, wholeNumber } from "../../shared/config/leaf.ts";
import { chooseClock, type Loaded, type LoadOptions, refuse } from "../../shared/config/loaded.ts";
import { type Environment, Review } from "../../shared/config/review.ts";
import { type LinkKeys, loadSealing, sealingShape } from "../../shared/config/sealing.ts";
import { table, tables } from "../../shared/config/table.ts";
import { readToml } from "../../shared/config/toml.ts";
import { type Partially, validate } from "../../shared/config/validate.ts";
import { type RecvPath, recvPathTable, reviewRecvPaths, toRecvPath } from "./path-config.ts";
import type { TargetProfile } from "./profile.ts";
import { loadProfiles } from "./profiles.ts";

export type RecvConfig = SharedConfig & {
  readonly link: LinkKeys & {
    readonly id: string;
    readonly patienceMs: number;
    readonly assemblyBytesMax: number;
    readonly holdBytesMax: number;
    readonly degradedAfterMs: number;
    readonly downAfterMs: number;
    readonly paths: readonly RecvPath[];
  };
  readonly spool: {
    readonly directory: string;
    readonly bytesMax: number;
    /** 0: nothing is given up because of its age. */
    readonly ageHoursMax: number;
    readonly durability: Durability;
  };
  readonly deadLetters: { readonly directory: string; readonly bytesMax: number };
  readonly targetsDirectory: string;
  /** In the order of their file names. */
  readonly profiles: readonly TargetProfile[];
};

const BUFFER_BYTES_MAX = 17_179_869_184;

export const recvSchema = table({
  targets: path().describe("Directory with one TOML profile for each target."),
  link: table({
    id: name().describe("Name of the link, the same on both sides."),
    ...sealingShape(),
    patience_ms: wholeNumber(10, 86_400_000)
      .default(1000)
      .describe("How long a missing message is waited for before it is booked as lost."),
    assembly_bytes_max: wholeNumber(1_048_576, BUFFER_BYTES_MAX)
      .default(67_108_864)
      .describe("Memory for blocks and messages that are not complete yet."),
    hold_bytes_max: wholeNumber(1_048_576, BUFFER_BYTES_MAX)
      .default(67_108_864)
      .describe("Memory for complete messages that wait for one before them."),
    degraded_after_ms: wholeNumber(200, 86_400_000)
      .default(2500)
      .describe("Silence after which the link counts as degraded."),
    down_after_ms: wholeNumber(200, 86_400_000)
      .default(5000)
      .describe("Silence after which the link counts as down."),
    path: tables("link.path", recvPathTable, 1, 16).describe("The one-way paths across; all carry the same."),
  }).describe("The link from the other side."),
  spool: table({
    directory: path().describe("Directory of the spool. It must be on a local disk."),
    bytes_max: wholeNumber(16_777_216, 17_592_186_044_416)
      .default(1_073_741_824)
      .describe("Space for messages that a target has not taken yet."),
    age_hours_max: wholeNumber(0, 87_600)
      .default(0)
      .describe(
        "What a target has not taken for longer is lost to it, by name. 0 keeps it while there is space.",
      ),
    durability: durability("os"),
  }).describe("The durable log of what came across."),
  dead_letters: table({
    directory: path()
      .optional()
      .describe("Directory of the dead letters, on a local disk. Default: that of the spool."),
    bytes_max: wholeNumber(1_048_576, 17_592_186_044_416)
      .default(67_108_864)
      .describe("Space for them; past it the oldest go."),
  })
    .prefault({})
    .describe("What targets refuse for good, kept so that it can be looked at and sent again."),
  ...sharedShape(),
});

type RecvTable = z.output<typeof recvSchema>;

export function loadRecvConfig(
  file: string,
  environment: Environment,
  options: LoadOptions = {},
): Loaded<RecvConfig> {
  const parsed = readToml(file);
  if (!parsed.ok) return refuse([parsed.fault]);
  const { value, partial, faults } = validate(recvSchema, parsed.document);
  const review = new Review(parsed.document, environment, chooseClock(options));
  const sealing = partial.link === undefined ? undefined : loadSealing(review, partial.link);
  const token = loadAdmin(review, partial.admin);
  checkTogether(review, partial);
  const { targets } = partial;
  const loaded =
    targets === undefined
      ? { profiles: [], files: [], faults: [] }
      : loadProfiles(review, review.resolve(targets), showBeside(file, targets));
  const all = [...faults, ...review.faults, ...loaded.faults];
  if (value === undefined || sealing === undefined || all.length > 0)
    return refuse(all, [file, ...loaded.files]);
  return {
    ok: true,
    config: {
      ...toShared(review, value, token),
      link: toLink(review, value.link, sealing),
      spool: {
        directory: review.resolve(value.spool.directory),
        bytesMax: value.spool.bytes_max,
        ageHoursMax: value.spool.age_hours_max,
        durability: value.spool.durability,
      },
      deadLetters: {
        directory: review.resolve(value.dead_letters.directory ?? value.spool.directory),
        bytesMax: value.dead_letters.bytes_max,
      },
      targetsDirectory: review.resolve(value.targets),
      profiles: loaded.profiles,
    },
  };
}

function checkTogether(review: Review, recv: Partially<RecvTable>): void {
  reviewRecvPaths(review, recv.link?.path ?? []);
  review.requireOrder(
    { path: ["link", "degraded_after_ms"], value: recv.link?.degraded_after_ms },
    { path: ["link", "down_after_ms"], value: recv.link?.down_after_ms },
  );
  const message = { path: ["limits", "message_bytes_max"], value: recv.limits?.message_bytes_max };
  review.requireOrder(message, { path: ["spool", "bytes_max"], value: recv.spool?.bytes_max });
  review.requireOrder(message, {
    path: ["link", "assembly_bytes_max"],
    value: recv.link?.assembly_bytes_max,
  });
  review.requireOrder(message, {
    path: ["dead_letters", "bytes_max"],
    value: recv.dead_letters?.bytes_max,
  });
}

function toLink(review: Review, link: RecvTable["link"], sealing: LinkKeys): RecvConfig["link"] {
  return {
    id: link.id,
    ...sealing,
    patienceMs: link.patience_ms,
    assemblyBytesMax: link.assembly_bytes_max,
    holdBytesMax: link.hold_bytes_max,
    degradedAfterMs: link.degraded_after_ms,
    downAfterMs: link.down_after_ms,
    paths: link.path.map((entry, index) => toRecvPath(review, entry, index)),
  };
}

/** The directory as the operator would type it where the program runs, so that a fault's line can be clicked. */
function showBeside(file: string, directory: string): string {
  return isAbsolute(directory) ? directory : join(dirname(file), directory);
}
