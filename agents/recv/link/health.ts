// What the heartbeats say of the link: up, degraded or down, the sender's own figures and the difference of the clocks.
// Pure: time is an argument. States change only through here, so that a change is told exactly once.
import type { Heartbeat } from "../../../shared/framing/heartbeat.ts";
import type { Moment } from "../../../shared/moment.ts";

/** `waiting` = no heartbeat since this agent was started. */
export type LinkHealthState = "waiting" | "up" | "degraded" | "down";

export type HealthOptions = { readonly degradedAfterMs: number; readonly downAfterMs: number };

/** A loss makes the link degraded for this long. */
const LOSS_MEMORY_MS = 30_000;
/** Heartbeats over which the smallest difference of the clocks is taken: the one that travelled fastest. */
const CLOCK_SAMPLES = 60;
/** Behind this the clocks are called different. */
export const CLOCK_WARNING_MS = 5_000;

export class LinkHealth {
  readonly #options: HealthOptions;
  #heartbeat: Heartbeat | undefined;
  #heartbeatMs = 0;
  #lossMs = Number.NEGATIVE_INFINITY;
  #samples: number[] = [];
  #state: LinkHealthState = "waiting";

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  get state(): LinkHealthState {
    return this.#state;
  }

  /** The last heartbeat; its sections are those of the last that had some. */
  get last(): { readonly heartbeat: Heartbeat } | undefined {
    return this.#heartbeat && { heartbeat: this.#heartbeat };
  }

  /** Milliseconds since the last heartbeat; undefined before the first. */
  silentMs(steadyMs: number): number | undefined {
    return this.#heartbeat === undefined ? undefined : Math.max(0, steadyMs - this.#heartbeatMs);
  }

  /** This host's clock less the sender's, milliseconds, journey included; undefined before the first heartbeat. */
  get clockDifferenceMs(): number | undefined {
    return this.#samples.length === 0 ? undefined : Math.min(...this.#samples);
  }

  noteHeartbeat(heartbeat: Heartbeat, { wallMs, steadyMs }: Moment): void {
    // A brief one leaves them out. One of another run says nothing of this one.
    const isSameRun = this.#heartbeat !== undefined && heartbeat.uptimeMs >= this.#heartbeat.uptimeMs;
    const isBrief = heartbeat.sections.length === 0;
    const sections = isBrief && isSameRun ? (this.#heartbeat?.sections ?? []) : heartbeat.sections;
    this.#heartbeat = { ...heartbeat, sections };
    this.#heartbeatMs = steadyMs;
    const sample = wallMs - heartbeat.clockMs;
    const current = this.clockDifferenceMs;
    // A jump means that a clock was set: what was measured before says nothing any more.
    if (current !== undefined && Math.abs(sample - current) > CLOCK_WARNING_MS) this.#samples = [];
    this.#samples.push(sample);
    if (this.#samples.length > CLOCK_SAMPLES) this.#samples.shift();
  }

  /** Of a heartbeat that a brief one has passed. */
  noteSections({ sections }: Heartbeat): void {
    if (this.#heartbeat !== undefined) this.#heartbeat = { ...this.#heartbeat, sections };
  }

  noteLoss(steadyMs: number): void {
    this.#lossMs = steadyMs;
  }

  /** The new state and why, when it has changed since the last call. */
  tick(steadyMs: number): { readonly state: LinkHealthState; readonly why: string } | undefined {
    const { state, why } = this.#judge(steadyMs);
    if (state === this.#state) return undefined;
    this.#state = state;
    return { state, why };
  }

  #judge(nowMs: number): { state: LinkHealthState; why: string } {
    if (this.#heartbeat === undefined) return { state: "waiting", why: "no heartbeat yet" };
    const silentMs = nowMs - this.#heartbeatMs;
    const seconds = (silentMs / 1000).toFixed(1);
    if (this.#heartbeat.stopping && silentMs >= this.#options.degradedAfterMs) {
      return { state: "down", why: "the send agent was stopped" };
    }
    if (silentMs >= this.#options.downAfterMs) return { state: "down", why: `no heartbeat for ${seconds} s` };
    if (silentMs >= this.#options.degradedAfterMs)
      return { state: "degraded", why: `no heartbeat for ${seconds} s` };
    if (nowMs - this.#lossMs < LOSS_MEMORY_MS)
      return { state: "degraded", why: "messages were lost on the link" };
    return { state: "up", why: "heartbeats arrive" };
  }
}
