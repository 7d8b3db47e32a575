// What a target of type "azure-iot-hub" does in its own way: tokens, the property bag, and the limits of IoT Hub, kept on
// this side because there all that is wrong ends the connection without a word.
import { BUILD_INFO } from "../../../../shared/build-info.ts";
import type { Message } from "../../../../shared/message.ts";
import type { AzureIotHubTarget } from "../../types/azure-iot-hub.ts";
import type { Dialect, TargetRim } from "../broker-target.ts";
import type { Judgement } from "../outcome.ts";
import { ClockWatch } from "./clock-watch.ts";
import { createHubLogin } from "./hub-login.ts";
import { composeHubMessage, type HubIdentity, type HubRefusal } from "./property-bag.ts";

export function createHubDialect(
  target: AzureIotHubTarget,
  rim: TargetRim,
  builtAt: string = BUILD_INFO.date,
): Dialect {
  const { hub, deviceId, moduleId } = target;
  const identity: HubIdentity = { deviceId, ...(moduleId === undefined ? {} : { moduleId }) };
  const watch = new ClockWatch(target.name, rim);
  return {
    loginHint: HINTS[target.auth.kind],
    login() {
      if (target.auth.kind !== "x509") watch.look();
      return createHubLogin({
        hub,
        identity,
        auth: target.auth,
        registrationId: deviceId,
        sasSeconds: target.sasSeconds,
        nowMs: rim.clock(),
        random: rim.random(),
        builtAt,
      });
    },
    judge: (message) => judgeForHub(message, identity, target),
  };
}

export function judgeForHub(message: Message, identity: HubIdentity, target: AzureIotHubTarget): Judgement {
  const composed = composeHubMessage(message, identity, target.bag, target.messageBytesMax);
  if (typeof composed === "string")
    return { outcome: "lost/oversize", detail: explain(composed, target.messageBytesMax) };
  return { publish: { ...message, topic: composed.topic } };
}

function explain(refusal: HubRefusal, bytesMax: number): string {
  return refusal === "oversize"
    ? `its payload and properties have over ${bytesMax} bytes, which IoT Hub takes at most`
    : "its properties make a topic of over 65,535 bytes, which MQTT takes at most";
}

/** What to look at when the hub refuses the login: it never says why. */
const HINTS = {
  "sas-key": "check device_id, that the device is enabled, its key, and the clock of this host",
  "sas-policy":
    "check that the device is there and enabled, that policy_name has DeviceConnect, its key, and the clock of this host",
  "sas-group": "check device_id, that the device is enabled, the group's key, and the clock of this host",
  x509: "check device_id, that the device is enabled, and that the hub knows this certificate or its authority",
} as const;
