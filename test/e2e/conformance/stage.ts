// A plant and, on the business side, six targets of one type, each with a service of its own: one that things are done to,
// one whose certificate changes, one that is down, one behind a proxy that refuses, and two that take what is too large
// in another form. Every message goes to all of them.
import { expect } from "bun:test";
import { copyFileSync, renameSync } from "node:fs";
import type { Agent } from "../../support/agents.ts";
import type { CertificateFiles, CertificateSet } from "../../support/certificates.ts";
import type { Publisher } from "../../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../../support/ports.ts";
import { ProxyServer } from "../../support/proxies.ts";
import { Site } from "../../support/site.ts";
import { type RecvStatus, unaccounted } from "../../support/status.ts";
import { toToml } from "../../support/toml.ts";
import { waitFor } from "../../support/wait.ts";
import { openPlant } from "../azure-stage.ts";
import type { Kind, Letter, Subject, Taken } from "./kind.ts";

export const TARGETS = ["main", "certified", "down", "proxied", "compress", "split"] as const;
export type TargetName = (typeof TARGETS)[number];
/** Those that nothing keeps from their service. */
const OPEN: readonly TargetName[] = ["main", "certified", "compress", "split"];

export class Stage {
  #accepted = 0;
  #proxy: ProxyServer;

  private constructor(
    readonly site: Site,
    readonly set: CertificateSet,
    readonly subjects: Readonly<Record<TargetName, Subject>>,
    readonly recv: Agent,
    private readonly near: Publisher,
    proxy: ProxyServer,
  ) {
    this.#proxy = proxy;
  }

  static async open(kind: Kind): Promise<Stage> {
    const site = await Site.open();
    const { near, set } = await openPlant(site);
    const stage = { site, set };
    copyPair(site, set.client);
    const token = await kind.start({ ...stage, name: "main", login: "token", isPaced: true });
    const others = TARGETS.filter((name) => name !== "main");
    const started = await Promise.all(
      others.map(async (name) => {
        const login = name === "certified" ? "certificate" : "token";
        return [name, await kind.start({ ...stage, name, login, isPaced: false })] as const;
      }),
    );
    const subjects = { main: token, ...Object.fromEntries(started) } as Record<TargetName, Subject>;
    for (const door of subjects.down.server.doors) door.shut = true;
    // It opens the way to no port of these tests.
    const proxy = await ProxyServer.start("http", { ports: [443] }, await findFreeTcpPort());
    const more: Partial<Record<TargetName, object>> = {
      proxied: { proxy: { url: proxy.url } },
      compress: { oversize: "compress" },
      split: { oversize: "split" },
    };
    for (const name of TARGETS)
      site.workspace.write(`targets.d/${name}.toml`, toToml({ ...subjects[name].profile, ...more[name] }));
    const { recv } = await site.startBoth();
    return new Stage(site, set, subjects, recv, near, proxy);
  }

  async close(): Promise<void> {
    await this.#proxy[Symbol.asyncDispose]();
    await this.site[Symbol.asyncDispose]();
  }

  /** In order; QoS 1 unless told. */
  async publish(letters: readonly Letter[]): Promise<void> {
    this.#accepted += letters.length;
    await this.near.publishAll(
      letters.map(({ topic, payload, qos = 1, retain = false, userProperties }) => ({
        topic,
        payload,
        options: {
          qos,
          retain,
          ...(userProperties && { properties: { userProperties: { ...userProperties } } }),
        },
      })),
    );
  }

  /** All that was published has come to its end at these targets; what has become of it since `before`. */
  async settle(names: readonly TargetName[], before?: RecvStatus): Promise<Record<TargetName, Fate>> {
    const status = await this.recv.waitForStatus<RecvStatus>(
      `${this.#accepted} messages handled by ${names.join(", ")}`,
      ({ targets }) =>
        targets.every(
          ({ name, ledger }) =>
            ledger.accepted === this.#accepted && (ledger.held === 0 || !names.some((each) => each === name)),
        ),
      60_000,
    );
    for (const { ledger } of status.targets) expect(unaccounted(ledger)).toBe(0);
    return Object.fromEntries(
      status.targets.map(({ name, ledger }) => {
        const old = before?.targets.find((each) => each.name === name)?.ledger;
        const lost = Object.entries(ledger.lost).map(([reason, count]) => [
          reason,
          count - (old?.lost[reason] ?? 0),
        ]);
        const fate = {
          forwarded: ledger.forwarded - (old?.forwarded ?? 0),
          lost: Object.fromEntries(lost.filter(([, count]) => count !== 0)),
        };
        return [name, fate];
      }),
    ) as Record<TargetName, Fate>;
  }

  settleOpen(before?: RecvStatus): Promise<Record<TargetName, Fate>> {
    return this.settle(OPEN, before);
  }

  status(): Promise<RecvStatus> {
    return this.recv.readStatus<RecvStatus>();
  }

  /** Waits for something at a service. */
  until(what: string, isSo: () => boolean): Promise<true> {
    return waitFor(
      what,
      40_000,
      () => isSo() || undefined,
      () => this.recv.tail(),
    );
  }

  /** What a service has of the topics below this one, each payload once, as it came first; what was split is whole. */
  taken(name: TargetName, below: string): Record<string, string[]> {
    const seen: Record<string, string[]> = {};
    for (const { topic, payload } of this.subjects[name].taken()) {
      if (topic !== below && !topic.startsWith(`${below}/`)) continue;
      seen[topic] ??= [];
      const text = payload.toString();
      if (!seen[topic].includes(text)) seen[topic].push(text);
    }
    return seen;
  }

  raw(name: TargetName, topic: string): readonly Taken[] {
    return this.subjects[name].taken().filter((each) => each.topic === topic);
  }

  /** The files that the profiles call own.pem and own.key; the key first, as a careful person would not. */
  changeCertificate(pair: CertificateFiles): void {
    copyPair(this.site, pair);
  }

  /** On the same port, one that opens the way to this one. */
  async openProxy(port: number): Promise<void> {
    const { port: own } = this.#proxy;
    await this.#proxy[Symbol.asyncDispose]();
    this.#proxy = await ProxyServer.start("http", { ports: [port] }, own);
  }
}

export type Fate = { readonly forwarded: number; readonly lost: Readonly<Record<string, number>> };

function copyPair(site: Site, { certFile, keyFile }: CertificateFiles): void {
  for (const [from, name] of [
    [keyFile, "own.key"],
    [certFile, "own.pem"],
  ] as const) {
    const path = site.workspace.write(`targets.d/${name}.new`, "");
    copyFileSync(from, path);
    renameSync(path, site.workspace.path(`targets.d/${name}`));
  }
}

/** "0" to "N-1" spread over topics below one, in order. */
export function spread(below: string, count: number, topics: number): Letter[] {
  return Array.from({ length: count }, (_, number) => ({
    topic: `${below}/${number % topics}`,
    payload: String(number),
  }));
}

/** The same as a service sees it. */
export function spreadOf(letters: readonly Letter[]): Record<string, string[]> {
  const seen: Record<string, string[]> = {};
  for (const { topic, payload } of letters) {
    seen[topic] ??= [];
    seen[topic].push(String(payload));
  }
  return seen;
}
