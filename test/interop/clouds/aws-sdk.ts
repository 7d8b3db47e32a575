// What the AWS IoT Device SDK is told and what it reports (test/fakes/sdk/aws.mjs).
import { runSdk } from "../../fakes/run-sdk.ts";
import type { CertificateFiles } from "../../support/certificates.ts";

export type AwsPlan = {
  readonly mode: "x509" | "custom" | "sigv4" | "websocket-custom";
  /** 5 unless told. */
  readonly mqtt?: 4;
  readonly host: string;
  readonly port: number;
  readonly caFile: string;
  readonly clientId: string;
  readonly certificate?: CertificateFiles;
  readonly keepAliveSeconds?: number;
  readonly connect?: object;
  readonly will?: AwsPublish;
  readonly authorizer?: object;
  readonly region?: string;
  readonly keys?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  readonly publishes?: readonly AwsPublish[];
  readonly awaitDisconnection?: boolean;
};

export type AwsPublish = {
  readonly topic: string;
  readonly payload?: string;
  /** Instead of a payload. */
  readonly size?: number;
  readonly qos?: 0 | 1 | 2;
  readonly retain?: boolean;
  readonly times?: number;
  readonly contentType?: string;
  readonly payloadFormat?: 0 | 1;
  readonly messageExpiryIntervalSeconds?: number;
  readonly userProperties?: readonly { name: string; value: string }[];
};

export type AwsReport = {
  readonly events: readonly {
    readonly name: string;
    readonly error?: string;
    readonly connack?: { readonly reasonCode: number };
    readonly disconnect?: { readonly reasonCode: number };
    readonly settings?: Readonly<Record<string, unknown>>;
  }[];
  readonly publishes: readonly { readonly reasonCode?: number; readonly error?: string }[];
  readonly publishMs?: number;
};

export function runAwsSdk({ certificate, ...plan }: AwsPlan): Promise<AwsReport> {
  return runSdk("aws", { ...plan, ...certificate });
}
