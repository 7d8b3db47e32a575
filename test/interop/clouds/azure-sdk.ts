// What Microsoft's SDKs are told and what they report (test/fakes/sdk/azure-device.mjs and azure-dps.mjs).
import type { DpsFake } from "../../fakes/azure-dps.ts";
import type { IotHubFake } from "../../fakes/azure-iot-hub.ts";
import { runSdk } from "../../fakes/run-sdk.ts";

export type HubPlan = {
  readonly deviceId: string;
  readonly moduleId?: string;
  /** A device's key in base64; without one there is a certificate. */
  readonly key?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly webSocket?: boolean;
  /** Sent one after another, each when the one before is acknowledged. */
  readonly messages?: readonly HubMessage[];
};

export type HubMessage = {
  readonly body?: string;
  /** Instead of a body. */
  readonly size?: number;
  /** By the SDK's names: contentType, messageId … */
  readonly system?: Readonly<Record<string, string>>;
  readonly properties?: readonly (readonly [name: string, value: string])[];
};

/** "connected" or the name of the SDK's error; then for each message "MessageEnqueued" or the name of an error. */
export type HubReport = {
  readonly opened: string;
  readonly sent: readonly string[];
  readonly reason?: string;
};

export function runHubSdk(
  fake: IotHubFake,
  plan: HubPlan & { hub: string; caFile: string },
): Promise<HubReport> {
  const port = plan.webSocket === true ? fake.httpsPort : fake.mqttPort;
  return runSdk<HubReport>("azure-device", { port, ...plan });
}

export type DpsPlan = {
  readonly registrationId?: string;
  readonly key?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
};

export type DpsReport = {
  readonly assignedHub?: string;
  readonly deviceId?: string;
  readonly status?: string;
  readonly error?: string;
  readonly message?: string;
};

export function runDpsSdk(
  fake: DpsFake,
  plan: DpsPlan & { idScope: string; caFile: string },
): Promise<DpsReport> {
  return runSdk<DpsReport>("azure-dps", { port: fake.mqttPort, ...plan }, plan.caFile);
}
