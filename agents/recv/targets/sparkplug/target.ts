// A target of type "sparkplug" at work: what comes over the link is followed, kept on disk, and told to the broker in the voice of
// edge nodes that live here; what hosts ask is answered here.
//
//   spool ─► EdgeDesk (Follower: what it means) ─► Speaker (voices, connections) ─► broker
//               │                                     ▲                               │
//            KnownNodes ─► Memory (disk)              └────────── rebirth ◄───────────┘ commands
import { join } from "node:path";
import { formatBrokerUrl } from "../../../../shared/config/broker-url.ts";
import { Counters } from "../../../../shared/counters.ts";
import { LogLimiter } from "../../../../shared/log.ts";
import type { SparkplugTarget } from "../../types/sparkplug.ts";
import type { TargetRim } from "../broker-target.ts";
import { FaultLog } from "../fault-log.ts";
import { StatusBeacon } from "../status-beacon.ts";
import type { Target } from "../target.ts";
import { TlsFiles } from "../tls-files.ts";
import { Certificates } from "./certificates.ts";
import { EdgeDesk } from "./edge-desk.ts";
import type { SparkplugFigures } from "./figures.ts";
import { Keeper } from "./keeper.ts";
import type { KnownNode } from "./known-node.ts";
import { KnownNodes } from "./known-nodes.ts";
import { Memory } from "./memory.ts";
import { Session } from "./session.ts";
import { Silence } from "./silence.ts";
import { Speaker } from "./speaker.ts";
import type { VoiceCount } from "./voice.ts";

/** Bytes that may wait for sockets. */
const WAITING_BYTES_MAX = 4_194_304;
const LOG_MS = 10_000;
/** Host applications that come (back), in both forms. */
const STATES = ["spBv1.0/STATE/+", "STATE/+"];
const COMMANDS = ["spBv1.0/+/NCMD/+", "spBv1.0/+/DCMD/+/+"];

/** Connects and stays connected until close(). */
export function startSparkplugTarget(profile: SparkplugTarget, rim: TargetRim): Target {
  const { name, sparkplug: settings } = profile;
  const names = { target: name };
  const label = `target ${name}`;
  const limiter = new LogLimiter(LOG_MS);
  const faults = new FaultLog(rim);
  const counters = new Counters();
  const known = new KnownNodes({ ...settings, bytesMax: settings.stateBytesMax });
  known.lost = () => rim.lostBefore(name);
  known.senderNowMs = () => rim.senderNowMs();
  const memory = new Memory(join(rim.directory, `sparkplug-${name}.db`), rim.durability, {
    damaged: (why) =>
      rim.log.error(
        { ...names, why },
        `${label}: the births and values that were kept are damaged; begun anew, the next snapshots complete them`,
      ),
    incomplete: (rows) =>
      rim.log.error(
        { ...names, rows },
        `${label}: some of the births and values that were kept are damaged and left out; the next snapshots complete them`,
      ),
  });
  memory.load(known);
  // The spool was begun anew, and counts from 1 again.
  if (known.newest.id > rim.newestContentId()) known.newest = { id: 0, index: 0 };
  const warn = (kind: string, figures: object, sentence: string) => {
    const alike = limiter.allow(kind, rim.steady());
    if (alike !== undefined) rim.log.warn({ ...names, ...figures, alike }, `${label}: ${sentence}`);
  };

  const tlsFiles =
    profile.tls &&
    new TlsFiles(profile.tls, {
      changed: () => {
        rim.log.info(names, `${label}: certificates read again; connecting with them`);
        speaker.renew();
      },
      refused: (problem) => rim.log.error(names, `${label}: cannot use the changed certificates: ${problem}`),
      ending: (days, file) => {
        const end = days < 0 ? "has expired" : `expires in ${days} days`;
        rim.log.warn({ ...names, days }, `${label}: ${file} ${end}; have it renewed`);
      },
    });
  const beacon =
    profile.status &&
    new StatusBeacon(profile.status, {
      clock: () => rim.clock(),
      linkState: () => rim.linkState(),
      describe: () => rim.describe(name),
      publish: ({ topic, payload, qos, retain }, onSettled) => {
        const done = (problem?: string) => onSettled(problem === undefined, false);
        speaker.main.session.publish({ topic, payload, qos: qos === 0 ? 0 : 1, retain, done });
      },
    });
  const certificates = new Certificates(
    settings.certificates,
    () => speaker.main.session,
    (why) =>
      rim.log.warn(
        { ...names, why },
        `${label}: the broker takes no retained births on $sparkplug/certificates (${why}); set sparkplug.certificates = false, or allow them`,
      ),
  );
  const speaker: Speaker = new Speaker(settings, {
    wall: () => rim.clock(),
    steady: () => rim.steady(),
    nextBdSeq: (unit) => memory.nextBdSeq(unit),
    certify: (topic, payload) => certificates.put(topic, payload),
    oversize: (topic, bytes) =>
      warn("oversize", { topic: topic.slice(0, 256), bytes }, "the broker takes no packet of this size"),
    touch: (node) => known.touch(node, ""),
    count: (what: VoiceCount) => counters.add(`published/${what}`),
    open: (node) => (nextWill, events) =>
      new Session(
        {
          label: labelOf(label, node),
          session: profile,
          clientId: node === undefined ? profile.clientId : `${profile.clientId}/${node.key}`,
          tls: () => tlsFiles?.config,
          nextWill,
          filters: () => filtersOf(node, () => speaker.isMainIdle),
          random: () => rim.random(),
        },
        events,
      ),
    mainWill: () => beacon?.will,
    online: (node, refused) => {
      faults.forget(labelOf(label, node));
      if (refused.length > 0)
        warn(
          "subscribe",
          { refused },
          `the broker refuses the topic filters ${refused.join(", ")}; hosts that ask for a birth get no answer: allow them in its access list`,
        );
      if (node !== undefined) return;
      rim.log.info({ ...names, connections: speaker.main.session.connections }, `${label} is connected`);
      beacon?.noteUp();
      certificates.pump();
      target.onReady();
    },
    offline: (node, fault, retryMs) => {
      if (node === undefined) {
        beacon?.noteDown();
        certificates.noteLost();
      }
      faults.note(labelOf(label, node), names, fault, retryMs);
    },
    command: (command, line) => desk.command(command, line),
    oversizeCommand: () => desk.refuse("oversize", ""),
    protocolError: (reason) =>
      rim.log.error({ ...names, reason }, `${label}: the broker breaks the protocol: ${reason}`),
    drained: () => target.onReady(),
    noLine: (node, why) =>
      warn("no-line", { node: node.key, why }, `${node.key} gets no connection of its own: ${why}`),
  });
  known.onEvicted = (node) => speaker.forget(node);
  const desk: EdgeDesk = new EdgeDesk(settings, known, speaker, counters, {
    steady: () => rim.steady(),
    refused: (reason, topic) =>
      warn(
        `command ${reason}`,
        { reason, topic: topic.slice(0, 256) },
        `a command was refused: ${REFUSALS[reason]}`,
      ),
    unreadable: (reason, topic) =>
      warn("malformed", { reason, topic: topic.slice(0, 256) }, `a payload is no Sparkplug B: ${reason}`),
    noRoom: (why, node) =>
      warn("limit", { node: node.slice(0, 256) }, `an edge node is not followed: ${why}`),
  });
  const keeper = new Keeper(memory, known, desk.settling, {
    problem: (why) => rim.log.error({ ...names, why }, `${label}: cannot keep births and values: ${why}`),
    mended: () => rim.log.info(names, `${label}: births and values are kept again`),
  });
  const silence = new Silence(settings.deathAfterMs);
  let waitingBytes = 0;

  const target: Target = {
    name,
    type: profile.type,
    address: formatBrokerUrl(profile.url),
    get state() {
      return speaker.main.session.state;
    },
    get problem() {
      const disk =
        keeper.problem === undefined ? undefined : `cannot keep births and values: ${keeper.problem}`;
      return speaker.main.session.problem ?? disk;
    },
    get connections() {
      return speaker.main.session.connections;
    },
    get certificateEndMs() {
      return tlsFiles?.endMs;
    },
    plan: profile.plan,
    status: beacon,
    get sparkplug() {
      return describe(settings.certificates ? certificates.published : 0);
    },
    get window() {
      if (!speaker.main.session.isOnline || waitingBytes > WAITING_BYTES_MAX) return 0;
      return desk.room;
    },
    judge: (message) => ({ publish: message }),
    publish: (message, onSettled, origin) => desk.take(message, onSettled, origin),
    tick: (steadyMs) => {
      faults.tick(names);
      tlsFiles?.tick(steadyMs, rim.clock());
      const isSilent = silence.tick(rim.linkState(), desk.lastTakenMs, steadyMs);
      if (isSilent !== speaker.isSilent) {
        rim.log.warn(
          names,
          isSilent
            ? `${label}: the link has been down for ${settings.deathAfterMs / 1000} s; edge nodes are published as dead`
            : `${label}: the link is there again; edge nodes are born again`,
        );
        speaker.setSilent(isSilent);
      }
      speaker.tick(steadyMs);
      desk.tick(steadyMs);
      certificates.pump();
      beacon?.tick(steadyMs);
      const before = waitingBytes;
      waitingBytes = speaker.waitingBytes;
      if (before > WAITING_BYTES_MAX && waitingBytes <= WAITING_BYTES_MAX) target.onReady();
      keeper.tick(steadyMs);
    },
    onReady: () => {},
    close: async (graceMs) => {
      beacon?.sayStopped();
      await speaker.close(graceMs);
      keeper.flush();
      memory.close();
    },
  };

  const describe = (copies: number): SparkplugFigures => {
    let online = 0;
    let inDoubt = 0;
    for (const node of known) {
      if (node.isOnline) online++;
      inDoubt += node.doubts.size;
    }
    const { parts, metrics, bytes } = known.weight;
    const published = (what: VoiceCount) => counters.get(`published/${what}`);
    return {
      nodes: {
        known: known.size,
        online,
        born: speaker.born,
        devices: parts - known.size,
        metrics,
        inDoubt,
        evicted: known.evicted,
      },
      stateBytes: bytes,
      isSilent: speaker.isSilent,
      connections: speaker.lines,
      held: desk.held,
      gaps: known.gaps,
      snapshots: counters.get("snapshots"),
      published: {
        births: published("births"),
        deviceBirths: published("deviceBirths"),
        data: published("data"),
        deaths: published("deaths"),
        deviceDeaths: published("deviceDeaths"),
        certificates: copies,
      },
      rebirths: Object.fromEntries(Object.entries(speaker.births).filter(([, count]) => count > 0)),
      commands: { answered: counters.get("commands/answered"), refused: counters.group("commands/refused") },
      malformed: counters.group("malformed"),
    };
  };
  speaker.begin(known);
  return target;
}

const REFUSALS = {
  malformed: "it is no Sparkplug command",
  retained: "the broker had it retained, so nobody asks now; have it deleted there",
  write: "nothing can be written across the link, only a rebirth is answered",
  unknown: "no edge node of that name is alive here",
  oversize: "it is larger than a command can be",
} as const;

function labelOf(label: string, node: KnownNode | undefined): string {
  return node === undefined ? label : `${label} (edge node ${node.key})`;
}

function filtersOf(node: KnownNode | undefined, isIdle: () => boolean): string[] {
  if (node === undefined) return isIdle() ? STATES : [...COMMANDS, ...STATES];
  return [`spBv1.0/${node.group}/NCMD/${node.node}`, `spBv1.0/${node.group}/DCMD/${node.node}/+`];
}
