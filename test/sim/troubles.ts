// Lets the troubles of a plan happen, each at its own random times, until all is to be calm.
import { encodeGapCode, tagJournal } from "../../shared/gap/code.ts";
import type { DiskFaults } from "./disk.ts";
import type { Host } from "./host.ts";
import { TROUBLES, type Trouble } from "./plan.ts";
import type { Random } from "./random.ts";
import type { RecvHost } from "./recv-host.ts";
import type { SendHost } from "./send-host.ts";
import type { World } from "./world.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 8766 * HOUR_MS;

export class Troubles {
  readonly #world: World;
  readonly #random: Random;
  readonly #send: SendHost;
  readonly #recv: RecvHost;

  constructor(world: World, send: SendHost, recv: RecvHost) {
    this.#world = world;
    this.#random = world.fork();
    this.#send = send;
    this.#recv = recv;
  }

  begin(): void {
    for (const trouble of TROUBLES) {
      const meanMs = this.#world.plan.troubles[trouble];
      if (meanMs > 0) this.#schedule(trouble, meanMs);
    }
  }

  #schedule(trouble: Trouble, meanMs: number): void {
    this.#world.schedule.after(this.#random.wait(meanMs), () => {
      if (this.#world.calm) return;
      this.#world.trace.note(() => `trouble: ${trouble}`);
      this.#happen(trouble);
      this.#schedule(trouble, meanMs);
    });
  }

  #happen(trouble: Trouble): void {
    const [side, what = ""] = trouble.split("/");
    if (side === "send") this.#happenTo(this.#send, what);
    else if (side === "recv") this.#happenTo(this.#recv, what);
    else if (side === "path") this.#happenToPath(what);
    else if (trouble === "keys") this.#rotateKeys();
    else if (trouble === "attack") this.#world.network.attack(this.#random.between(1, 100));
    else if (trouble === "replay") replayGaps(this.#send, this.#recv, 3);
    else for (let left = this.#world.plan.load.burst; left > 0; left--) this.#send.publish();
  }

  #happenTo(host: Host, what: string): void {
    const random = this.#random;
    // Logs may share a disk or have one each.
    const disks = random.chance(0.5) ? host.disks : [random.pick(host.disks)];
    const setFault = (fault: Partial<DiskFaults>) => {
      for (const { faults } of disks) Object.assign(faults, fault);
    };
    const soon = (work: () => void) => this.#world.schedule.after(random.magnitude(10, 15_000), work);
    if (what === "stop") host.stop(random.magnitude(5, 10_000));
    else if (what === "kill") host.kill("by hand");
    else if (what === "power") host.cutPower();
    else if (what === "disk-lost") host.loseDisk();
    else if (what === "disk-rot") random.pick(host.disks).spoilRow();
    else if (what === "requeue") this.#recv.requeue(random.chance(0.5) ? {} : { reason: "refused" });
    else if (what === "clock") host.clockOffsetMs = this.#jump(host);
    else if (what === "die-writing") {
      setFault({ dying: 0.2 });
      soon(() => setFault({ dying: 0 }));
    } else if (what === "disk-full") {
      setFault({ full: true });
      soon(() => setFault({ full: false }));
    } else {
      setFault({ failing: random.pick([0.05, 0.5]) });
      soon(() => setFault({ failing: 0 }));
    }
    if (what === "clock")
      this.#world.trace.note(() => `${host.name} believes it is ${new Date(host.wallMs).toISOString()}`);
  }

  /** The clock's new offset: right again, hours off, or in 1970 or 2100. */
  #jump(host: Host): number {
    const random = this.#random;
    const kind = random.below(6);
    if (kind === 0) return 0;
    if (kind === 1) return -60 * YEAR_MS;
    if (kind === 2) return 70 * YEAR_MS;
    return host.clockOffsetMs + (random.fraction() - 0.5) * random.magnitude(1000, 100 * HOUR_MS);
  }

  #happenToPath(what: string): void {
    const { network, schedule } = this.#world;
    const path = this.#random.pick(network.paths);
    const fault = what === "dark" ? "dark" : "refusing";
    path[fault] = true;
    schedule.after(this.#random.magnitude(50, 20_000), () => {
      path[fault] = false;
    });
  }

  /** One step of one side, in any order that keeps a key in common. */
  #rotateKeys(): void {
    const [one, other] = this.#random.chance(0.5) ? [this.#send, this.#recv] : [this.#recv, this.#send];
    const stage = one.keyStage + (this.#random.chance(0.8) ? 1 : -1);
    if (stage >= 0 && stage <= 2 && Math.abs(stage - other.keyStage) <= 1) one.rotateKey(stage);
  }
}

/** The operator reads the gap codes on one side and types them on the other; how many there were. */
export function replayGaps(send: SendHost, recv: RecvHost, most: number): number {
  const state = recv.core?.state;
  if (state?.journalId === undefined) return 0;
  const gaps = [...state.gaps.list()].slice(0, most);
  for (const { stream, first, end } of gaps) {
    const range = { journalTag: tagJournal(state.journalId), stream, first, count: end - first };
    send.replay(encodeGapCode(range));
  }
  return gaps.length;
}
