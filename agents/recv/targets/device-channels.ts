// One channel for each device, opened when there is a message for it: identity translation. At most so many at a time; one
// that has been idle goes first when another is needed, and any after a while. Order is kept within a device.
// A device that the cloud refuses must not hold up the others: after a while its messages are refused, one by one and
// by name, and whether it has been admitted meanwhile is tried behind their back. But only when another device has logged
// in meanwhile, if need be for this purpose: with a wrong key, or no network, all of them wait, and nothing is lost.
import type { Message } from "../../../shared/message.ts";
import type { EgressOutcome } from "../../../shared/mqtt/egress-tap.ts";
import type { ConnectionFault } from "../../../shared/mqtt/explain.ts";
import type { Channel } from "./channel.ts";
import type { Channels } from "./channels.ts";
import type { PublishRate } from "./publish-rate.ts";
import type { TargetState } from "./target.ts";

export type DeviceChannelsOptions = {
  readonly connectionsMax: number;
  readonly idleMs: number;
  /** So long a device may be refused before its messages are. */
  readonly timeoutMs: number;
  /** How fast connections may be opened. */
  readonly connectRate: PublishRate;
  /** Whose message it is, as it is published. */
  readonly deviceOf: (message: Message) => string;
  readonly open: (deviceId: string) => Channel;
  /** A clock that only runs forward. */
  readonly steady: () => number;
  readonly onRefused: (deviceId: string, fault: ConnectionFault) => void;
};

/** Messages that may be unsettled, over all devices, and their bytes. */
const WINDOW_MESSAGES = 4096;
const WINDOW_BYTES = 16_777_216;
/** Devices that are remembered as refused. */
const SHUNNED_MAX = 10_000;
const GOODBYE_MS = 2000;
const REFUSALS = new Set(["auth", "client-id", "banned"]);

type Pending = {
  readonly message: Message;
  /** Undefined once it has been called. */
  onSettled: ((outcome: EgressOutcome) => void) | undefined;
};

type Device = {
  readonly id: string;
  channel: Channel | undefined;
  readonly pending: Set<Pending>;
  usedMs: number;
  /** Since when the cloud refuses it; undefined while it does not. */
  refusedSinceMs: number | undefined;
  /** Another device has logged in since. */
  isOdd: boolean;
  /** It was refused after that, too: it is this device, not the key. */
  isAlone: boolean;
  fault: ConnectionFault | undefined;
};

export class DeviceChannels implements Channels {
  readonly #options: DeviceChannelsOptions;
  /** The least lately used first. */
  readonly #devices = new Map<string, Device>();
  /** Devices without a channel that need one, in order. */
  readonly #queue = new Set<Device>();
  /** Refused devices, and from when on they are tried again. */
  readonly #shunned = new Map<string, { readonly fault: ConnectionFault; readonly untilMs: number }>();
  /** Connections, those that are leaving included. */
  #open = 0;
  #leaving = 0;
  #bytes = 0;
  #connections = 0;
  #provedMs = Number.NEGATIVE_INFINITY;

  constructor(options: DeviceChannelsOptions) {
    this.#options = options;
  }

  get all(): readonly Channel[] {
    return [...this.#devices.values()].flatMap(({ channel }) => channel ?? []);
  }

  get window(): number {
    return this.#bytes >= WINDOW_BYTES ? 0 : WINDOW_MESSAGES;
  }

  get state(): TargetState {
    const states = this.all.map(({ state }) => state);
    if (states.includes("connected") || (states.length === 0 && this.#queue.size === 0)) return "connected";
    return states.includes("down") ? "down" : "connecting";
  }

  get problem(): string | undefined {
    return this.all.find(({ problem }) => problem !== undefined)?.problem;
  }

  get connections(): number {
    return this.#connections;
  }

  connect(): void {}

  publish(message: Message, onSettled: (outcome: EgressOutcome) => void): void {
    const id = this.#options.deviceOf(message);
    const now = this.#options.steady();
    const shunned = this.#shunned.get(id);
    if (shunned !== undefined) {
      // Not from inside the call: it counts itself as under way only after it.
      queueMicrotask(() => onSettled(refuse(id, shunned.fault)));
      if (now >= shunned.untilMs && !this.#devices.has(id)) this.#queue.add(this.#admit(id, now));
      return;
    }
    const device = this.#devices.get(id) ?? this.#admit(id, now);
    device.usedMs = now;
    this.#devices.delete(id);
    this.#devices.set(id, device);
    const pending: Pending = { message, onSettled };
    device.pending.add(pending);
    this.#bytes += message.payload.length;
    if (device.channel === undefined) this.#queue.add(device);
    else this.#send(device, device.channel, pending);
  }

  tick(steadyMs: number): void {
    this.#options.connectRate.tick(steadyMs);
    for (const device of this.#devices.values()) {
      device.channel?.tick(steadyMs);
      const { refusedSinceMs, fault } = device;
      if (refusedSinceMs !== undefined && fault !== undefined) this.#giveUpOn(device, refusedSinceMs, fault);
      else if (device.pending.size === 0 && steadyMs - device.usedMs >= this.#options.idleMs)
        this.#dismiss(device);
    }
    for (const device of this.#queue) {
      if (!this.#options.connectRate.isOpen || !this.#makeRoom()) return;
      this.#queue.delete(device);
      this.#options.connectRate.take(0);
      this.#start(device);
    }
  }

  /** A channel has connected, or has failed to or lost its connection. */
  heard(id: string, fault: ConnectionFault | undefined): void {
    const device = this.#devices.get(id);
    if (fault === undefined) {
      this.#connections++;
      this.#shunned.delete(id);
      for (const each of this.#devices.values()) each.isOdd ||= each.refusedSinceMs !== undefined;
    }
    if (device === undefined) return;
    device.fault = fault;
    if (fault !== undefined && REFUSALS.has(fault.id)) {
      device.refusedSinceMs ??= this.#options.steady();
      device.isAlone ||= device.isOdd;
    } else {
      device.refusedSinceMs = undefined;
      device.isOdd = false;
      device.isAlone = false;
    }
  }

  async close(graceMs: number): Promise<void> {
    this.#queue.clear();
    await Promise.all(this.all.map((channel) => channel.close(graceMs)));
  }

  #admit(id: string, now: number): Device {
    const device: Device = {
      id,
      channel: undefined,
      pending: new Set(),
      usedMs: now,
      refusedSinceMs: undefined,
      isOdd: false,
      isAlone: false,
      fault: undefined,
    };
    this.#devices.set(id, device);
    return device;
  }

  #start(device: Device): void {
    const channel = this.#options.open(device.id);
    device.channel = channel;
    this.#open++;
    channel.connect();
    for (const pending of device.pending) this.#send(device, channel, pending);
  }

  #send(device: Device, channel: Channel, pending: Pending): void {
    channel.publish(pending.message, (outcome) => this.#settle(device, pending, outcome));
  }

  #settle(device: Device, pending: Pending, outcome: EgressOutcome): void {
    const { onSettled } = pending;
    if (onSettled === undefined) return;
    pending.onSettled = undefined;
    device.pending.delete(pending);
    this.#bytes -= pending.message.payload.length;
    onSettled(outcome);
  }

  /** True when one more may be open; ends the one that has been idle for longest, if it has to. */
  #makeRoom(): boolean {
    if (this.#open < this.#options.connectionsMax) return true;
    // One that is leaving makes room when it has gone.
    if (this.#leaving > 0) return false;
    for (const device of this.#devices.values()) {
      if (device.channel === undefined || device.pending.size > 0) continue;
      this.#dismiss(device);
      break;
    }
    return false;
  }

  #dismiss(device: Device): void {
    this.#devices.delete(device.id);
    this.#queue.delete(device);
    this.#end(device, GOODBYE_MS);
  }

  #end({ channel }: Device, graceMs: number): void {
    if (channel === undefined) return;
    this.#leaving++;
    void channel.close(graceMs).then(() => {
      this.#leaving--;
      this.#open--;
    });
  }

  /** Has one that is connected log in anew, in good order: if it can, the key is good. */
  #prove(now: number): void {
    if (now - this.#provedMs < this.#options.timeoutMs) return;
    this.#provedMs = now;
    this.all.find(({ state }) => state === "connected")?.renew();
  }

  #giveUpOn(device: Device, sinceMs: number, fault: ConnectionFault): void {
    const { timeoutMs, steady, onRefused } = this.#options;
    const now = steady();
    if (now - sinceMs < timeoutMs) return;
    if (!device.isAlone) {
      this.#prove(now);
      return;
    }
    if (!this.#shunned.has(device.id)) onRefused(device.id, fault);
    this.#shunned.delete(device.id);
    this.#shunned.set(device.id, { fault, untilMs: now + timeoutMs });
    if (this.#shunned.size > SHUNNED_MAX) {
      const [oldest] = this.#shunned.keys();
      if (oldest !== undefined) this.#shunned.delete(oldest);
    }
    this.#devices.delete(device.id);
    this.#queue.delete(device);
    this.#end(device, 0);
    for (const pending of [...device.pending]) this.#settle(device, pending, refuse(device.id, fault));
  }
}

function refuse(id: string, fault: ConnectionFault): EgressOutcome {
  return { kind: "refused", code: 0x87, reason: `device ${id} cannot log in: ${fault.sentence}` };
}
