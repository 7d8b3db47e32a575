// The MQTT broker of an Azure Event Grid namespace as a publisher meets it, on 8883 and over WebSocket on 443. No client
// library of the vendor's fits; MQTT.js and mosquitto_pub drive it in test/interop/clouds.
import type { CertificateFiles } from "../support/certificates.ts";
import { type EventGridOptions, EventGridRules } from "./azure/event-grid-rules.ts";
import { TokenIssuer } from "./azure/jwt.ts";
import { FakeClock } from "./server/clock.ts";
import { PacketServer } from "./server/server.ts";

export type EventGridFakeOptions = Omit<EventGridOptions, "tokenKey"> & {
  readonly certificate: CertificateFiles;
  /** The authority whose certificates clients may have. */
  readonly clientCaFile: string;
};

export class EventGridFake extends PacketServer {
  mqttPort = 0;
  /** Takes nothing but WebSocket. */
  httpsPort = 0;

  private constructor(
    override readonly rules: EventGridRules,
    clock: FakeClock,
    private readonly issuer: TokenIssuer,
  ) {
    super(rules, clock);
  }

  static async start(options: EventGridFakeOptions): Promise<EventGridFake> {
    const { certificate, clientCaFile } = options;
    const clock = new FakeClock();
    const issuer = new TokenIssuer();
    const rules = new EventGridRules({ ...options, tokenKey: issuer.publicKey }, clock);
    const fake = new EventGridFake(rules, clock, issuer);
    fake.mqttPort = (await fake.open({ name: "mqtt", certificate, clientCaFile })).port;
    const https = { name: "https", certificate, clientCaFile, webSocketPath: "/mqtt", bare: () => false };
    fake.httpsPort = (await fake.open(https)).port;
    return fake;
  }

  /** A token as Microsoft Entra issues it, good for so many seconds of the fake's clock. */
  issueToken(subject: string, seconds: number, audience = "https://eventgrid.azure.net/"): string {
    const nowSeconds = Math.floor(this.clock.now() / 1000);
    return this.issuer.issue({ aud: audience, sub: subject, nbf: nowSeconds, exp: nowSeconds + seconds });
  }
}
