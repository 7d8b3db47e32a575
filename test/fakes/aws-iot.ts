// AWS IoT Core as a publisher meets it: its two ports, its four ways to authenticate, its quotas and what it does past
// each. Driven by the vendor's own SDK in test/interop/clouds, so that it is honest.
import type { CertificateFiles } from "../support/certificates.ts";
import { AwsRules, type AwsRulesOptions, CUSTOM_ALPN, X509_ALPN } from "./aws/rules.ts";
import { type AwsAccount, findSignatureFault } from "./aws/signature.ts";
import { FakeClock } from "./server/clock.ts";
import type { UpgradeJudge } from "./server/door.ts";
import { PacketServer } from "./server/server.ts";

export type AwsIotOptions = Omit<AwsRulesOptions, "endpoints"> & {
  readonly certificate: CertificateFiles;
  /** The authority whose client certificates the account has registered. */
  readonly clientCaFile: string;
  /** "localhost" unless told. */
  readonly endpoints?: readonly string[];
  /** Who may sign requests for a WebSocket. */
  readonly account?: AwsAccount;
};

const NOBODY: AwsAccount = { region: "us-east-1", keys: {} };

export class AwsIotFake extends PacketServer {
  /** 8883 of the real one: MQTT with X.509. */
  mqttPort = 0;
  /** 443 of the real one: MQTT when ALPN says so, else WebSocket. */
  httpsPort = 0;

  private constructor(
    override readonly rules: AwsRules,
    clock: FakeClock,
  ) {
    super(rules, clock);
  }

  static async start(options: AwsIotOptions): Promise<AwsIotFake> {
    const clock = new FakeClock();
    const { certificate, clientCaFile, endpoints = ["localhost"], account = NOBODY } = options;
    const fake = new AwsIotFake(new AwsRules({ ...options, endpoints }, clock), clock);
    const shared = { certificate, clientCaFile };
    const mqtt = await fake.open({ ...shared, name: "mqtt", alpn: [X509_ALPN] });
    const https = await fake.open({
      ...shared,
      name: "https",
      alpn: [X509_ALPN, CUSTOM_ALPN, "http/1.1"],
      webSocketPath: "/mqtt",
      bare: ({ alpn }) => alpn === X509_ALPN || alpn === CUSTOM_ALPN,
    });
    https.judgeUpgrade = judgeUpgrade(account, clock, endpoints);
    fake.mqttPort = mqtt.port;
    fake.httpsPort = https.port;
    return fake;
  }
}

/** Whoever signs is judged by the signature; who doesn't must name a custom authorizer, in the request or in CONNECT. */
function judgeUpgrade(account: AwsAccount, clock: FakeClock, endpoints: readonly string[]): UpgradeJudge {
  return ({ servername }, request) => {
    const forbid = (why: string) => ({ status: 403, reason: "Forbidden", why });
    if (!endpoints.includes(servername ?? "")) return forbid("wrong SNI");
    if (!/X-Amz-(Signature|Algorithm)=/.test(request.query)) return undefined;
    const fault = findSignatureFault(request, account, clock.now());
    return fault === undefined ? undefined : forbid(fault);
  };
}
