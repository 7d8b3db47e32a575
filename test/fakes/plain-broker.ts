// A broker of the MQTT specification as a publisher meets it at a cloud: TLS, user and password, a client certificate where
// the client has one, and the limits that it announces.
import type { CertificateFiles } from "../support/certificates.ts";
import { type PlainOptions, PlainRules } from "./plain/rules.ts";
import { FakeClock } from "./server/clock.ts";
import { PacketServer } from "./server/server.ts";

export type PlainBrokerOptions = PlainOptions & {
  readonly certificate: CertificateFiles;
  readonly clientCaFile: string;
};

export class PlainBrokerFake extends PacketServer {
  mqttPort = 0;

  private constructor(
    override readonly rules: PlainRules,
    clock: FakeClock,
  ) {
    super(rules, clock);
  }

  static async start(options: PlainBrokerOptions): Promise<PlainBrokerFake> {
    const { certificate, clientCaFile } = options;
    const clock = new FakeClock();
    const fake = new PlainBrokerFake(new PlainRules(options, clock), clock);
    fake.mqttPort = (await fake.open({ name: "mqtt", certificate, clientCaFile })).port;
    return fake;
  }
}
