// Our signatures against those of three libraries, over keys and names made at random from a seed that is printed.
import { expect, test } from "bun:test";
import { presignWebSocketUrl } from "../../../agents/recv/targets/aws/sigv4.ts";
import { decodeSasKey, mintSas } from "../../../agents/recv/targets/azure/sas.ts";
import { runSdk } from "../../fakes/run-sdk.ts";
import { requireTools } from "../../support/requirements.ts";
import { Random } from "../../unit/shared/fec/random.ts";

type AwsCase = {
  readonly host: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly atMs: number;
  readonly stamp: string;
};
type AzureCase = { resource: string; key: string; expirySeconds: number; policy?: string };
type Report = { aws4: string[]; crt: string[]; azure: string[] };

const COUNT = 200;
const seed = Number(process.env.TIDEGATE_SEED ?? Math.floor(Math.random() * 2 ** 31));

requireTools(["node", "cloud sdks"])("signatures of other libraries", () => {
  test("presignWebSocketUrl() signs as aws4 and aws-crt do, mintSas() as azure-iot-common", async () => {
    process.stderr.write(`signatures: TIDEGATE_SEED=${seed}\n`);
    const random = new Random(seed);
    const aws = Array.from({ length: COUNT }, () => makeAwsCase(random));
    const azure = Array.from({ length: COUNT }, () => makeAzureCase(random));
    // azure-iot-common signs and sends the resource as it gets it, so it gets it encoded.
    const encoded = azure.map((each) => ({ ...each, resource: encodeURIComponent(each.resource) }));
    const report = await runSdk<Report>("signatures", { aws, azure: encoded });

    const urls = aws.map(({ host, region, atMs, accessKeyId, secretAccessKey, sessionToken }) => {
      const keys = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
      return new URL(presignWebSocketUrl({ host, region, keys, atMs }));
    });
    expect(urls.map(({ searchParams }) => searchParams.get("X-Amz-Signature"))).toEqual(report.aws4);
    expect(urls.map(({ search }) => sortFields(search))).toEqual(report.crt.map(sortFields));

    const tokens = azure.map(({ key, ...wishes }) =>
      mintSas({ ...wishes, key: decodeSasKey(key) ?? Buffer.alloc(0) }),
    );
    expect(tokens.map(sortSas)).toEqual(report.azure.map(sortSas));
  });
});

function makeAwsCase(random: Random): AwsCase {
  const seconds = random.below(2 ** 31 - 1);
  const token = random.below(2) === 0 ? {} : { sessionToken: makeText(random, 400) };
  return {
    host: `${makeName(random)}-ats.iot.eu-west-1.amazonaws.com`,
    region: `eu-${makeName(random)}-1`,
    accessKeyId: `AKIA${makeName(random)}`,
    secretAccessKey: makeText(random, 40),
    ...token,
    atMs: seconds * 1000,
    stamp: new Date(seconds * 1000).toISOString().replace(/\.000/, "").replaceAll(/[-:]/g, ""),
  };
}

function makeAzureCase(random: Random): AzureCase {
  const key = Buffer.from(random.bytes(32));
  return {
    resource: `${makeName(random)}.azure-devices.net/devices/${makeDeviceId(random)}`,
    key: key.toString("base64"),
    expirySeconds: random.below(2 ** 31 - 1),
    ...(random.below(2) === 0 ? {} : { policy: makeName(random) }),
  };
}

/** What stands in keys and tokens of AWS: base64 and its like. */
function makeText(random: Random, length: number): string {
  return pick(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", length);
}

function makeName(random: Random): string {
  return pick(random, "abcdefghijklmnopqrstuvwxyz0123456789", 12);
}

/** All that Azure allows in the name of a device. */
function makeDeviceId(random: Random): string {
  return pick(random, "ABCabc019-.+%_#*?!(),=@$'", 1 + random.below(60));
}

function pick(random: Random, alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet[random.below(alphabet.length)]).join("");
}

function sortFields(search: string): string[] {
  return search.replace(/^\?/, "").split("&").sort();
}

function sortSas(token: string): string[] {
  return token.replace("SharedAccessSignature ", "").split("&").sort();
}
