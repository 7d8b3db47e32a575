// Tests of agents/send/sparkplug/desk.ts: between a source and the core, with a voice that writes down what it says, and a source
// that is away and back when nobody looks.
import { afterEach, expect, jest, test } from "bun:test";
import pino from "pino";
import { type DeskCore, SparkplugDesk } from "../../../../../agents/send/sparkplug/desk.ts";
import type { Voice } from "../../../../../agents/send/sparkplug/voice.ts";
import type { SparkplugConfig } from "../../../../../agents/send/sparkplug-config.ts";
import type { Message } from "../../../../../shared/message.ts";
import { decode, encode } from "../../../shared/sparkplug/samples.ts";

const CONFIG: SparkplugConfig = {
  groups: undefined,
  primaryHostId: undefined,
  stateFormats: ["3.0"],
  snapshotMs: 60_000,
  rebirth: true,
  rebirthMinMs: 30_000,
  rebirthsPerSecondMax: 10,
  nodesMax: 1000,
  metricsPerNodeMax: 1000,
  memoryBytesMax: 16_777_216,
};

class Scene {
  readonly events: string[] = [];
  readonly own: Message[] = [];
  readonly notes: Map<string, string>;
  ownWaiting = 0;
  isReady = false;
  sessions = 0;
  readonly desk: SparkplugDesk;
  nowMs = 1_000_000;

  constructor(notes = new Map<string, string>()) {
    this.notes = notes;
    const keep = (more: ReadonlyMap<string, string | undefined> | undefined) => {
      for (const [name, value] of more ?? []) {
        if (value === undefined) this.notes.delete(name);
        else this.notes.set(name, value);
      }
    };
    const scene = this;
    const core: DeskCore = {
      messageBytesMax: 100_000,
      get ownWaiting() {
        return scene.ownWaiting;
      },
      accept: (source, { topic }, _settle, more) => {
        keep(more);
        this.events.push(`${source} accept ${topic}`);
      },
      setAside: (source, rule) => this.events.push(`${source} aside ${rule}`),
      refuse: (source, reason) => this.events.push(`${source} refuse ${reason}`),
      note: keep,
      readNotes: (prefix) =>
        new Map(
          [...this.notes].flatMap(([name, value]) =>
            name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
          ),
        ),
      acceptOwn: (message) => this.own.push(message) > 0,
      filterOf: (topic) => (topic.includes("secret") ? "secrets" : undefined),
    };
    this.desk = new SparkplugDesk(CONFIG, "cells", core, {
      log: pino({ level: "silent" }),
      clock: () => this.nowMs,
      steady: () => this.nowMs,
    });
    const voice: Voice = {
      state: "online",
      problem: undefined,
      setReady: (isReady) => this.events.push(`voice ${isReady ? "ready" : "resting"}`),
      say: (topic, payload) => {
        const metrics = decode(payload).metrics as { name: string; booleanValue: boolean }[];
        this.events.push(`say ${topic} ${metrics[0]?.name}=${metrics[0]?.booleanValue}`);
        return true;
      },
      close: async () => {
        this.events.push("voice closed");
      },
    };
    this.desk.start([voice], { isReady: () => this.isReady, sessions: () => this.sessions });
  }

  take(topic: string, seq = 0): void {
    const metrics = [{ name: "bdSeq", datatype: 4, longValue: 3 }];
    const payload = encode({ timestamp: 5, seq, metrics } as never);
    const message: Message = { topic, payload, qos: 0, retain: false, properties: undefined, acceptedMs: 1 };
    this.desk.accept("cells", message, () => {});
  }

  /** So much time passes; what was said and done since the last call. */
  pass(ms: number): string[] {
    for (let left = ms; left > 0; left -= 100) {
      this.nowMs += 100;
      jest.advanceTimersByTime(100);
    }
    return this.events.splice(0).filter((event) => !event.startsWith("voice"));
  }
}

const scenes: Scene[] = [];
function open(notes?: Map<string, string>): Scene {
  jest.useFakeTimers();
  const scene = new Scene(notes);
  scenes.push(scene);
  return scene;
}
afterEach(async () => {
  for (const { desk } of scenes.splice(0)) await desk.close();
  jest.useRealTimers();
});

test("messages pass, commands stay, and what a filter has is the filter's", () => {
  const scene = open();
  for (const topic of [
    "spBv1.0/g/NBIRTH/n",
    "spBv1.0/g/NCMD/n",
    "spBv1.0/secret/NCMD/n",
    "spBv1.0/STATE/h",
    "x",
  ])
    scene.take(topic);
  expect(scene.pass(0)).toEqual([
    "cells accept spBv1.0/g/NBIRTH/n",
    "cells aside sparkplug-command",
    "cells accept spBv1.0/secret/NCMD/n",
    "cells aside sparkplug-state",
    "cells accept x",
  ]);
});

test("asks only while the source is connected, with the command that Sparkplug has for it", () => {
  const scene = open();
  scene.take("spBv1.0/g/NDATA/n", 7);
  expect(scene.pass(500)).toEqual(["cells accept spBv1.0/g/NDATA/n"]);
  scene.isReady = true;
  scene.sessions = 1;
  expect(scene.pass(500)).toEqual(["say spBv1.0/g/NCMD/n Node Control/Rebirth=true"]);
});

test.each(["while nobody looked", "and somebody saw it", "before anybody looked"])(
  "doubts everyone when the source was away, %s",
  (when) => {
    const scene = open();
    const sawFirst = when !== "before anybody looked";
    if (sawFirst) {
      scene.isReady = true;
      scene.sessions = 1;
      scene.pass(100);
    }
    scene.take("spBv1.0/g/NBIRTH/n");
    scene.pass(sawFirst ? 100 : 0);
    if (when === "and somebody saw it") {
      scene.isReady = false;
      expect(scene.pass(300)).toEqual([]);
    }
    scene.isReady = true;
    scene.sessions = 2;
    expect(scene.pass(100)).toContain("say spBv1.0/g/NCMD/n Node Control/Rebirth=true");
    expect(scene.pass(20_000)).toEqual([]);
  },
);

test("keeps who is alive, and after a restart asks them and tells who does not answer dead", () => {
  const scene = open();
  scene.take("spBv1.0/g/NBIRTH/n");
  scene.take("spBv1.0/g/NBIRTH/m");
  scene.take("spBv1.0/g/NDEATH/m");
  scene.pass(100);
  expect([...scene.notes]).toEqual([["sparkplug/cells/g/n", '{"bdSeq":"3","born":"5"}']]);
  const next = open(scene.notes);
  next.isReady = true;
  next.sessions = 1;
  expect(next.pass(100)).toEqual(["say spBv1.0/g/NCMD/n Node Control/Rebirth=true"]);
  next.pass(59_800);
  expect(next.own).toEqual([]);
  next.pass(400);
  expect(next.own.map(({ topic, qos, retain }) => [topic, qos, retain])).toEqual([
    ["$tidegate/sparkplug/birth/g/n", 0, false],
  ]);
  expect([...next.notes]).toEqual([]);
});

test("makes no more snapshots while those before have not left", () => {
  const scene = open();
  scene.ownWaiting = 256;
  scene.take("spBv1.0/g/NBIRTH/n");
  scene.pass(1000);
  expect(scene.own).toEqual([]);
  scene.ownWaiting = 0;
  scene.pass(100);
  expect(scene.own.map(({ topic }) => topic)).toEqual(["$tidegate/sparkplug/birth/g/n"]);
});
