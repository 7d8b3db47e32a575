// Every type of target there is. A test compares this list with what `tidegate-recv init` names.
import type { Kind } from "./kind.ts";
import { AWS_IOT } from "./kinds/aws-iot.ts";
import { AZURE_EVENT_GRID } from "./kinds/azure-event-grid.ts";
import { AZURE_IOT_HUB } from "./kinds/azure-iot-hub.ts";
import { EMQX_CLOUD, HIVEMQ_CLOUD, MQTT } from "./kinds/plain.ts";

export const KINDS: readonly Kind[] = [
  MQTT,
  HIVEMQ_CLOUD,
  EMQX_CLOUD,
  AWS_IOT,
  AZURE_IOT_HUB,
  AZURE_EVENT_GRID,
];
