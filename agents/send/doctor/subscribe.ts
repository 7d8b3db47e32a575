// Whether a broker of the plant takes us and lets us subscribe: name, proxy, port, TLS, login, access list. A session of its own, with another
// client id and nothing kept, tries it: the agent's own session and what the broker holds for it stay as they are. What
// comes meanwhile is thrown away, so filters with $share, whose messages come to one subscriber alone, are not tried.
import type { TLSSocket } from "node:tls";
import type { ISubscriptionGrant } from "mqtt";
import type { Finding } from "../../../shared/doctor/finding.ts";
import { judgeAuthorities, judgeCertificates, judgePeriod } from "../../../shared/doctor/validity.ts";
import { type BrokerClient, createBrokerConnection } from "../../../shared/mqtt/connection.ts";
import { formatHost, openTransport } from "../../../shared/mqtt/transport.ts";
import type { SubscribeSource, Subscription } from "../source-config.ts";

const CLIENT_ID_END = "-doctor";
/** As the client of MQTT.js has to be told something; one attempt is all there is. */
const RETRY_MS = 600_000;
const ANSWER_MS = 10_000;
const REFUSED = 0x80;

export async function checkSubscribe(config: SubscribeSource, nowMs: number): Promise<Finding[]> {
  const subject = `source ${config.name}`;
  const shown = `${config.url.scheme}://${formatHost(config.url)}`;
  const clientId = `${config.clientId}${CLIENT_ID_END}`;
  const fail = (sentence: string): Finding => ({ level: "fail", subject, sentence });
  const dates = checkOwnFiles(config, nowMs);
  const { client, problem } = await connect(config, clientId);
  if (problem !== undefined) return [fail(problem), ...dates];
  try {
    const tried = config.topics.filter(({ filter }) => !filter.startsWith("$share/"));
    const answer = tried.length === 0 ? [] : await subscribe(client, tried, config.mqttVersion === "5");
    if (typeof answer === "string") return [fail(answer), ...dates];
    const refused = tried.filter((_, index) => (answer[index] ?? REFUSED) >= REFUSED);
    const lowered = tried.filter(({ qos }, index) => (answer[index] ?? REFUSED) < Math.min(qos, REFUSED));
    const list = (topics: readonly Subscription[]) => topics.map(({ filter }) => filter).join(", ");
    if (refused.length > 0)
      return [
        fail(
          `${shown} takes us, but refuses the topic filters ${list(refused)}; allow them in the broker's access list, for the client id ${config.clientId} too (tried as ${clientId})`,
        ),
        ...dates,
      ];
    const skipped = config.topics.length - tried.length;
    const note = skipped === 0 ? "" : `; ${skipped} with $share not tried, as that would take messages away`;
    const sentence = `${shown} has taken us as ${JSON.stringify(clientId)}, and ${tried.length === 1 ? "the topic filter" : `${tried.length} topic filters`}${note}`;
    const findings: Finding[] = [{ level: "fine", subject, sentence }];
    if (lowered.length > 0) {
      const lower = `the broker grants a lower QoS than asked for ${list(lowered)}, so messages may be lost before they get here; raise its limit`;
      findings.push({ level: "warn", subject, sentence: lower });
    }
    return [...findings, ...(await checkBrokerCertificate(config, subject, nowMs)), ...dates];
  } finally {
    await new Promise<void>((resolve) => client.end(true, {}, () => resolve()));
  }
}

/** Our own certificate and the authorities that we trust: they end whether or not the broker can be reached. */
export function checkOwnFiles({ name, tls }: SubscribeSource, nowMs: number): Finding[] {
  const subject = `source ${name}`;
  return [
    ...judgeCertificates(subject, "our certificate", tls?.certPem ?? "", nowMs),
    ...judgeAuthorities(subject, "the authority in tls.ca_file", tls?.caPem ?? "", nowMs),
  ];
}

function connect(
  config: SubscribeSource,
  clientId: string,
): Promise<{ readonly client: BrokerClient; readonly problem?: string }> {
  return new Promise((resolve) => {
    const client = createBrokerConnection({
      label: `source ${config.name}`,
      address: config.url,
      tls: () => config.tls,
      proxy: config.proxy,
      version: config.mqttVersion === "5" ? 5 : 4,
      clientId,
      login: () => ({ username: config.username, password: config.password }),
      cleanStart: true,
      sessionExpirySeconds: 0,
      receiveMaximum: config.receiveMaximum,
      keepaliveSeconds: config.keepaliveSeconds,
      connectTimeoutSeconds: config.connectTimeoutSeconds,
      reconnectMinMs: RETRY_MS,
      reconnectMaxMs: RETRY_MS,
      random: Math.random,
      onOnline: () => resolve({ client }),
      onOffline: ({ sentence }) => {
        client.end(true);
        resolve({ client, problem: sentence });
      },
    });
    client.connect();
  });
}

/** The codes of the SUBACK, one a filter; or why there is none. */
function subscribe(
  client: BrokerClient,
  topics: readonly Subscription[],
  isV5: boolean,
): Promise<readonly number[] | string> {
  // Retained messages are left where they are: MQTT 3.1.1 cannot say so.
  const wish = Object.fromEntries(
    topics.map(({ filter, qos }) => [filter, isV5 ? { qos, rh: 2 as const } : { qos }]),
  );
  const answered = new Promise<readonly number[] | string>((resolve) => {
    client.subscribe(wish, (error, _asked: ISubscriptionGrant[] | undefined, answer) => {
      const codes = (answer as { granted?: readonly number[] } | undefined)?.granted;
      resolve(
        codes ??
          `cannot subscribe: ${error?.message ?? "the connection has ended"}; look at the broker's log`,
      );
    });
  });
  const silent = Bun.sleep(ANSWER_MS).then(
    () => "the broker takes us, but does not answer a SUBSCRIBE; look at its log",
  );
  return Promise.race([answered, silent]);
}

/** How long the broker's certificate holds; a proxy hides it from this. */
async function checkBrokerCertificate(
  config: SubscribeSource,
  subject: string,
  nowMs: number,
): Promise<Finding[]> {
  if (config.tls === undefined || config.proxy !== undefined) return [];
  const socket = openTransport({ ...config.url, scheme: "mqtts" }, config.tls, () => {}) as TLSSocket;
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
      socket.setTimeout(config.connectTimeoutSeconds * 1000, () => reject(new Error("no answer")));
    });
    const { valid_from: begin, valid_to: end } = socket.getPeerCertificate();
    return judgePeriod(subject, "the broker's certificate", Date.parse(begin), Date.parse(end), nowMs);
  } catch {
    return []; // It was there a moment ago: what the session found out counts.
  } finally {
    socket.destroy();
  }
}
