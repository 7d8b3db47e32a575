// Who we are to Azure IoT Hub in one connection: the user name, and a token minted for it alone. Refuses to mint one while
// the clock of this host is plainly wrong: the hub's only answer would be "not authorised".

import { Secret } from "../../../../shared/config/secret.ts";
import type { HubAuth } from "../../types/azure-iot-hub.ts";
import { readSasKey } from "../../types/azure-key.ts";
import type { ChannelLogin } from "../channel.ts";
import type { HubIdentity } from "./property-bag.ts";
import { allDevicesResource, deriveDeviceKey, deviceResource, mintSas, moduleResource } from "./sas.ts";

const API_VERSION = "2021-04-12";
/** A token is replaced when this share of its life has passed, some of them earlier, so that not all do at once. */
const RENEW_SHARE = 0.75;
const JITTER_SHARE = 0.1;

export type HubLoginWishes = {
  readonly hub: string;
  readonly identity: HubIdentity;
  readonly auth: HubAuth;
  /** What the key of an enrolment group is derived with: the device id, unless it was provisioned under another. */
  readonly registrationId: string;
  readonly sasSeconds: number;
  readonly nowMs: number;
  /** 0 (included) to 1 (excluded). */
  readonly random: number;
  /** When this program was made (ISO 8601), or "unknown". */
  readonly builtAt: string;
};

export function createHubLogin(wishes: HubLoginWishes): ChannelLogin {
  const { hub, identity, auth } = wishes;
  const { deviceId, moduleId } = identity;
  const module = moduleId === undefined ? "" : `/${moduleId}`;
  const username = `${hub}/${deviceId}${module}/?api-version=${API_VERSION}`;
  if (auth.kind === "x509") return { username, password: undefined };
  const minted = mint(wishes, auth);
  if (typeof minted === "string") return { username, password: undefined, problem: minted };
  return { username, password: minted.token, renewAtMs: minted.renewAtMs };
}

function mint(
  { hub, identity, registrationId, sasSeconds, nowMs, random, builtAt }: HubLoginWishes,
  auth: Exclude<HubAuth, { kind: "x509" }>,
): { token: Secret<string>; renewAtMs: number } | string {
  const problem = checkClock(nowMs, builtAt);
  if (problem !== undefined) return problem;
  const read = readSasKey(auth.key);
  if (!(read instanceof Secret)) return `there is no key to log in with: ${read.problem}; ${read.allowed}`;
  const { deviceId, moduleId } = identity;
  const resource =
    auth.kind === "sas-policy"
      ? allDevicesResource(hub)
      : moduleId === undefined
        ? deviceResource(hub, deviceId)
        : moduleResource(hub, deviceId, moduleId);
  const key = auth.kind === "sas-group" ? read.map((group) => deriveDeviceKey(group, registrationId)) : read;
  const expirySeconds = Math.floor(nowMs / 1000) + sasSeconds;
  const policy = auth.kind === "sas-policy" ? { policy: auth.policy } : {};
  const token = key.map((bytes) => mintSas({ resource, key: bytes, expirySeconds, ...policy }));
  const share = RENEW_SHARE - JITTER_SHARE * random;
  return { token, renewAtMs: nowMs + sasSeconds * 1000 * share };
}

/** No clock can be right that is before the day this program was made. */
export function checkClock(nowMs: number, builtAt: string): string | undefined {
  const builtMs = Date.parse(builtAt);
  if (!(nowMs < builtMs)) return undefined;
  const now = new Date(nowMs).toISOString();
  return `the clock of this host says ${now}, before this program was made (${builtAt}); set it (NTP), for no token would be valid`;
}
