// The MQTT server that every fake of a cloud stands on: doors, sessions, records, faults and a clock. It holds no
// messages and no subscriptions; whether something is allowed it asks the vendor's rules.
import type { CertificateFiles } from "../../support/certificates.ts";
import { FakeClock } from "./clock.ts";
import { Door, type DoorOptions } from "./door.ts";
import { Faults } from "./faults.ts";
import { Records } from "./records.ts";
import type { Closing, VendorRules } from "./rules.ts";
import { Session } from "./session.ts";
import type { Wire } from "./wire.ts";

export class PacketServer implements AsyncDisposable {
  readonly records = new Records();
  readonly faults = new Faults();
  readonly doors: Door[] = [];
  readonly #sessions = new Map<string, Session>();
  #connections = 0;

  constructor(
    readonly rules: VendorRules,
    readonly clock: FakeClock = new FakeClock(),
  ) {}

  async open(options: DoorOptions): Promise<Door> {
    const door = await Door.open(options);
    door.onWire = (wire: Wire) => {
      this.#connections += 1;
      new Session(this.#connections, wire, this);
    };
    this.doors.push(door);
    return door;
  }

  /** Those that are connected now. */
  get sessions(): readonly Session[] {
    return [...this.#sessions.values()];
  }

  /** Ends all connections, with a word or as when a cable is pulled. */
  dropAll(closing?: Closing): void {
    for (const session of this.sessions) {
      if (closing === undefined) session.wire.destroy();
      else session.close(closing);
    }
  }

  /** Ends every connection whose credentials can expire, as if they had, without moving the clock. */
  expireCredentials(): void {
    for (const session of this.sessions) session.expireNow();
  }

  changeCertificate(certificate: CertificateFiles): void {
    for (const door of this.doors) door.changeCertificate(certificate);
  }

  /** Called by a session that was admitted: the older one with its name has to go. */
  enter(session: Session): void {
    const older = this.#sessions.get(session.name);
    this.#sessions.set(session.name, session);
    older?.close(this.rules.takeOver);
  }

  leave(session: Session): void {
    if (this.#sessions.get(session.name) !== session) return;
    this.#sessions.delete(session.name);
    this.rules.left?.(session);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropAll();
    for (const door of this.doors) await door[Symbol.asyncDispose]();
  }
}
