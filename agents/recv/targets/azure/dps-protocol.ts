// The exchange by which the provisioning service (DPS) tells a device which IoT Hub it belongs to, over MQTT 3.1.1: ask to
// register, then ask how the operation stands until it is done. Pure: it says what to send and how long to wait first.
// Refuses to believe answers to questions it did not ask, and assignments that name no hub.

/** What is subscribed to before anything is sent, at QoS 1. */
export const DPS_ANSWERS = "$dps/registrations/res/#";
const DPS_API_VERSION = "2019-03-31";
const RETRY_SECONDS = 2;
/** A day: longer than any outage that should be waited out in silence. */
const RETRY_SECONDS_MAX = 86_400;

export type DpsRequest = { readonly topic: string; readonly payload: string };

/** A closed list: the label of the counter and the word in the manual. */
export type DpsFailure =
  | "unauthorized"
  | "not-found"
  | "disabled"
  | "assignment-failed"
  | "rejected"
  | "bad-answer";

export type DpsStep =
  | { readonly step: "send"; readonly afterSeconds: number; readonly request: DpsRequest }
  | { readonly step: "assigned"; readonly hub: string; readonly deviceId: string }
  /** `detail` is the service's own message, for people. */
  | { readonly step: "failed"; readonly failure: DpsFailure; readonly detail: string }
  /** An answer to something else: keep waiting. */
  | { readonly step: "ignore" };

/** The user name of CONNECT; there is no "?" in it, unlike in the hub's. The client id is the registration id. */
export function dpsUsername(idScope: string, registrationId: string): string {
  return `${idScope}/registrations/${registrationId}/api-version=${DPS_API_VERSION}`;
}

/** One registration, from first question to assignment. It holds no timer: the caller waits, sends and gives up. */
export class DpsRegistration {
  #requestId = 0;
  #operationId: string | undefined;

  constructor(private readonly registrationId: string) {}

  begin(): DpsStep {
    this.#operationId = undefined;
    return this.#ask(0);
  }

  /** What follows from a message on DPS_ANSWERS. */
  answer(topic: string, payload: Uint8Array): DpsStep {
    const head = parseAnswerTopic(topic);
    if (head === undefined || head.requestId !== String(this.#requestId)) return { step: "ignore" };
    const body = parseBody(payload);
    // The service is busy or broken: the same question again, later.
    if (head.status === 429 || head.status >= 500) return this.#ask(head.retrySeconds ?? RETRY_SECONDS);
    if (head.status >= 300) return fail(FAILURES[head.status] ?? "rejected", body, `status ${head.status}`);
    return this.#follow(body, head.retrySeconds ?? RETRY_SECONDS);
  }

  #follow(body: Body, afterSeconds: number): DpsStep {
    const { assignedHub, deviceId } = body.registrationState ?? {};
    switch (body.status) {
      case "assigned":
        if (!isName(assignedHub) || !isName(deviceId)) return fail("bad-answer", body, "names no hub");
        return { step: "assigned", hub: assignedHub, deviceId };
      case "assigning":
      case "unassigned":
        if (!isName(body.operationId)) return fail("bad-answer", body, "names no operation");
        this.#operationId = body.operationId;
        return this.#ask(afterSeconds);
      case "disabled":
        return fail("disabled", body, "the enrolment is disabled");
      case "failed":
        return fail("assignment-failed", body, "the assignment failed");
      default:
        return fail("bad-answer", body, "has no known status");
    }
  }

  /** Every question has its own number, so that a late answer to an earlier one is not taken for its answer. */
  #ask(afterSeconds: number): DpsStep {
    this.#requestId += 1;
    const request = this.#operationId === undefined ? this.#register() : this.#poll(this.#operationId);
    return { step: "send", afterSeconds, request };
  }

  #register(): DpsRequest {
    return {
      topic: `$dps/registrations/PUT/iotdps-register/?$rid=${this.#requestId}`,
      payload: JSON.stringify({ registrationId: this.registrationId }),
    };
  }

  #poll(operationId: string): DpsRequest {
    const operation = encodeURIComponent(operationId);
    return {
      topic: `$dps/registrations/GET/iotdps-get-operationstatus/?$rid=${this.#requestId}&operationId=${operation}`,
      // Empty for the service; one space because the vendor's own clients send it.
      payload: " ",
    };
  }
}

const FAILURES: Readonly<Record<number, DpsFailure>> = { 401: "unauthorized", 404: "not-found" };

type Body = {
  readonly status?: unknown;
  readonly operationId?: unknown;
  readonly message?: unknown;
  readonly errorCode?: unknown;
  readonly registrationState?: Readonly<Record<string, unknown>>;
};

type AnswerHead = {
  readonly status: number;
  readonly requestId: string;
  readonly retrySeconds: number | undefined;
};

/** `$dps/registrations/res/202/?$rid=3&retry-after=5`; undefined for anything else. */
function parseAnswerTopic(topic: string): AnswerHead | undefined {
  const [, status, query] = /^\$dps\/registrations\/res\/(\d{3})\/\?(.*)$/.exec(topic) ?? [];
  if (status === undefined || query === undefined) return undefined;
  const fields = new Map(query.split("&").map((field) => splitOnce(field)));
  const retry = fields.get("retry-after") ?? "";
  return {
    status: Number(status),
    requestId: fields.get("$rid") ?? "",
    retrySeconds: /^\d{1,9}$/.test(retry) ? Math.min(Number(retry), RETRY_SECONDS_MAX) : undefined,
  };
}

function splitOnce(field: string): [string, string] {
  const at = field.indexOf("=");
  return at < 0 ? [field, ""] : [field.slice(0, at), field.slice(at + 1)];
}

/** An empty object for what is no JSON object, so that the status of the topic still counts. */
function parseBody(payload: Uint8Array): Body {
  try {
    const body: unknown = JSON.parse(Buffer.from(payload).toString("utf8"));
    if (!isRecord(body)) return {};
    const state = body.registrationState;
    const { registrationState: _, ...rest } = body;
    return isRecord(state) ? { ...rest, registrationState: state } : rest;
  } catch {
    return {};
  }
}

function fail(failure: DpsFailure, body: Body, otherwise: string): DpsStep {
  const { errorCode = body.errorCode, errorMessage } = body.registrationState ?? {};
  const said = [body.message, errorMessage].find(isName);
  const code = typeof errorCode === "number" ? ` (${errorCode})` : "";
  return { step: "failed", failure, detail: (said ?? otherwise) + code };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
