// Starts a source of either type; one with Sparkplug gets its desk between itself and the core, and a voice to speak with.
import type { SendCore } from "../core.ts";
import { listHostIds, type SourceConfig } from "../source-config.ts";
import { SparkplugDesk } from "../sparkplug/desk.ts";
import { HostSession } from "../sparkplug/host-session.ts";
import type { Voice } from "../sparkplug/voice.ts";
import { Announcer } from "./listen/announcer.ts";
import type { ListenRim } from "./listen/hub.ts";
import type { Keeper } from "./listen/keeper.ts";
import { type ListenTrust, startListen } from "./listen.ts";
import type { Source } from "./source.ts";
import { type SourceRim, startSubscribe } from "./subscribe.ts";

/** `accepts` tells whether what the source takes is kept now. */
export function startSource(
  config: SourceConfig,
  messageBytesMax: number,
  core: SendCore,
  trust: ListenTrust,
  rim: SourceRim & ListenRim,
  accepts: () => boolean,
): Source {
  const { sparkplug } = config;
  const desk = sparkplug && new SparkplugDesk(sparkplug, config.name, core, rim);
  const keeper: Keeper = desk ?? core;
  const { source, voices } =
    config.type === "listen"
      ? openListen(config, messageBytesMax, keeper, trust, rim)
      : openSubscribe(config, messageBytesMax, keeper, rim);
  if (desk === undefined) return source;
  desk.start(voices, {
    isReady: () => accepts() && source.state === "connected",
    sessions: () => source.sessions ?? 0,
  });
  // Its getters stay getters: the source is the prototype.
  return Object.create(source, {
    sparkplug: { get: () => desk.figures },
    sayGoodbye: { value: () => desk.close() },
  }) as Source;
}

type Opened = { readonly source: Source; readonly voices: readonly Voice[] };

function openListen(
  config: SourceConfig & { readonly type: "listen" },
  messageBytesMax: number,
  keeper: Keeper,
  trust: ListenTrust,
  rim: ListenRim,
): Opened {
  const source = startListen(config, messageBytesMax, keeper, trust, rim);
  const { primaryHostId, stateFormats = [] } = config.sparkplug ?? {};
  return { source, voices: [new Announcer(source.audience, primaryHostId, stateFormats, () => rim.clock())] };
}

function openSubscribe(
  config: SourceConfig & { readonly type: "subscribe" },
  messageBytesMax: number,
  keeper: Keeper,
  rim: SourceRim,
): Opened {
  const source = startSubscribe(config, messageBytesMax, keeper, rim);
  const { sparkplug } = config;
  if (sparkplug === undefined || (!sparkplug.rebirth && sparkplug.primaryHostId === undefined))
    return { source, voices: [] };
  const ids = listHostIds(config.clientId);
  const { primaryHostId: id, stateFormats } = sparkplug;
  // A connection has one will, so each form of STATE has a connection.
  const hosts = id === undefined ? [undefined] : stateFormats.map((format) => ({ id, format }));
  return {
    source,
    voices: hosts.map(
      (host, index) => new HostSession({ source: config, clientId: ids[index] ?? "", host }, rim),
    ),
  };
}
