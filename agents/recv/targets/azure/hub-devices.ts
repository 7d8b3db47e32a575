// Identity translation to IoT Hub: which device a topic is of, and a connection for each. Refuses topics that name no
// device, and names that no device can have.
import { LogLimiter } from "../../../../shared/log.ts";
import { fillTopic } from "../../../../shared/mqtt/topic-pattern.ts";
import type { HubDevices } from "../../types/azure-hub-identity.ts";
import type { AzureIotHubTarget } from "../../types/azure-iot-hub.ts";
import type { TargetRim } from "../broker-target.ts";
import { DeviceChannels } from "../device-channels.ts";
import type { ChannelsRim } from "../dialect.ts";
import { PublishRate } from "../publish-rate.ts";
import { isHubId } from "./hub-limits.ts";

/** Ten devices a minute are named as refused; the status and the dead letters have the others. */
const LOG_MS = 60_000;

/** The device that messages of this topic are of, or in words why there is none. */
export function findDevice(topic: string, { match, deviceId }: HubDevices): string | { problem: string } {
  const id = fillTopic(match, deviceId, topic);
  if (id === undefined) return { problem: "its topic does not match identity.match, so it names no device" };
  if (isHubId(id)) return id;
  return { problem: `its topic makes ${JSON.stringify(id.slice(0, 200))}, which cannot be a device id` };
}

export function createHubDevices(
  target: AzureIotHubTarget,
  devices: HubDevices,
  rim: TargetRim,
  channels: ChannelsRim,
): DeviceChannels {
  const { name } = target;
  // The hub's throttle is for all of its devices together.
  const limiter = new LogLimiter(LOG_MS);
  const rate = target.rate && new PublishRate(target.rate);
  return new DeviceChannels({
    connectionsMax: devices.connectionsMax,
    idleMs: devices.idleSeconds * 1000,
    timeoutMs: devices.timeoutSeconds * 1000,
    connectRate: new PublishRate({ messagesPerSecond: devices.connectsPerSecond, bytesPerSecond: 0 }),
    // devices/ID/messages/events/
    deviceOf: ({ topic }) => topic.slice(8, topic.indexOf("/", 8)),
    open: (id) => channels.open(`target ${name} (device ${id})`, id, rate),
    steady: () => channels.steady(),
    onRefused: (id, fault) => {
      if (limiter.allow(id, rim.steady(), "refused") === undefined) return;
      const sentence = `target ${name}: device ${id} is refused for ${devices.timeoutSeconds} s; its messages become dead letters until it is admitted`;
      rim.log.error({ target: name, device: id, fault: fault.id }, sentence);
    },
  });
}
