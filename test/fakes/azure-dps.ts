// Azure's provisioning service as a device meets it, over MQTT 3.1.1 on 8883 and over WebSocket on 443. Driven by the
// vendor's own SDK in test/interop/clouds, so that it is honest.
import type { CertificateFiles } from "../support/certificates.ts";
import { type DpsOptions, DpsRules } from "./azure/dps-rules.ts";
import { FakeClock } from "./server/clock.ts";
import { PacketServer } from "./server/server.ts";

export type DpsFakeOptions = DpsOptions & {
  readonly certificate: CertificateFiles;
  /** The authority of an X.509 enrolment group. */
  readonly clientCaFile: string;
};

export class DpsFake extends PacketServer {
  mqttPort = 0;
  /** Takes nothing but WebSocket. */
  httpsPort = 0;

  private constructor(
    override readonly rules: DpsRules,
    clock: FakeClock,
  ) {
    super(rules, clock);
  }

  static async start(options: DpsFakeOptions): Promise<DpsFake> {
    const { certificate, clientCaFile } = options;
    const clock = new FakeClock();
    const fake = new DpsFake(new DpsRules(options, clock), clock);
    fake.mqttPort = (await fake.open({ name: "mqtt", certificate, clientCaFile })).port;
    const webSocketPath = "/$iothub/websocket";
    const https = { name: "https", certificate, clientCaFile, webSocketPath, bare: () => false };
    fake.httpsPort = (await fake.open(https)).port;
    return fake;
  }
}
