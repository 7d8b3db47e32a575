// Starts a target of any type.
import type { TargetProfile } from "../profile.ts";
import { createAwsDialect } from "./aws/dialect.ts";
import { createEventGridDialect } from "./azure/event-grid-dialect.ts";
import { createHubDialect } from "./azure/hub-dialect.ts";
import { startBrokerTarget, type TargetRim } from "./broker-target.ts";
import { createPlainDialect } from "./plain-dialect.ts";
import { startSparkplugTarget } from "./sparkplug/target.ts";
import type { Target } from "./target.ts";

export function startTarget(profile: TargetProfile, rim: TargetRim): Target {
  switch (profile.type) {
    case "aws-iot":
      return startBrokerTarget(
        profile,
        rim,
        createAwsDialect(profile, () => rim.clock()),
      );
    case "azure-iot-hub":
      return startBrokerTarget(profile, rim, createHubDialect(profile, rim));
    case "azure-event-grid":
      return startBrokerTarget(profile, rim, createEventGridDialect(profile, rim));
    case "sparkplug":
      return startSparkplugTarget(profile, rim);
    case "mqtt":
    case "hivemq-cloud":
    case "emqx-cloud":
      return startBrokerTarget(profile, rim, createPlainDialect(profile));
  }
}
