// What a target of type "azure-iot-hub" does in its own way: tokens, the property bag, and the limits of IoT Hub, kept on
// this side because there all that is wrong ends the connection without a word.
import { BUILD_INFO } from "../../../../shared/build-info.ts";
import { changeMessage, type Message } from "../../../../shared/message.ts";
import type { HubDevices } from "../../types/azure-hub-identity.ts";
import type { AzureIotHubTarget } from "../../types/azure-iot-hub.ts";
import type { Dialect, TargetRim } from "../broker-target.ts";
import type { ChannelLogin } from "../channel.ts";
import type { DeviceChannels } from "../device-channels.ts";
import type { Judgement } from "../outcome.ts";
import type { Form } from "../oversize.ts";
import { ClockWatch } from "./clock-watch.ts";
import { createHubDevices, findDevice } from "./hub-devices.ts";
import { createHubLogin } from "./hub-login.ts";
import { type BagRules, composeHubMessage, type HubIdentity, type HubRefusal } from "./property-bag.ts";
import { Provisioning } from "./provisioning.ts";

export function createHubDialect(
  target: AzureIotHubTarget,
  rim: TargetRim,
  builtAt: string = BUILD_INFO.date,
): Dialect {
  const { auth, endpoint, moduleId, name } = target;
  const watch = new ClockWatch(name, rim);
  const provisioning = target.provisioning && new Provisioning(target, target.provisioning, rim, builtAt);
  const own = target.hub === undefined ? undefined : { hub: target.hub, deviceId: target.deviceId };
  const login = (clientId: string): ChannelLogin => {
    const { hub, deviceId = clientId } = own ?? provisioning?.assignment ?? {};
    // It does not connect before it is assigned.
    if (hub === undefined) return { ...NOBODY, problem: "no hub is assigned yet" };
    if (auth.kind !== "x509") watch.look();
    const signedIn = createHubLogin({
      hub,
      identity: toIdentity(deviceId, moduleId),
      auth,
      registrationId: target.provisioning?.registrationId ?? deviceId,
      sasSeconds: target.sasSeconds,
      nowMs: rim.clock(),
      random: rim.random(),
      builtAt,
    });
    if (own !== undefined) return signedIn;
    return { ...signedIn, clientId: deviceId, endpoint: endpoint ?? { host: hub, port: target.url.port } };
  };
  const judge = (message: Message, original: Message, form: Form): Judgement => {
    const found =
      target.devices === undefined
        ? (own ?? provisioning?.assignment)?.deviceId
        : findDevice(original.topic, target.devices);
    // Nothing is judged before the first connection.
    if (found === undefined) return { outcome: "lost/refused", detail: "no hub is assigned yet" };
    if (typeof found !== "string") return { outcome: "lost/no-identity", detail: found.problem };
    return judgeForHub(message, toIdentity(found, moduleId), target, form);
  };
  const addressKey = endpoint !== undefined ? "endpoint" : own !== undefined ? "hub" : "provisioning";
  const usual: Dialect = { addressKey, loginHint: HINTS[auth.kind], login, judge, hasProperties: true };
  if (target.devices !== undefined) return { ...usual, ...withDevices(target, target.devices, rim) };
  return provisioning === undefined ? usual : { ...usual, ...withProvisioning(provisioning) };
}

function withDevices(target: AzureIotHubTarget, devices: HubDevices, rim: TargetRim): Dialect {
  let channels: DeviceChannels | undefined;
  return {
    channels(given) {
      channels = createHubDevices(target, devices, rim, given);
      return channels;
    },
    heard: (clientId, fault) => channels?.heard(clientId, fault),
  };
}

function withProvisioning(provisioning: Provisioning): Dialect {
  return {
    // What was judged when it was another device goes as the one that has logged in.
    readdress: (message) => {
      const { deviceId } = provisioning.assignment ?? {};
      return deviceId === undefined ? message : readdress(message, deviceId);
    },
    begin: (given) => provisioning.begin(given),
    heard: (_, fault) => provisioning.heard(fault),
    close: () => provisioning.close(),
    problem: () => provisioning.problem,
  };
}

const NOBODY = { username: undefined, password: undefined } as const;

function toIdentity(deviceId: string, moduleId: string | undefined): HubIdentity {
  return { deviceId, ...(moduleId === undefined ? {} : { moduleId }) };
}

export function judgeForHub(
  message: Message,
  identity: HubIdentity,
  target: AzureIotHubTarget,
  form: Form,
): Judgement {
  const composed = composeHubMessage(message, identity, FORMS[form](target.bag), target.messageBytesMax);
  if (typeof composed === "string")
    return { outcome: "lost/oversize", detail: explain(composed, target.messageBytesMax) };
  return { publish: changeMessage(message, { topic: composed.topic }) };
}

/** `devices/OLD/…` as `devices/NEW/…`; the same message when it is the same device. */
export function readdress(message: Message, deviceId: string): Message {
  const rest = message.topic.indexOf("/", DEVICES.length);
  if (message.topic.slice(DEVICES.length, rest) === deviceId) return message;
  return changeMessage(message, { topic: `${DEVICES}${deviceId}${message.topic.slice(rest)}` });
}

const DEVICES = "devices/";

/** A part of a text is none that the hub could read, whatever the text is in. */
const FORMS: Record<Form, (bag: BagRules) => BagRules> = {
  whole: (bag) => bag,
  gzip: (bag) => ({ ...bag, contentEncoding: "gzip" }),
  part: (bag) => ({ ...bag, contentEncoding: undefined }),
};

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
