// The identity of an IoT Hub target that the provisioning service assigns: from the file of an earlier run, else asked for;
// asked for again when the hub refuses it again and again, for then it may have been moved to another hub. Until there is
// a new answer, the old one stays in force.
import { join } from "node:path";
import { Secret } from "../../../../shared/config/secret.ts";
import type { Login } from "../../../../shared/mqtt/connection.ts";
import type { ConnectionFault } from "../../../../shared/mqtt/explain.ts";
import type { HubProvisioning } from "../../types/azure-hub-identity.ts";
import type { AzureIotHubTarget, HubAuth } from "../../types/azure-iot-hub.ts";
import { readSasKey } from "../../types/azure-key.ts";
import type { TargetRim } from "../broker-target.ts";
import type { DialectRim } from "../dialect.ts";
import { type Assignment, readAssignment, writeAssignment } from "./assignment.ts";
import { dpsUsername } from "./dps-protocol.ts";
import { checkClock } from "./hub-login.ts";
import { Provisioner } from "./provisioner.ts";
import { deriveDeviceKey, mintSas, REGISTRATION_POLICY, registrationResource } from "./sas.ts";

/** Refusals in a row after which the assignment is doubted. */
const REFUSALS_MAX = 5;
/** No more often than this; each registration costs money. */
const AGAIN_MS = 600_000;
const TOKEN_SECONDS = 3600;
const REPEAT_LOG_MS = 60_000;

export class Provisioning {
  readonly #target: AzureIotHubTarget;
  readonly #settings: HubProvisioning;
  readonly #rim: TargetRim;
  readonly #file: string;
  readonly #builtAt: string;
  #provisioner: Provisioner | undefined;
  #assignment: Assignment | undefined;
  #problem: string | undefined;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #refusals = 0;

  constructor(target: AzureIotHubTarget, settings: HubProvisioning, rim: TargetRim, builtAt: string) {
    this.#target = target;
    this.#settings = settings;
    this.#rim = rim;
    this.#builtAt = builtAt;
    this.#file = settings.cacheFile ?? join(rim.directory, `${target.name}.provisioned.json`);
  }

  get assignment(): Assignment | undefined {
    return this.#assignment;
  }

  /** While there is no assignment. */
  get problem(): string | undefined {
    return this.#assignment === undefined ? this.#problem : undefined;
  }

  begin(rim: DialectRim): void {
    const { name, proxy, keepaliveSeconds, connectTimeoutSeconds, reconnectMinMs, reconnectMaxMs } =
      this.#target;
    const { address, registrationId } = this.#settings;
    this.#provisioner = new Provisioner(
      {
        label: `target ${name} (provisioning)`,
        address,
        registrationId,
        // The name in tls.server_name is the hub's.
        tls: () => {
          const tls = rim.tls();
          return tls && { ...tls, serverName: undefined };
        },
        proxy,
        login: () => this.#signIn(),
        loginHint: "check id_scope, registration_id, its key or certificate, and the clock of this host",
        keepaliveSeconds,
        connectTimeoutSeconds,
        reconnectMinMs,
        reconnectMaxMs,
        random: () => this.#rim.random(),
      },
      {
        assigned: (assignment) => this.#accept(assignment, rim),
        trouble: (sentence) => this.#complain(sentence),
      },
    );
    this.#assignment = readAssignment(this.#file, this.#settings);
    if (this.#assignment === undefined) this.#ask();
    else rim.connect();
  }

  /** A connection to the hub was made, or failed. */
  heard(fault: ConnectionFault | undefined): void {
    const isRefusal = fault !== undefined && ["auth", "client-id", "dns"].includes(fault.id);
    this.#refusals = isRefusal ? this.#refusals + 1 : 0;
    if (this.#refusals < REFUSALS_MAX || this.#rim.steady() - this.#askedAtMs < AGAIN_MS) return;
    const { name } = this.#target;
    this.#rim.log.warn(
      { target: name },
      `target ${name}: the hub refuses us again and again; asking the provisioning service anew`,
    );
    this.#ask();
  }

  close(): void {
    this.#provisioner?.stop();
  }

  #ask(): void {
    this.#askedAtMs = this.#rim.steady();
    this.#refusals = 0;
    this.#provisioner?.start();
  }

  #accept(assignment: Assignment, rim: DialectRim): void {
    const { name } = this.#target;
    const { hub, deviceId } = assignment;
    const names = { target: name, hub, device: deviceId };
    this.#problem = undefined;
    const fault = writeAssignment(this.#file, this.#settings, assignment);
    if (fault !== undefined)
      this.#rim.log.error(names, `target ${name}: cannot keep the assignment in ${this.#file}: ${fault}`);
    this.#rim.log.info(
      names,
      `target ${name} is device ${deviceId} of ${hub}, as the provisioning service says`,
    );
    this.#adopt(assignment, rim);
  }

  /** A connection that lives is of who we were; what waits in it goes to the next one, under the new name. */
  #adopt(assignment: Assignment, rim: DialectRim): void {
    const known = this.#assignment;
    this.#assignment = assignment;
    const isOther = known?.deviceId !== assignment.deviceId || known?.hub !== assignment.hub;
    if (known !== undefined && isOther) rim.renew();
    rim.connect();
  }

  #complain(sentence: string): void {
    const now = this.#rim.steady();
    const { name } = this.#target;
    if (this.#problem !== sentence || now - this.#toldAtMs >= REPEAT_LOG_MS) {
      this.#toldAtMs = now;
      this.#rim.log.warn({ target: name }, sentence);
    }
    this.#problem = sentence;
  }

  #signIn(): Login {
    const { idScope, registrationId } = this.#settings;
    const { auth } = this.#target;
    const username = dpsUsername(idScope, registrationId);
    if (auth.kind === "x509") return { username, password: undefined };
    const nowMs = this.#rim.clock();
    const problem = checkClock(nowMs, this.#builtAt);
    if (problem !== undefined) return { username, password: undefined, problem };
    const key = registrationKey(auth, registrationId);
    if (typeof key === "string") return { username, password: undefined, problem: key };
    const resource = registrationResource(idScope, registrationId);
    const expirySeconds = Math.floor(nowMs / 1000) + TOKEN_SECONDS;
    const policy = REGISTRATION_POLICY;
    return {
      username,
      password: key.map((bytes) => mintSas({ resource, key: bytes, expirySeconds, policy })),
    };
  }
}

function registrationKey(
  auth: Exclude<HubAuth, { kind: "x509" }>,
  registrationId: string,
): Secret<Buffer> | string {
  const read = readSasKey(auth.key);
  if (!(read instanceof Secret)) return `there is no key to log in with: ${read.problem}; ${read.allowed}`;
  return auth.kind === "sas-group" ? read.map((group) => deriveDeviceKey(group, registrationId)) : read;
}
