// Decides whether a client may come in [MQTT5 3.1.4]: its client id, its authentication method, its user, its will. The user
// is the one its certificate names, or one whose password is right, or nobody where anonymous clients are allowed.
import { randomBytes } from "node:crypto";
import type { Connect } from "../../../../shared/mqtt/connect-packet.ts";
import { REASON, type ReasonCode } from "../../../../shared/mqtt/reason-code.ts";
import { makePermit, type Permit } from "./access.ts";
import type { Hub } from "./hub.ts";
import type { ConnectionRefusal } from "./refusal.ts";
import type { Wire } from "./wire.ts";

const CLIENT_ID_BYTES_MAX = 1024;

export type Admission =
  | {
      readonly ok: true;
      readonly clientId: string;
      readonly user: string | undefined;
      readonly permit: Permit | undefined;
      /** Of a password that was right: what it was checked against. */
      readonly hash: string | undefined;
    }
  | {
      readonly ok: false;
      readonly code: ReasonCode;
      readonly refusal: ConnectionRefusal;
      readonly why: string;
      /** Counts towards a ban. */
      readonly isFailure: boolean;
    };

/** At once where no password has to be checked. */
export function admit(hub: Hub, wire: Wire, connect: Connect): Admission | Promise<Admission> {
  const { version, properties, username, password } = connect;
  if (properties?.authenticationMethod !== undefined) {
    const why = "there is no authentication method beside user name and password";
    return refuse(REASON.badAuthenticationMethod, "authentication-method", why);
  }
  if (connect.clientId === "" && (version === 3 || (version === 4 && !connect.cleanStart)))
    return refuse(REASON.clientIdentifierInvalid, "client-id", "the client id is empty"); // [MQTT-3.1.3-8]
  if (Buffer.byteLength(connect.clientId) > CLIENT_ID_BYTES_MAX) {
    const why = `the client id is over ${CLIENT_ID_BYTES_MAX} bytes`;
    return refuse(REASON.clientIdentifierInvalid, "client-id", why);
  }
  const clientId = connect.clientId === "" ? `tidegate-${randomBytes(12).toString("hex")}` : connect.clientId;
  if (wire.certificateUser !== undefined) return letIn(hub, connect, clientId, wire.certificateUser);
  if (hub.users !== undefined && username !== undefined) {
    return hub.users.judge(username, password ?? new Uint8Array(), hub.rim.steady()).then((judgement) => {
      if (judgement.verdict === "right") return letIn(hub, connect, clientId, username, judgement.hash);
      if (judgement.verdict === "busy")
        return refuse(REASON.serverBusy, "busy", "too many log-ins at a time");
      return refuse(REASON.badUserNameOrPassword, "bad-credentials", "user name or password is wrong", true);
    });
  }
  if (hub.config.anonymous) return letIn(hub, connect, clientId, undefined);
  return refuse(
    REASON.notAuthorized,
    "anonymous",
    "it gave no user name, and nobody is let in without",
    true,
  );
}

function letIn(
  hub: Hub,
  connect: Connect,
  clientId: string,
  user: string | undefined,
  hash?: string,
): Admission {
  // The users may have changed while the password was checked.
  if (user !== undefined && hash !== undefined && hub.users?.stands(user, hash) === false)
    return refuse(REASON.badUserNameOrPassword, "bad-credentials", "the user has changed", true);
  const permit = makePermit(hub.access, user, clientId);
  if (connect.will !== undefined && permit?.allows(connect.will.topic) === false) {
    const why = "it may not publish to the topic of its will";
    return refuse(REASON.notAuthorized, "will-not-authorized", why);
  }
  return { ok: true, clientId, user, permit, hash };
}

function refuse(
  code: ReasonCode,
  refusal: ConnectionRefusal,
  why: string,
  isFailure = false,
): Admission & { ok: false } {
  return { ok: false, code, refusal, why, isFailure };
}

/** In seconds. Only MQTT 5 can be told another one than it asked for [MQTT5 3.2.2.3.14]. */
export function chooseKeepAlive({ version, keepAliveSeconds }: Connect, max: number): number {
  return version === 5 && (keepAliveSeconds === 0 || keepAliveSeconds > max) ? max : keepAliveSeconds;
}

/** How long the session is to outlive its connection, in seconds. */
export function chooseExpiry({ version, cleanStart, properties }: Connect): number {
  if (version === 5) return properties?.sessionExpirySeconds ?? 0;
  // Of MQTT 3.1 and 3.1.1 a session without Clean Session has no end of its own [MQTT-3.1.2-6].
  return cleanStart ? 0 : Number.MAX_SAFE_INTEGER;
}
