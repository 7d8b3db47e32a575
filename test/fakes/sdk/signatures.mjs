// Signs with other people's code what a plan lists (JSON on standard input): Signature Version 4 by aws4 and by the native
// aws-crt, shared access signatures by azure-iot-common.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { auth, http } from "aws-iot-device-sdk-v2";
import aws4 from "aws4";

const { SharedAccessSignature } = createRequire(import.meta.url)("azure-iot-common");
const { aws = [], azure = [] } = JSON.parse(readFileSync(0, "utf8"));

const report = { aws4: aws.map(signWithAws4), crt: [], azure: azure.map(signForAzure) };
for (const each of aws) report.crt.push(await signWithCrt(each));
await new Promise((resolve) => process.stdout.write(`${JSON.stringify(report)}\n`, resolve));
process.exit(0);

// Without the token: aws4 would sign it, and this service wants it unsigned.
function signWithAws4({ host, region, accessKeyId, secretAccessKey, stamp }) {
  const path = `/mqtt?X-Amz-Date=${stamp}`;
  const request = { host, path, service: "iotdevicegateway", region, signQuery: true };
  // A presigned request that lasts five minutes unless told; the documented form has no such field.
  const signer = new aws4.RequestSigner(request, { accessKeyId, secretAccessKey });
  const sign = signer.prepareRequest.bind(signer);
  signer.prepareRequest = () => {
    sign();
    delete signer.parsedPath.query["X-Amz-Expires"];
  };
  return new URL(`https://${host}${signer.sign().path}`).searchParams.get("X-Amz-Signature");
}

async function signWithCrt({ host, region, accessKeyId, secretAccessKey, sessionToken, atMs }) {
  const request = new http.HttpRequest("GET", "/mqtt", new http.HttpHeaders([["host", host]]));
  await auth.aws_sign_request(request, {
    algorithm: auth.AwsSigningAlgorithm.SigV4,
    signature_type: auth.AwsSignatureType.HttpRequestViaQueryParams,
    provider: auth.AwsCredentialsProvider.newStatic(accessKeyId, secretAccessKey, sessionToken),
    region,
    service: "iotdevicegateway",
    date: new Date(atMs),
    signed_body_value: auth.AwsSignedBodyValue.EmptySha256,
    omit_session_token: true,
  });
  return new URL(`https://${host}${request.path}`).search;
}

function signForAzure({ resource, policy, key, expirySeconds }) {
  return SharedAccessSignature.create(resource, policy, key, expirySeconds).toString();
}
