// Who messages to IoT Hub come from, when the profile does not say it in device_id: a device for each source (identity), or
// the one that the provisioning service assigns (provisioning). The keys of the profile for both.
import * as z from "zod";
import type { BrokerUrl } from "../../../shared/config/broker-url.ts";
import { readCertificates } from "../../../shared/config/certificate-file.ts";
import { parseEndpoint } from "../../../shared/config/endpoint.ts";
import { checked, path, text, wholeNumber } from "../../../shared/config/leaf.ts";
import type { Review } from "../../../shared/config/review.ts";
import { readValue } from "../../../shared/config/schema-faults.ts";
import { quoteText } from "../../../shared/config/show-value.ts";
import { table } from "../../../shared/config/table.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import {
  parseTopicPattern,
  parseTopicTemplate,
  type TopicPattern,
  type TopicTemplate,
} from "../../../shared/mqtt/topic-pattern.ts";
import { isHubId } from "../targets/azure/hub-limits.ts";

const MQTTS_PORT = 8883;
const HTTPS_PORT = 443;
const WEBSOCKET_PATH = "/$iothub/websocket";
const MATCH = 'must be a topic filter with {names} for levels, such as "plant/{line}/{sensor}/#"';
const REGISTRATION_ID = "must be letters, digits, - . _ and :, with a letter or digit at the end";

export const HUB_NAME = 'must be the host name of the hub, such as "plant.azure-devices.net"';
export const HUB_ID = "must be 1 to 128 of the characters A-Z a-z 0-9 - . % _ * ? ! ( ) , : = @ $ '";

/** A device for each source, by a part of its topic. */
export type HubDevices = {
  readonly match: TopicPattern;
  readonly deviceId: TopicTemplate;
  readonly connectionsMax: number;
  readonly idleSeconds: number;
  readonly timeoutSeconds: number;
  readonly connectsPerSecond: number;
};

/** Asks the provisioning service (DPS) which hub and device it is. */
export type HubProvisioning = {
  readonly address: BrokerUrl;
  readonly idScope: string;
  readonly registrationId: string;
  /** Where the answer is kept; undefined = in the spool's directory. */
  readonly cacheFile: string | undefined;
};

export function identityShape() {
  return {
    identity: table({
      match: checked(text(1024), MATCH, (value) => {
        const parsed = parseTopicPattern(value);
        return typeof parsed === "string" ? `${quoteText(value)} ${parsed}` : undefined;
      }).describe("Topics (as they come, before the rules) and names for their levels."),
      device_id: text(1024).describe('The device of such a topic, filled from the names: "{line}-{sensor}".'),
      connections_max: wholeNumber(1, 1000)
        .default(100)
        .describe("Devices that may be connected at a time; one that is idle makes room for another."),
      idle_seconds: wholeNumber(1, 86_400)
        .default(300)
        .describe("A device that has sent nothing for so long is disconnected until it does."),
      device_timeout_seconds: wholeNumber(1, 86_400)
        .default(60)
        .describe(
          "When the hub refuses a device for so long, and has admitted another before, its messages become dead letters until it is admitted.",
        ),
    })
      .optional()
      .describe(
        "Each source is a device of its own, found by its topic, with a connection of its own. In place of device_id; for auth sas-policy or sas-group.",
      ),
    provisioning: table({
      id_scope: checked(
        text(64),
        "must be the ID scope of the provisioning service, such as 0ne00ABCDEF",
        (value) => (/^[A-Za-z0-9]+$/.test(value) ? undefined : quoteText(value)),
      ).describe("ID scope of the provisioning service."),
      registration_id: checked(text(128), REGISTRATION_ID, (value) =>
        /^[A-Za-z0-9._:-]*[A-Za-z0-9]$/.test(value) ? undefined : quoteText(value),
      ).describe('Registration id; with auth = "x509" the common name of the certificate.'),
      endpoint: checked(text(253), "must be HOST or HOST:PORT", (value) => {
        const parsed = parseEndpoint(value, 8883);
        return typeof parsed === "string" ? `${quoteText(value)} ${parsed}` : undefined;
      })
        .default("global.azure-devices-provisioning.net")
        .describe("The provisioning service. Default port: 8883, with websocket 443."),
      cache_file: path()
        .optional()
        .describe("Keeps what was assigned, for the next start. Default: in the directory of the spool."),
    })
      .optional()
      .describe(
        "Has the provisioning service (DPS) say which hub and device this is: once, and again when the hub refuses it for long. Each registration costs money.",
      ),
  };
}

const identityTable = table({ websocket: z.boolean(), ...identityShape() });
type IdentityTable = z.output<typeof identityTable>;

/** Both services speak MQTT at 8883, or in a WebSocket at 443 under the same path. */
export function toHubUrl(endpoint: string, websocket: boolean): BrokerUrl | undefined {
  const parsed = parseEndpoint(endpoint, websocket ? HTTPS_PORT : MQTTS_PORT);
  if (typeof parsed === "string") return undefined;
  return { scheme: websocket ? "wss" : "mqtts", ...parsed, path: websocket ? WEBSOCKET_PATH : "/" };
}

/** The other keys that say who this is. */
type Keys = {
  readonly auth?: string | undefined;
  readonly tls?: { readonly cert_file?: string | undefined } | undefined;
};

/** Either the profile says who this is, or the provisioning service does. */
export function reviewIdentity(review: Review, profile: Partially<IdentityTable> & Keys): void {
  const has = (...at: string[]) => readValue(review.document, at) !== undefined;
  if (has("identity")) reviewDevices(review, profile);
  if (!has("provisioning")) {
    if (!has("hub")) review.add(["hub"], "is missing", HUB_NAME);
    if (!has("device_id") && !has("identity")) review.add(["device_id"], "is missing", HUB_ID);
    return;
  }
  for (const key of ["hub", "device_id", "module_id"].filter((each) => has(each)))
    review.add([key], "is given beside [provisioning]", "must be left out, for the service assigns it");
  if (profile.auth === "sas-policy")
    review.add(
      ["auth"],
      'is "sas-policy" beside [provisioning]',
      'must be "sas-key", "sas-group" or "x509" there',
    );
  const registrationId = profile.provisioning?.registration_id;
  if (profile.auth !== "x509" || registrationId === undefined || profile.tls?.cert_file === undefined) return;
  const read = readCertificates(review.resolve(profile.tls.cert_file));
  const name = read.ok ? /(?:^|\n)CN=(.*)/.exec(read.first.subject)?.[1] : undefined;
  if (name !== undefined && name !== registrationId)
    review.add(
      ["provisioning", "registration_id"],
      `is ${quoteText(registrationId)}, and the certificate is of ${quoteText(name)}`,
      "must be the common name of the certificate",
    );
}

function reviewDevices(review: Review, { identity, auth }: Partially<IdentityTable> & Keys): void {
  const has = (...at: string[]) => readValue(review.document, at) !== undefined;
  for (const key of ["device_id", "module_id", "provisioning", "status"].filter((each) => has(each)))
    review.add(
      [key],
      "is given beside [identity]",
      "must be left out, for the messages come from many devices",
    );
  if (auth === "sas-key" || auth === "x509")
    review.add(
      ["auth"],
      `is "${auth}", which is of one device, beside [identity]`,
      'must be "sas-policy" or "sas-group" there',
    );
  if (identity?.match === undefined || identity.device_id === undefined) return;
  const pattern = parseTopicPattern(identity.match);
  if (typeof pattern === "string") return;
  const template = parseTopicTemplate(identity.device_id, pattern);
  const allowed = "must be a device id made of text and the {names} of its match";
  if (typeof template === "string")
    review.add(["identity", "device_id"], `${quoteText(identity.device_id)} ${template}`, allowed);
  else if (template.some((piece) => typeof piece === "string" && !isHubId(piece)))
    review.add(["identity", "device_id"], `${quoteText(identity.device_id)} makes no device id`, HUB_ID);
}

export function toProvisioning(review: Review, value: IdentityTable): HubProvisioning | undefined {
  const { provisioning, websocket } = value;
  const address = provisioning && toHubUrl(provisioning.endpoint, websocket);
  if (provisioning === undefined || address === undefined) return undefined;
  const { id_scope: idScope, registration_id: registrationId, cache_file: file } = provisioning;
  const cacheFile = file === undefined ? undefined : review.resolve(file);
  return { address, idScope, registrationId, cacheFile };
}

export function toDevices({ identity }: IdentityTable, connectsPerSecond: number): HubDevices | undefined {
  if (identity === undefined) return undefined;
  const match = parseTopicPattern(identity.match);
  const deviceId = typeof match === "string" ? match : parseTopicTemplate(identity.device_id, match);
  if (typeof match === "string" || typeof deviceId === "string") throw new Error("cannot use identity");
  return {
    match,
    deviceId,
    connectionsMax: identity.connections_max,
    idleSeconds: identity.idle_seconds,
    timeoutSeconds: identity.device_timeout_seconds,
    connectsPerSecond,
  };
}
