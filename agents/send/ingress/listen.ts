// The source of type "listen": is itself the broker that plant clients and bridges publish to. It answers as a full MQTT
// server, takes in what they publish, and never delivers any of it. The parts are in listen/; here they are put together.
import { readFileSync } from "node:fs";
import type { ListenSource } from "../listen-config.ts";
import type { Audience } from "./listen/announcer.ts";
import { Client } from "./listen/client.ts";
import { Door } from "./listen/door.ts";
import { Hub, type ListenRim } from "./listen/hub.ts";
import type { Keeper } from "./listen/keeper.ts";
import type { ListenFigures, Source } from "./source.ts";

const TICK_MS = 500;
/** So many clients are shown one by one. */
const CARDS_MAX = 100;
/** How long clients may take to hear the last word. */
const FAREWELL_MS = 200;
const BOOT_NOTE = "boot";

export type ListenTrust = {
  /** The last run ended without closing the journal. */
  readonly unclean: boolean;
  readonly durability: string;
};

/** Listens and keeps listening until close(). */
export function startListen(
  config: ListenSource,
  messageBytesMax: number,
  keeper: Keeper,
  trust: ListenTrust,
  rim: ListenRim,
): Source & { readonly audience: Audience } {
  const hub = new Hub(config, messageBytesMax, keeper, rim);
  const boot = readBootId();
  const lastBoot = keeper.readNotes("").get(`${BOOT_NOTE}/${config.name}`);
  // After a power cut a journal that was not synced may have gone back in time: an identifier that its client has released
  // since would be taken for one that is under way, and the message that has it now for a copy.
  const wentBack = trust.unclean && trust.durability === "os" && (boot === "" || boot !== lastBoot);
  hub.book.restore(!wentBack);
  if (boot !== lastBoot) keeper.note(new Map([[`${BOOT_NOTE}/${config.name}`, boot]]), () => {});
  const doors = config.listeners.map((listener) => new Door(hub, listener));
  const tick = () => {
    hub.tick();
    if (!hub.isPaused) for (const door of doors) door.tick(rim.steady());
  };
  tick();
  const timer = setInterval(tick, TICK_MS);
  const problems = () => doors.flatMap(({ problem }) => problem ?? []);
  const clients = () => [...hub.clients].filter((client) => client instanceof Client);
  return {
    name: config.name,
    audience: hub,
    get state() {
      return problems().length > 0 ? "down" : "connected";
    },
    get problem() {
      return problems()[0] ?? hub.fileProblem;
    },
    get listen(): ListenFigures {
      const cards = clients().flatMap(({ card }) => card ?? []);
      return {
        listeners: doors.map(({ address, transport, connections }) => ({ address, transport, connections })),
        clients: cards.length,
        sessions: hub.book.size,
        sessionsEvicted: hub.sessionsEvicted,
        banned: hub.bans.count(rim.steady()),
        refused: Object.fromEntries(hub.refusals),
        clientList: cards.slice(0, CARDS_MAX),
      };
    },
    setAccess: (rules) => hub.setAccess(rules),
    pause: () => {
      hub.isPaused = true;
      for (const door of doors) door.close();
      for (const client of clients()) client.rest("stop", true);
      hub.book.publishWills();
    },
    close: async () => {
      clearInterval(timer);
      for (const client of clients()) client.dismiss();
      if (doors.some(({ connections }) => connections > 0))
        await new Promise((resolve) => setTimeout(resolve, FAREWELL_MS));
    },
  };
}

/** Names the time since the host was started. */
function readBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
