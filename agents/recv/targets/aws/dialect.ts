// What a target of type "aws-iot" does in its own way: logins, Basic Ingest, and the limits of AWS IoT Core, kept on this
// side because there a message too many, too large or too deep costs the connection or disappears without a word.

import { readSecretLine } from "../../../../shared/config/secret-file.ts";
import { changeMessage } from "../../../../shared/message.ts";
import type { AwsIotTarget } from "../../types/aws-iot.ts";
import type { Dialect } from "../broker-target.ts";
import type { ChannelLogin } from "../channel.ts";
import type { Judgement } from "../outcome.ts";
import { formatAuthorizerUser } from "./authorizer.ts";
import { AwsCredentials } from "./credentials.ts";
import { type AwsRefusal, judgeForAws } from "./limits.ts";
import { presignWebSocketUrl } from "./sigv4.ts";

const NOBODY = { username: undefined, password: undefined } as const;

export function createAwsDialect(target: AwsIotTarget, clock: () => number): Dialect {
  const { auth, basicIngestRule } = target;
  const credentials = auth.kind === "sigv4" ? new AwsCredentials(auth.source) : undefined;
  const signIn = (): ChannelLogin => {
    if (auth.kind === "custom") return readAuthorizerLogin(auth);
    if (auth.kind === "x509" || credentials === undefined) return NOBODY;
    const atMs = clock();
    const keys = credentials.read(atMs);
    if (typeof keys === "string") return { ...NOBODY, problem: `there are no AWS credentials: ${keys}` };
    const { host, port } = target.url;
    const signed = presignWebSocketUrl({ host, port, region: auth.region, keys, atMs });
    return { ...NOBODY, path: signed.slice(signed.indexOf("/mqtt?")) };
  };
  return {
    ...HINTS[auth.kind],
    addressKey: "endpoint",
    login: signIn,
    tick: () => credentials?.tick(clock()),
    judge(message): Judgement {
      const publish =
        basicIngestRule === undefined
          ? message
          : changeMessage(message, {
              topic: `$aws/rules/${basicIngestRule}/${message.topic}`,
              retain: false,
            });
      const refusal = judgeForAws(publish, target.limits);
      return refusal === undefined
        ? { publish }
        : { outcome: OUTCOMES[refusal], detail: explain(refusal, target) };
    },
  };
}

/** AWS closes without a word when it does not know a certificate, as it is in another region or account, too. */
const HINTS = {
  x509: {
    loginHint:
      "check that a policy is attached to the certificate and allows this client id (tidegate-recv policy)",
    closedHint:
      "AWS does so when it does not know the certificate: check that it is active, and that endpoint is of its account and region",
  },
  custom: {
    loginHint:
      "check custom_authorizer.name, that it is active, its token and signature, and that it allows this client id",
  },
  sigv4: {
    loginHint: "check that the policy of the AWS keys allows this client id (tidegate-recv policy)",
  },
} as const;

/** Read at each attempt, so that a new token or password needs no restart. */
function readAuthorizerLogin(auth: Extract<AwsIotTarget["auth"], { kind: "custom" }>): ChannelLogin {
  const values: (string | undefined)[] = [];
  for (const file of [auth.tokenFile, auth.signatureFile, auth.passwordFile]) {
    const read = file === undefined ? undefined : readSecretLine(file);
    if (read?.ok === false) return { ...NOBODY, problem: `${read.problem}; ${read.allowed}` };
    values.push(read?.secret.reveal());
  }
  const [token, signature, password] = values;
  const user = formatAuthorizerUser({
    name: auth.name,
    username: auth.username,
    token:
      token === undefined || auth.tokenKey === undefined ? undefined : { key: auth.tokenKey, value: token },
    signature,
  });
  return { username: user, password: password === undefined ? undefined : { reveal: () => password } };
}

const OUTCOMES = {
  "invalid-topic": "lost/invalid-topic",
  "topic-reserved": "lost/invalid-topic",
  "topic-too-long": "lost/invalid-topic",
  "topic-too-deep": "lost/invalid-topic",
  oversize: "lost/oversize",
  "qos-too-high": "lost/refused",
  "retain-not-allowed": "lost/refused",
  "retain-with-basic-ingest": "lost/refused",
} as const satisfies Record<AwsRefusal, string>;

function explain(refusal: AwsRefusal, { limits }: AwsIotTarget): string {
  const sentences: Record<AwsRefusal, string> = {
    "invalid-topic": "its topic is not valid",
    "topic-reserved": 'its topic begins with "$", which AWS IoT reserves; rename it with a [[rule]]',
    "topic-too-long": `its topic has over ${limits.topicBytesMax} bytes, which AWS IoT takes at most; shorten it with a [[rule]]`,
    "topic-too-deep": `its topic has over ${limits.topicSlashesMax} slashes, which AWS IoT takes at most; shorten it with a [[rule]]`,
    oversize: `its payload has over ${limits.payloadBytesMax} bytes, which AWS IoT takes at most`,
    "qos-too-high": "AWS IoT has no QoS 2",
    "retain-not-allowed": "the profile does not allow retained messages",
    "retain-with-basic-ingest": "Basic Ingest takes no retained messages",
  };
  return sentences[refusal];
}
