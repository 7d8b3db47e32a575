// Azure IoT Hub as a publisher meets it: MQTT 3.1.1 on 8883, the same over WebSocket on 443, tokens, certificates, modules,
// the property bag and the throttles. Driven by the vendor's own SDK in test/interop/clouds, so that it is honest.
import type { CertificateFiles } from "../support/certificates.ts";
import { type HubMessage, type HubOptions, HubRules } from "./azure/hub-rules.ts";
import { FakeClock } from "./server/clock.ts";
import { PacketServer } from "./server/server.ts";

export type IotHubOptions = HubOptions & {
  readonly certificate: CertificateFiles;
  /** The authority whose certificates devices may have. */
  readonly clientCaFile: string;
};

export class IotHubFake extends PacketServer {
  mqttPort = 0;
  /** Takes nothing but WebSocket. */
  httpsPort = 0;

  private constructor(
    override readonly rules: HubRules,
    clock: FakeClock,
  ) {
    super(rules, clock);
  }

  static async start(options: IotHubOptions): Promise<IotHubFake> {
    const { certificate, clientCaFile } = options;
    const clock = new FakeClock();
    const fake = new IotHubFake(new HubRules(options, clock), clock);
    fake.mqttPort = (await fake.open({ name: "mqtt", certificate, clientCaFile })).port;
    const webSocketPath = "/$iothub/websocket";
    const https = { name: "https", certificate, clientCaFile, webSocketPath, bare: () => false };
    fake.httpsPort = (await fake.open(https)).port;
    return fake;
  }

  get telemetry(): readonly HubMessage[] {
    return this.rules.telemetry;
  }
}
