// The profile of a target: the schema of one targets.d/NAME.toml, and loading it with the files it names. Each type has
// a file of its own in types/. Refuses a type it doesn't know, and what that file refuses.

import { basename } from "node:path";
import type * as z from "zod";
import { isName } from "../../shared/config/leaf.ts";
import { describeSeat, type SessionMaterial } from "../../shared/config/mqtt-session.ts";
import type { Review } from "../../shared/config/review.ts";
import { quoteText } from "../../shared/config/show-value.ts";
import { typedTable } from "../../shared/config/table.ts";
import type { Partially } from "../../shared/config/validate.ts";
import {
  emqxCloudTable,
  hivemqCloudTable,
  loadMqtt,
  type MqttTarget,
  mqttTable,
  toMqttTarget,
} from "./types/mqtt.ts";

/** Grows by one type with each kind of target. */
export type TargetProfile = MqttTarget;

export const profileSchema = typedTable([mqttTable, hivemqCloudTable, emqxCloudTable]);
type ProfileTable = z.output<typeof profileSchema>;

/** What is taken by one target only: its name, and each place at a broker. */
export type Claim = { readonly path: readonly string[]; readonly key: string; readonly shown: string };

/** Checks the keys of a profile against each other and reads its files. */
export function loadProfile(review: Review, profile: Partially<ProfileTable>): SessionMaterial {
  if (profile.name === undefined && !Object.hasOwn(review.document.table, "name")) {
    const fromFile = nameFromFile(review.document.file);
    const problem = `is missing, and ${quoteText(fromFile)} of the file name is no name`;
    if (!isName(fromFile))
      review.add(["name"], problem, "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -");
  }
  return loadMqtt(review, profile);
}

export function toProfile(review: Review, value: ProfileTable, material: SessionMaterial): TargetProfile {
  return toMqttTarget(review, nameFromFile(review.document.file), value, material);
}

/** What no other profile may have, too. */
export function claimsOf(review: Review, profile: Partially<ProfileTable>): Claim[] {
  const name = profile.name ?? nameFromFile(review.document.file);
  const claims: Claim[] = [{ path: ["name"], key: `name ${name}`, shown: name }];
  const seat = describeSeat(profile.url, profile.client_id);
  if (seat !== undefined) claims.push({ path: ["client_id"], key: `seat ${seat}`, shown: seat });
  return claims;
}

function nameFromFile(file: string): string {
  return basename(file, ".toml");
}
