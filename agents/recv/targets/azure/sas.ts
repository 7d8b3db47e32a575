// Shared access signatures: the passwords of Azure IoT Hub and of its provisioning service (DPS). Pure: the expiry is an
// argument. Refuses a key that is not base64, which would otherwise sign with whatever could be read of it.
import { createHmac } from "node:crypto";

export type SasWishes = {
  /** What the token opens, not yet encoded: one of the functions below makes it. */
  readonly resource: string;
  /** From decodeSasKey(). */
  readonly key: Uint8Array;
  /** Seconds since 1970, UTC. The hub ends the connection soon after. */
  readonly expirySeconds: number;
  /** The name of a shared access policy; absent when the key is a device's own. */
  readonly policy?: string;
};

/** One device. `hub` is its host name, `plant.azure-devices.net`. */
export function deviceResource(hub: string, deviceId: string): string {
  return `${hub}/devices/${deviceId}`;
}

export function moduleResource(hub: string, deviceId: string, moduleId: string): string {
  return `${deviceResource(hub, deviceId)}/modules/${moduleId}`;
}

/** Every device of the hub, for a policy that has DeviceConnect. */
export function allDevicesResource(hub: string): string {
  return `${hub}/devices`;
}

/** A registration with the provisioning service; its policy is REGISTRATION_POLICY. */
export function registrationResource(idScope: string, registrationId: string): string {
  return `${idScope}/registrations/${registrationId}`;
}

export const REGISTRATION_POLICY = "registration";

/** What is signed is byte for byte the `sr` that is sent: the service does not encode it anew. */
export function mintSas({ resource, key, expirySeconds, policy }: SasWishes): string {
  const sr = encodeURIComponent(resource);
  const sig = createHmac("sha256", key).update(`${sr}\n${expirySeconds}`, "utf8").digest("base64");
  const skn = policy === undefined ? "" : `&skn=${encodeURIComponent(policy)}`;
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${expirySeconds}${skn}`;
}

/** The key of one device of a symmetric enrolment group; registration ids are lower case and so signed. */
export function deriveDeviceKey(groupKey: Uint8Array, registrationId: string): Buffer {
  return createHmac("sha256", groupKey).update(registrationId, "utf8").digest();
}

/** The bytes of a key as the portal shows it, or undefined when it is not base64 or empty. */
export function decodeSasKey(text: string): Buffer | undefined {
  if (text === "" || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text))
    return undefined;
  return Buffer.from(text, "base64");
}
