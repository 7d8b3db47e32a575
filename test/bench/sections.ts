// The sections of the benchmark: what each measures, with which entrants. A section is measured, judged and recorded by itself.
import { readFileSync } from "node:fs";
import { CertificateAuthority } from "../support/certificates.ts";
import { Workspace } from "../support/workspace.ts";
import type { RunWishes } from "./carry.ts";
import type { Arm } from "./chain.ts";
import { type Contest, type Entrant, hold } from "./contest.ts";
import { measureIdle } from "./idle.ts";
import { type LinkStanding, measureLink } from "./link-contest.ts";
import { type ListenStanding, measureListen } from "./listen.ts";
import { installNodeRed } from "./node-red.ts";
import { measurePacing, type PacingStanding } from "./pacing.ts";
import type { Durability, Programs } from "./pair.ts";
import { measureStart, type StartResult } from "./startup.ts";

/** What each section gives, by its name; in the order of the page. */
export type Figures = {
  readonly direct: readonly Contest[];
  readonly tls: readonly Contest[];
  readonly backlog: readonly Contest[];
  readonly slow: readonly Contest[];
  readonly heavy: readonly Contest[];
  readonly flat: readonly Contest[];
  readonly bridge: readonly Contest[];
  readonly latency: readonly Contest[];
  readonly listen: readonly ListenStanding[];
  readonly link: readonly LinkStanding[];
  readonly pacing: readonly PacingStanding[];
  readonly start: Readonly<Record<"send" | "recv", StartResult>>;
};

export type SectionName = keyof Figures;

export type Bench = {
  readonly programs: Programs;
  readonly rounds: number;
  readonly note: (line: string) => void;
};

type Measure = { readonly [Name in SectionName]: (bench: Bench) => Promise<Figures[Name]> };

const MESSAGES = { 0: 800_000, 1: 300_000 } as const;
const START_ROUNDS = 10;
/**
 * Of the messages of a contest, so that each way is at it for a second or more: less than that, kernel ticks cannot tell apart, and
 * compilers are not done. Some are slow.
 */
const FACTORS: Partial<Record<Arm, number>> = { none: 10, direct: 3, aedes: 0.5, "node-red": 0.1 };
/** Payload bytes that one run of a contest of large payloads carries, about. */
const BYTES_PER_RUN = 200_000_000;

const NAMES: Record<Exclude<Arm, "tidegate" | "direct">, string> = {
  none: "generator to sink",
  broker: "one Mosquitto",
  bridge: "Mosquitto bridge",
  relay: "one Mosquitto that bridges",
  aedes: "aedes and MQTT.js",
  "node-red": "Node-RED between the two",
};

/** Whatever has the sink for its broker, or two brokers of its own; the first is what the others are compared with. */
const DIRECT: readonly (readonly [Arm, Durability])[] = [
  ["relay", "fsync"],
  ["direct", "fsync"],
];
const DIRECT_TOO: readonly (readonly [Arm, Durability])[] = [
  ...DIRECT,
  ["direct", "os"],
  ["aedes", "os"],
  ["none", "os"],
];
const BRIDGED: readonly (readonly [Arm, Durability])[] = [
  ["bridge", "fsync"],
  ["tidegate", "fsync"],
  ["tidegate", "os"],
  ["broker", "fsync"],
  ["none", "fsync"],
];

const NODE_RED: readonly [Arm, Durability] = ["node-red", "os"];

/** At the lower rate twenty seconds: until then the compilers of the programs take turns with them. */
const LATENCY_WARM_MESSAGES = 20_000;

export const SECTIONS: Measure = {
  direct: async (bench) => {
    const contests: Contest[] = [];
    for (const qos of [0, 1] as const) {
      for (const [payloadBytes, topics, payload] of LOADS) {
        const what = payload === "json" ? `${size(payloadBytes)} of JSON` : size(payloadBytes);
        const title = `Listen to a plain target, ${what}, ${topics.toLocaleString("en")} topics, QoS ${qos}`;
        const messages = Math.min(MESSAGES[qos], Math.ceil(BYTES_PER_RUN / payloadBytes));
        // The usual load has all the entrants.
        const arms = payloadBytes === 100 && topics === 100 && payload === "random" ? DIRECT_TOO : DIRECT;
        contests.push(await contest(bench, title, arms, { qos, payloadBytes, topics, payload, messages }));
      }
    }
    return contests;
  },
  tls: async (bench) => {
    using workspace = new Workspace("bench-tls");
    const authority = await CertificateAuthority.create(workspace.directory);
    const { certFile, keyFile } = await authority.issue("sink", { usage: "server" });
    const read = (file: string) => readFileSync(file, "utf8");
    const tls = { cert: read(certFile), key: read(keyFile), caFile: authority.caFile };
    const title = "Listen to a target over TLS, 100 B, 100 topics, QoS 0";
    return [await contest(bench, title, DIRECT, { qos: 0, tls })];
  },
  backlog: async (bench) => {
    const title = "A backlog of 1,000,000 messages, 100 B, QoS 1, while the target was away";
    return [await contest(bench, title, DIRECT, { qos: 1, messages: 1_000_000, isBacklog: true })];
  },
  slow: async (bench) => {
    const title = "JSON readings of 120 B over a path of 1 Mbit/s, QoS 0";
    bench.note(title);
    const entrants = (["none", "zstd"] as const).map((compression): Entrant => {
      const load = { qos: 0, payload: "json", payloadBytes: 120, topics: 100, messages: 8000 } as const;
      const way = {
        arm: "direct",
        durability: "fsync",
        programs: bench.programs,
        rateMbitPerSecond: 1,
      } as const;
      return {
        name: `tidegate, compression = "${compression}"`,
        wishes: { ...load, ...way, link: `compression = "${compression}"\nlinger_ms = 100` },
      };
    });
    return [{ title, standings: await hold(entrants, bench.rounds, bench.note) }];
  },
  heavy: async (bench) => {
    const ratePerSecond = 17_500;
    const title = "17,500 messages/s of 8 KiB, QoS 0";
    bench.note(title);
    const entrants = [1400, 8900].map((datagramBytes): Entrant => {
      const load = { qos: 0, payloadBytes: 8192, topics: 100, messages: 10 * ratePerSecond } as const;
      const way = { arm: "direct", durability: "fsync", programs: bench.programs, ratePerSecond } as const;
      const link = `datagram_bytes = ${datagramBytes}`;
      return { name: `tidegate, datagrams of ${datagramBytes} B`, wishes: { ...load, ...way, link } };
    });
    return [{ title, standings: await hold(entrants, bench.rounds, bench.note) }];
  },
  flat: async (bench) => {
    const contests: Contest[] = [];
    for (const [title, loads] of FLAT) {
      bench.note(title);
      const entrants = loads.map(({ name, ...load }): Entrant => {
        const way = { arm: "direct", durability: "fsync", programs: bench.programs } as const;
        return { name, wishes: { qos: 0, payloadBytes: 100, warmMessages: 200_000, ...way, ...load } };
      });
      contests.push({ title, standings: await hold(entrants, bench.rounds, bench.note) });
    }
    return contests;
  },
  bridge: async (bench) => {
    const nodeRed = installNodeRed(bench.note);
    const arms = nodeRed === undefined ? BRIDGED : [...BRIDGED, NODE_RED];
    return [
      await contest(bench, "Broker to broker, 100 B, QoS 0", arms, { qos: 0, nodeRed }),
      await contest(bench, "Broker to broker, 100 B, QoS 1", arms, { qos: 1, messages: 400_000, nodeRed }),
    ];
  },
  latency: async (bench) => {
    const contests: Contest[] = [];
    for (const ratePerSecond of [1000, 20_000]) {
      const title = `Latency at ${ratePerSecond.toLocaleString("en")} messages/s, QoS 1`;
      const arms = [BRIDGED[3], BRIDGED[0], BRIDGED[1], BRIDGED[2]].filter((arm) => arm !== undefined);
      const warmMessages = Math.max(LATENCY_WARM_MESSAGES, 5 * ratePerSecond);
      const load = { qos: 1, ratePerSecond, warmMessages, messages: 8 * ratePerSecond } as const;
      contests.push(await contest(bench, title, arms, load));
    }
    return contests;
  },
  listen: async ({ rounds, note }) => {
    const standings = await measureListen(rounds, note);
    await measureIdle(note);
    return standings;
  },
  link: ({ rounds, note }) => measureLink(rounds, note),
  pacing: ({ rounds, note }) => measurePacing(rounds, note),
  start: ({ programs }) => measureStart(programs, START_ROUNDS),
};

const LOADS: readonly (readonly [payloadBytes: number, topics: number, payload: "random" | "json"])[] = [
  [16, 100, "random"],
  [100, 100, "random"],
  [100, 100, "json"],
  [100, 10_000, "random"],
  [1024, 100, "random"],
  [8192, 100, "random"],
];

type FlatLoad = Pick<RunWishes, "messages" | "passes" | "topics"> & { readonly name: string };

/** The same way under loads of other sizes: what a message costs should not depend on how many there are. */
const FLAT: readonly (readonly [title: string, loads: readonly FlatLoad[]])[] = [
  [
    "The same cost for each message, however many, 100 B, QoS 0",
    [
      { name: "1,000 at a time, 200 times", messages: 1000, passes: 200, topics: 100 },
      { name: "100,000", messages: 100_000, topics: 100 },
      { name: "1,000,000", messages: 1_000_000, topics: 100 },
      { name: "10,000,000", messages: 10_000_000, topics: 100 },
    ],
  ],
  [
    "The same cost for each message, however many topics, 100 B, QoS 0",
    [10, 1000, 10_000, 100_000].map((topics) => {
      return { name: `${topics.toLocaleString("en")} topics`, messages: 2_000_000, topics };
    }),
  ],
];

async function contest(
  { programs, rounds, note }: Bench,
  title: string,
  arms: readonly (readonly [Arm, Durability])[],
  more: Partial<RunWishes> & { readonly qos: 0 | 1 },
): Promise<Contest> {
  note(title);
  const entrants = arms.map(([arm, durability]): Entrant => {
    const factor = more.isBacklog || more.ratePerSecond !== undefined ? 1 : (FACTORS[arm] ?? 1);
    const messages = Math.ceil((more.messages ?? MESSAGES[more.qos]) * factor);
    const wishes = { payloadBytes: 100, topics: 100, ...more, arm, durability, programs, messages };
    const name = arm === "tidegate" || arm === "direct" ? `tidegate, ${durability}` : NAMES[arm];
    return { name, wishes };
  });
  return { title, standings: await hold(entrants, rounds, note) };
}

/** One run of each QoS, broker to broker, for profiles. */
export async function runForProfile(bench: Bench): Promise<void> {
  for (const qos of [0, 1] as const) await contest(bench, `QoS ${qos}`, [["tidegate", "fsync"]], { qos });
}

function size(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KiB`;
}
