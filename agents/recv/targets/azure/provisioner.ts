// Asks Azure's provisioning service (DPS) which hub a registration belongs to. This session is the only one of the agent
// that subscribes to anything: the service answers on a topic. What it is told it hands to the pure exchange in
// dps-protocol.ts; here are the connection, the waits, and giving up.
import { type BrokerClient, createBrokerConnection, type Login } from "../../../../shared/mqtt/connection.ts";
import type { ConnectionFault } from "../../../../shared/mqtt/explain.ts";
import type { ProxySettings } from "../../../../shared/mqtt/proxy.ts";
import type { BrokerAddress, TlsSettings } from "../../../../shared/mqtt/transport.ts";
import { type Assignment, isAssignment } from "./assignment.ts";
import { DPS_ANSWERS, DpsRegistration, type DpsStep } from "./dps-protocol.ts";

export type ProvisionerOptions = {
  readonly label: string;
  readonly address: BrokerAddress;
  readonly registrationId: string;
  readonly tls: () => TlsSettings | undefined;
  readonly proxy: ProxySettings | undefined;
  /** Asked before each attempt. */
  readonly login: () => Login;
  readonly loginHint: string;
  readonly keepaliveSeconds: number;
  readonly connectTimeoutSeconds: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  readonly random: () => number;
};

export type ProvisionerEvents = {
  assigned(assignment: Assignment): void;
  /** It goes on trying. */
  trouble(sentence: string): void;
};

/** An answer that has not come by then does not come. */
const ANSWER_MS = 60_000;
/** A registration that was refused is asked for again: somebody may have mended it. Each costs money. */
const AGAIN_MIN_MS = 60_000;
const AGAIN_MAX_MS = 3_600_000;

export class Provisioner {
  readonly #options: ProvisionerOptions;
  readonly #events: ProvisionerEvents;
  #client: BrokerClient | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #againMs = AGAIN_MIN_MS;

  constructor(options: ProvisionerOptions, events: ProvisionerEvents) {
    this.#options = options;
    this.#events = events;
  }

  get isRunning(): boolean {
    return this.#client !== undefined || this.#timer !== undefined;
  }

  /** Nothing happens while it is at it already. */
  start(): void {
    if (this.isRunning) return;
    const given = this.#options;
    const registration = new DpsRegistration(given.registrationId);
    const client = createBrokerConnection({
      ...given,
      addressKey: "provisioning.endpoint",
      version: 4,
      clientId: given.registrationId,
      cleanStart: true,
      sessionExpirySeconds: undefined,
      receiveMaximum: undefined,
      onOnline: () => {
        client.subscribe(DPS_ANSWERS, { qos: 1 }, (error) => {
          if (error) client.stream.destroy();
          else if (client === this.#client) this.#follow(registration.begin());
        });
      },
      onOffline: (fault: ConnectionFault) => {
        this.#stopTimer();
        this.#events.trouble(fault.sentence);
      },
    });
    this.#client = client;
    client.on("message", (topic, payload) => {
      if (client === this.#client) this.#follow(registration.answer(topic, payload));
    });
    client.connect();
  }

  stop(): void {
    this.#stopTimer();
    this.#client?.end(true);
    this.#client = undefined;
  }

  #follow(step: DpsStep): void {
    const client = this.#client;
    if (client === undefined || step.step === "ignore") return;
    this.#stopTimer();
    if (step.step === "send") {
      const { request } = step;
      this.#timer = setTimeout(() => {
        client.publish(request.topic, request.payload, { qos: 1 });
        this.#timer = setTimeout(() => client.stream.destroy(), ANSWER_MS);
      }, step.afterSeconds * 1000);
      return;
    }
    this.stop();
    if (step.step === "assigned" && isAssignment(step)) {
      this.#againMs = AGAIN_MIN_MS;
      this.#events.assigned({ hub: step.hub, deviceId: step.deviceId });
      return;
    }
    const why =
      step.step === "failed" ? `${FAILURES[step.failure]}: ${step.detail}` : "it assigns what is no hub";
    const minutes = Math.round(this.#againMs / 60_000);
    this.#events.trouble(`${this.#options.label}: ${why}; it is asked again in ${minutes} min`);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.start();
    }, this.#againMs);
    this.#againMs = Math.min(this.#againMs * 2, AGAIN_MAX_MS);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

const FAILURES = {
  unauthorized:
    "the provisioning service refuses our login; check registration_id and its key or certificate",
  "not-found": "the provisioning service knows no such enrolment; check id_scope and registration_id",
  disabled: "the enrolment is disabled; have it enabled",
  "assignment-failed": "no hub was assigned; the service's log says why",
  rejected: "the provisioning service refuses the request",
  "bad-answer": "the provisioning service gave an answer that means nothing",
} as const;
