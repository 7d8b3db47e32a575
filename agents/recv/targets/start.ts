// Starts a target of any type.
import type { TargetProfile } from "../profile.ts";
import { startBrokerTarget, type TargetRim } from "./broker-target.ts";
import type { Target } from "./target.ts";

export function startTarget(profile: TargetProfile, rim: TargetRim): Target {
  return startBrokerTarget(profile, rim);
}
