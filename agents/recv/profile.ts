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
import { type AwsIotTarget, awsIotTable, awsUrl, loadAwsIot, toAwsIotTarget } from "./types/aws-iot.ts";
import {
  emqxCloudTable,
  hivemqCloudTable,
  loadMqtt,
  type MqttTarget,
  mqttTable,
  toMqttTarget,
} from "./types/mqtt.ts";

/** Grows by one type with each kind of target. */
export type TargetProfile = MqttTarget | AwsIotTarget;

export const profileSchema = typedTable([mqttTable, hivemqCloudTable, emqxCloudTable, awsIotTable]);
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
    default: {
      const material = loadMqtt(review, profile);
      if (value === undefined || value.type === "aws-iot") return { toTarget: undefined };
      return { toTarget: () => toMqttTarget(review, nameDefault, value, material) };
    }
  }
}

/** What no other profile may have, too. */
export function claimsOf(review: Review, profile: Partially<ProfileTable>): Claim[] {
  const name = profile.name ?? nameFromFile(review.document.file);
  const claims: Claim[] = [{ path: ["name"], key: `name ${name}`, shown: name }];
  if (profile.type === undefined) return claims;
  const url = "endpoint" in profile ? awsUrl(profile) : "url" in profile ? profile.url : undefined;
  // Each connection has a client id of its own.
  const count = profile.connections ?? 1;
  for (let number = 1; number <= count; number++) {
    const id =
      profile.client_id === undefined || count === 1 ? profile.client_id : `${profile.client_id}-${number}`;
    const seat = describeSeat(url, id);
    if (seat !== undefined) claims.push({ path: ["client_id"], key: `seat ${seat}`, shown: seat });
  }
  return claims;
}

function nameFromFile(file: string): string {
  return basename(file, ".toml");
}
