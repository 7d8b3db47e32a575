// Which hub and device the provisioning service has assigned, kept on disk: each registration costs money, and the service
// may be away when the agent starts. Refuses a file that is of another registration, or that names no hub.
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { readBoundedFile } from "../../../../shared/config/config-file.ts";
import { isServerName } from "../../../../shared/config/endpoint.ts";
import { isHubId } from "./hub-limits.ts";

export type Assignment = { readonly hub: string; readonly deviceId: string };
export type Registration = { readonly idScope: string; readonly registrationId: string };

const FILE_BYTES_MAX = 4096;

export function isAssignment({ hub, deviceId }: Partial<Record<keyof Assignment, unknown>>): boolean {
  return typeof hub === "string" && isServerName(hub) && typeof deviceId === "string" && isHubId(deviceId);
}

/** What the file says of this registration; undefined when that is nothing, for whatever reason. */
export function readAssignment(file: string, registration: Registration): Assignment | undefined {
  const read = readBoundedFile(file, FILE_BYTES_MAX);
  if (!read.ok) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(read.bytes).toString("utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { idScope, registrationId, hub, deviceId } = value as Partial<Registration & Assignment>;
    if (idScope !== registration.idScope || registrationId !== registration.registrationId) return undefined;
    if (!isAssignment({ hub, deviceId })) return undefined;
    return { hub: hub as string, deviceId: deviceId as string };
  } catch {
    return undefined;
  }
}

/** Replaces the file at once, so that a power cut leaves the old one or the new one; a sentence when it cannot. */
export function writeAssignment(
  file: string,
  registration: Registration,
  assignment: Assignment,
): string | undefined {
  const { hub, deviceId } = assignment;
  const { idScope, registrationId } = registration;
  try {
    const descriptor = openSync(`${file}.new`, "w", 0o600);
    try {
      writeSync(descriptor, `${JSON.stringify({ idScope, registrationId, hub, deviceId })}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(`${file}.new`, file);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
