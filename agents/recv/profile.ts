// The profile of a target: the schema of one targets.d/NAME.toml, and loading it with the files it names. Each type has
// a file of its own in types/. Refuses a type it doesn't know, and what that file refuses.

import { basename } from "node:path";
import type * as z from "zod";
import { isName } from "../../shared/config/leaf.ts";
import { describeSeat } from "../../shared/config/mqtt-session.ts";
import type { Review } from "../../shared/config/review.ts";
import { quoteText } from "../../shared/config/show-value.ts";
import { typedTable } from "../../shared/config/table.ts";
import type { Partially } from "../../shared/config/validate.ts";
import {
  type AwsIotTable,
  type AwsIotTarget,
  awsIotTable,
  awsUrl,
  loadAwsIot,
  toAwsIotTarget,
} from "./types/aws-iot.ts";
import {
  type AzureEventGridTable,
  type AzureEventGridTarget,
  azureEventGridTable,
  eventGridUrl,
  loadAzureEventGrid,
  toAzureEventGridTarget,
} from "./types/azure-event-grid.ts";
import {
  type AzureIotHubTable,
  type AzureIotHubTarget,
  azureIotHubTable,
  hubSeats,
  loadAzureIotHub,
  toAzureIotHubTarget,
} from "./types/azure-iot-hub.ts";
import {
  emqxCloudTable,
  hivemqCloudTable,
  loadMqtt,
  type MqttTarget,
  mqttTable,
  toMqttTarget,
} from "./types/mqtt.ts";

import { loadSparkplug, type SparkplugTarget, sparkplugTable, toSparkplugTarget } from "./types/sparkplug.ts";

/** Grows by one type with each kind of target. */
export type TargetProfile =
  | MqttTarget
  | AwsIotTarget
  | AzureIotHubTarget
  | AzureEventGridTarget
  | SparkplugTarget;

export const profileSchema = typedTable([
  mqttTable,
  hivemqCloudTable,
  emqxCloudTable,
  awsIotTable,
  azureIotHubTable,
  azureEventGridTable,
  sparkplugTable,
]);
type ProfileTable = z.output<typeof profileSchema>;

/** What is taken by one target only: its name, and each place at a broker. */
export type Claim = { readonly path: readonly string[]; readonly key: string; readonly shown: string };

/** A profile whose files have been read; undefined while its schema has faults. */
export type ReadProfile = { readonly toTarget: (() => TargetProfile) | undefined };

/** Checks the keys of a profile against each other and reads its files; `value` is all of it, when it has no faults. */
export function readProfile(
  review: Review,
  profile: Partially<ProfileTable>,
  value: ProfileTable | undefined,
): ReadProfile {
  const nameDefault = nameFromFile(review.document.file);
  if (profile.name === undefined && !Object.hasOwn(review.document.table, "name")) {
    const problem = `is missing, and ${quoteText(nameDefault)} of the file name is no name`;
    if (!isName(nameDefault))
      review.add(["name"], problem, "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -");
  }
  switch (profile.type) {
    case undefined:
      return { toTarget: undefined };
    case "aws-iot": {
      const material = loadAwsIot(review, profile);
      if (value?.type !== "aws-iot") return { toTarget: undefined };
      return { toTarget: () => toAwsIotTarget(review, nameDefault, value, material) };
    }
    case "azure-iot-hub": {
      const material = loadAzureIotHub(review, profile);
      if (value?.type !== "azure-iot-hub") return { toTarget: undefined };
      return { toTarget: () => toAzureIotHubTarget(review, nameDefault, value, material) };
    }
    case "azure-event-grid": {
      const material = loadAzureEventGrid(review, profile);
      if (value?.type !== "azure-event-grid") return { toTarget: undefined };
      return { toTarget: () => toAzureEventGridTarget(review, nameDefault, value, material) };
    }
    case "sparkplug": {
      const material = loadSparkplug(review, profile);
      if (value?.type !== "sparkplug") return { toTarget: undefined };
      return { toTarget: () => toSparkplugTarget(review, nameDefault, value, material) };
    }
    case "mqtt":
    case "hivemq-cloud":
    case "emqx-cloud": {
      const material = loadMqtt(review, profile);
      if (value?.type !== "mqtt" && value?.type !== "hivemq-cloud" && value?.type !== "emqx-cloud")
        return { toTarget: undefined };
      return { toTarget: () => toMqttTarget(review, nameDefault, value, material) };
    }
  }
}

/** What no other profile may have, too. */
export function claimsOf(review: Review, profile: Partially<ProfileTable>): Claim[] {
  const name = profile.name ?? nameFromFile(review.document.file);
  const claims: Claim[] = [{ path: ["name"], key: `name ${name}`, shown: name }];
  for (const { path, seat } of seatsOf(profile))
    if (seat !== undefined) claims.push({ path, key: `seat ${seat}`, shown: seat });
  return claims;
}

type Seat = { readonly path: readonly string[]; readonly seat: string | undefined };

function seatsOf(profile: Partially<ProfileTable>): Seat[] {
  if (profile.type === undefined) return [];
  if (isIotHub(profile)) return hubSeats(profile);
  const url = urlOf(profile);
  const { client_id: clientId } = profile;
  // Each connection has a client id of its own.
  const count = ("connections" in profile ? profile.connections : undefined) ?? 1;
  const ids =
    clientId === undefined || count === 1
      ? [clientId]
      : Array.from({ length: count }, (_, index) => `${clientId}-${index + 1}`);
  return ids.map((id) => ({ path: ["client_id"], seat: describeSeat(url, id) }));
}

function urlOf(profile: Partially<Exclude<ProfileTable, AzureIotHubTable>>): string | undefined {
  if (isEventGrid(profile)) return eventGridUrl(profile);
  return isAwsIot(profile) ? awsUrl(profile) : profile.url;
}

function isAwsIot(profile: Partially<ProfileTable>): profile is Partially<AwsIotTable> {
  return profile.type === "aws-iot";
}

function isEventGrid(profile: Partially<ProfileTable>): profile is Partially<AzureEventGridTable> {
  return profile.type === "azure-event-grid";
}

function isIotHub(profile: Partially<ProfileTable>): profile is Partially<AzureIotHubTable> {
  return profile.type === "azure-iot-hub";
}

function nameFromFile(file: string): string {
  return basename(file, ".toml");
}
