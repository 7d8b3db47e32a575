// What a target of type "azure-event-grid" does in its own way: tokens of Microsoft Entra or another issuer, and the limits
// of the broker, kept on this side because there what is over them ends the connection.
import type { AzureEventGridTarget } from "../../types/azure-event-grid.ts";
import type { TargetRim } from "../broker-target.ts";
import type { Dialect, DialectRim } from "../dialect.ts";
import type { Judgement } from "../outcome.ts";
import { type EventGridLimits, type EventGridRefusal, judgeForEventGrid } from "./event-grid-limits.ts";
import { JwtFile } from "./jwt-file.ts";

export function createEventGridDialect(target: AzureEventGridTarget, rim: TargetRim): Dialect {
  const { auth, limits, name } = target;
  const judge = (message: Parameters<typeof judgeForEventGrid>[0]): Judgement => {
    const refusal = judgeForEventGrid(message, limits);
    if (refusal === undefined) return { publish: message };
    return { outcome: OUTCOMES[refusal], detail: explain(refusal, limits) };
  };
  if (auth.kind === "x509") return { judge, addressKey: "endpoint", loginHint: X509_HINT };
  let channels: DialectRim | undefined;
  const names = { target: name };
  const token = new JwtFile(auth.file, {
    changed: () => {
      rim.log.info(names, `target ${name}: the token in ${auth.file} has changed; connecting with it`);
      channels?.renew();
    },
    ending: (endMs) => {
      const end = new Date(endMs).toISOString();
      rim.log.warn(
        { ...names, end },
        `target ${name}: the token in ${auth.file} ends at ${end}; have it renewed`,
      );
    },
  });
  return {
    judge,
    addressKey: "endpoint",
    loginHint: JWT_HINT,
    begin(given) {
      channels = given;
      given.connect();
    },
    tick: () => token.tick(rim.steady(), rim.clock()),
    login() {
      const { username } = target;
      const taken = token.take(rim.clock());
      if (typeof taken === "string") return { username, password: undefined, problem: taken };
      return { username, password: undefined, authentication: { method: auth.method, data: taken.text } };
    },
  };
}

const X509_HINT =
  "check username (the client's authentication name), that client_id is its own, and that the namespace knows this certificate or its authority";
const JWT_HINT = "check the audience of the token, who it is for, and that jwt_method fits its issuer";

const OUTCOMES = {
  "invalid-topic": "lost/invalid-topic",
  "topic-reserved": "lost/invalid-topic",
  "topic-too-long": "lost/invalid-topic",
  "topic-too-deep": "lost/invalid-topic",
  oversize: "lost/oversize",
  "content-type-too-long": "lost/oversize",
  "user-properties-too-long": "lost/oversize",
  "qos-too-high": "lost/refused",
  "retain-not-allowed": "lost/refused",
  "retain-oversize": "lost/oversize",
} as const satisfies Record<EventGridRefusal, string>;

function explain(refusal: EventGridRefusal, limits: EventGridLimits): string {
  const takes = "which Event Grid takes at most";
  const sentences: Record<EventGridRefusal, string> = {
    "invalid-topic": "its topic is not valid",
    "topic-reserved": 'its topic begins with "$", which Event Grid reserves; rename it with a [[rule]]',
    "topic-too-long": `its topic has over ${limits.topicBytesMax} bytes, ${takes}; shorten it with a [[rule]]`,
    "topic-too-deep": `its topic has over ${limits.topicSegmentsMax} levels, ${takes}; shorten it with a [[rule]]`,
    oversize: `it has over ${limits.messageBytesMax} bytes, ${takes}`,
    "content-type-too-long": `its content type has over ${limits.contentTypeBytesMax} bytes, ${takes}`,
    "user-properties-too-long": `its user properties have over ${limits.userPropertiesBytesMax} bytes, ${takes}`,
    "qos-too-high": "Event Grid has no QoS 2",
    "retain-not-allowed": "the profile does not allow retained messages",
    "retain-oversize": `it is retained and has over ${limits.retainedBytesMax} bytes, ${takes}`,
  };
  return sentences[refusal];
}
