// Puts the parts together: brokers, both compiled agents, traffic. Knows how to look at all of it at once and
// how to take all of it away again, however far it got.
import { type Agent, startAgent } from "../../test/support/agents.ts";
import { findFreeUdpPort } from "../../test/support/ports.ts";
import { waitFor } from "../../test/support/wait.ts";
import { Workspace } from "../../test/support/workspace.ts";
import type { Snapshot } from "./account.ts";
import { type Broker, startHeadquartersBroker, startPlantBroker } from "./brokers.ts";
import { createCertificates, writeSite } from "./site.ts";
import type { RecvStatus, SendStatus } from "./status.ts";
import { type Arrival, Traffic } from "./traffic.ts";

const START_DEADLINE_MS = 20_000;

export class Demonstration {
  readonly #workspace = new Workspace("demo");
  readonly #brokers: Broker[] = [];
  #agents: Agent[] = [];
  #traffic: Traffic | undefined;
  #startedAtMs = performance.now();
  #send: SendStatus = {};
  #recv: RecvStatus = {};

  /** Starts everything up to the moment when a message could go through. */
  async start(): Promise<void> {
    const certificates = await createCertificates(this.#workspace.directory);
    const plant = await startPlantBroker();
    this.#brokers.push(plant);
    const headquarters = await startHeadquartersBroker(certificates.server, certificates.caFile);
    this.#brokers.push(headquarters);
    const ports = { plant: plant.port, headquarters: headquarters.port, link: await findFreeUdpPort() };
    const { sendFile, recvFile } = writeSite(this.#workspace, ports);
    // In process groups of their own: Ctrl-C is for the demonstration, which still wants to ask them.
    const recv = startAgent("recv", recvFile, { detached: true });
    const send = startAgent("send", sendFile, { detached: true });
    this.#agents = [send, recv];
    this.#traffic = await Traffic.connect(
      plant.port,
      headquarters.port,
      certificates.reader,
      certificates.caFile,
    );
    let isSubscribed = false;
    void plant.subscribed("plant/#").then(() => {
      isSubscribed = true;
    });
    await Promise.all([send.adminUrl(START_DEADLINE_MS), recv.adminUrl(START_DEADLINE_MS)]);
    const explain = (): string => this.explain();
    await waitFor(
      "the send agent's subscription",
      START_DEADLINE_MS,
      () => this.findEnded() ?? isSubscribed,
      explain,
    );
    this.#startedAtMs = performance.now();
  }

  publish(messagesPerSecond: number): void {
    this.#startedAtMs = performance.now();
    this.#traffic?.start(messagesPerSecond);
  }

  stopPublishing(): void {
    this.#traffic?.stop();
  }

  /** The latest arrival of each topic, by name. */
  listLatest(): Arrival[] {
    return this.#traffic?.listLatest() ?? [];
  }

  /** Whether every message handed to the plant broker has been acknowledged by it. */
  get isAcknowledged(): boolean {
    return this.#traffic?.unacknowledged === 0;
  }

  /** The name of an agent that has ended although nobody asked it to. */
  findEnded(): string | undefined {
    return this.#agents.find((agent) => agent.hasEnded)?.agent;
  }

  /** Asks both agents, and counts. An agent that does not answer keeps its last word. */
  async look(): Promise<Snapshot> {
    const [send, recv] = this.#agents;
    if (send !== undefined) this.#send = await send.readStatus<SendStatus>().catch(() => this.#send);
    if (recv !== undefined) this.#recv = await recv.readStatus<RecvStatus>().catch(() => this.#recv);
    const comparison = this.#traffic?.comparison;
    return {
      elapsedMs: performance.now() - this.#startedAtMs,
      published: this.#traffic?.published ?? 0,
      staying: this.#traffic?.staying ?? 0,
      arrived: comparison?.arrived ?? 0,
      missing: comparison?.missing ?? 0,
      altered: comparison?.altered ?? 0,
      duplicated: comparison?.duplicated ?? 0,
      outOfOrder: comparison?.outOfOrder ?? 0,
      send: this.#send,
      recv: this.#recv,
    };
  }

  /** The end of both logs. */
  explain(): string {
    return this.#agents.map((agent) => agent.tail()).join("\n");
  }

  /** Stops everything in order. */
  async stop(): Promise<void> {
    await this.#traffic?.disconnect();
    await Promise.allSettled(this.#agents.map((agent) => agent.stop()));
    await Promise.allSettled(this.#brokers.map((broker) => broker.stop()));
    this.#workspace.remove();
  }

  /** Takes everything away at once, for the last moment of the process. */
  abandon(): void {
    for (const agent of this.#agents) agent.killNow();
    this.#workspace.remove();
  }
}
