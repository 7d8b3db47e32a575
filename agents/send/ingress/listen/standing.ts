// Whether a client that is connected would still be let in as it is, after users or access rules have changed.
import type { Will } from "../../../../shared/mqtt/connect-packet.ts";
import { REASON, type ReasonCode } from "../../../../shared/mqtt/reason-code.ts";
import { makePermit } from "./access.ts";
import type { Admission } from "./admission.ts";
import type { Hub } from "./hub.ts";
import type { ConnectionRefusal } from "./refusal.ts";

/** What a client was let in with. */
export type Admitted = Admission & { readonly ok: true };

export type Objection = {
  readonly refusal: ConnectionRefusal;
  readonly code: ReasonCode;
  readonly why: string;
  /** False where the new rules forbid the topic of its will. */
  readonly keepsWill: boolean;
};

export function findObjection(hub: Hub, admitted: Admitted, will: Will | undefined): Objection | undefined {
  const { clientId, user, hash } = admitted;
  if (user !== undefined && hash !== undefined && hub.users?.stands(user, hash) === false) {
    const why = "its user is gone or has another password";
    return { refusal: "user-changed", code: REASON.notAuthorized, why, keepsWill: true };
  }
  const permit = makePermit(hub.access, user, clientId);
  if (permit === undefined ? admitted.permit === undefined : permit.isLike(admitted.permit)) return undefined;
  const why = "its access rules are others now";
  const keepsWill = will === undefined || permit?.allows(will.topic) !== false;
  return { refusal: "access-changed", code: REASON.administrativeAction, why, keepsWill };
}
