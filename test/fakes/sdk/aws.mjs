// Drives the AWS IoT Device SDK as a plan says (JSON on standard input) and prints what the SDK saw (JSON). A process of
// its own: the SDK is native code, and it is not among the packages of the repository.
import { once } from "node:events";
import { auth, io, iot, mqtt, mqtt5 } from "aws-iot-device-sdk-v2";

const plan = JSON.parse(await readInput());
const report = { events: [], publishes: [] };
const finish = async () => {
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(report)}\n`, resolve));
  process.exit(0);
};
setTimeout(finish, plan.patienceMs ?? 20_000).unref();
await (plan.mqtt === 4 ? drive4() : drive5());
await finish();

async function drive5() {
  const builder = makeBuilder(iot.AwsIotMqtt5ClientConfigBuilder);
  builder.withPort(plan.port).withCertificateAuthorityFromPath(undefined, plan.caFile);
  builder.withConnectProperties({
    clientId: plan.clientId,
    keepAliveIntervalSeconds: plan.keepAliveSeconds ?? 60,
    ...plan.connect,
    ...(plan.will === undefined ? {} : { will: toPublish(plan.will) }),
  });
  builder.withMinReconnectDelayMs(60_000);
  const client = new mqtt5.Mqtt5Client(builder.build());
  const seen = (name, describe) =>
    client.on(name, (event) => report.events.push({ name, ...describe(event) }));
  seen("connectionSuccess", ({ connack, settings }) => ({ connack, settings }));
  seen("connectionFailure", ({ connack, error }) => ({ connack, error: String(error) }));
  seen("disconnection", ({ disconnect, error }) => ({ disconnect, error: String(error) }));
  client.on("error", (error) => report.events.push({ name: "error", error: String(error) }));
  const settled = Promise.race([once(client, "connectionSuccess"), once(client, "connectionFailure")]);
  client.start();
  await settled;
  if (report.events.some(({ name }) => name === "connectionSuccess")) {
    const ended = once(client, "disconnection");
    await publishAll((publish) => client.publish(toPublish(publish)));
    if (plan.awaitDisconnection) await ended;
  }
  const stopped = once(client, "stopped");
  client.stop({ reasonCode: 0 });
  await stopped;
  client.close();
}

async function drive4() {
  const builder = makeBuilder(iot.AwsIotMqttConnectionConfigBuilder);
  builder.with_port(plan.port).with_certificate_authority_from_path(undefined, plan.caFile);
  builder
    .with_endpoint(plan.host)
    .with_client_id(plan.clientId)
    .with_clean_session(plan.clean ?? true);
  builder.with_keep_alive_seconds(plan.keepAliveSeconds ?? 60);
  const connection = new mqtt.MqttClient().new_connection(builder.build());
  connection.on("interrupt", (error) => report.events.push({ name: "interrupt", error: String(error) }));
  connection.on("error", (error) => report.events.push({ name: "error", error: String(error) }));
  try {
    await connection.connect();
    report.events.push({ name: "connectionSuccess" });
  } catch (error) {
    report.events.push({ name: "connectionFailure", error: String(error) });
    return;
  }
  await publishAll(({ topic, payload, size, qos, retain }) => {
    return connection.publish(topic, payload ?? "x".repeat(size), qos ?? 1, retain ?? false);
  });
  await connection.disconnect();
}

function makeBuilder(Builder) {
  const { mode, host, certFile, keyFile, authorizer, keys, region } = plan;
  const five = Builder === iot.AwsIotMqtt5ClientConfigBuilder;
  if (mode === "x509") {
    return five
      ? Builder.newDirectMqttBuilderWithMtlsFromPath(host, certFile, keyFile)
      : Builder.new_mtls_builder_from_path(certFile, keyFile);
  }
  if (mode === "custom") return Builder.newDirectMqttBuilderWithCustomAuth(host, withPassword(authorizer));
  if (mode === "websocket-custom")
    return Builder.newWebsocketMqttBuilderWithCustomAuth(host, withPassword(authorizer));
  const { accessKeyId, secretAccessKey, sessionToken } = keys;
  const credentialsProvider = auth.AwsCredentialsProvider.newStatic(
    accessKeyId,
    secretAccessKey,
    sessionToken,
  );
  return Builder.newWebsocketMqttBuilderWithSigv4Auth(host, { region, credentialsProvider });
}

function withPassword(authorizer) {
  return { ...authorizer, password: Buffer.from(authorizer.password ?? "") };
}

function toPublish({ topic, payload, size, qos, retain, ...properties }) {
  return {
    topicName: topic,
    payload: payload ?? "x".repeat(size ?? 0),
    qos: qos ?? 1,
    retain: retain ?? false,
    ...properties,
  };
}

/** All at once, as the SDK is meant to be used: it paces by itself. */
async function publishAll(publish) {
  const startMs = performance.now();
  const all = (plan.publishes ?? []).flatMap((each) => Array.from({ length: each.times ?? 1 }, () => each));
  report.publishes = await Promise.all(
    all.map(async ({ times: _times, ...each }) => {
      try {
        const answer = await publish(each);
        return { reasonCode: answer?.reasonCode ?? 0 };
      } catch (error) {
        return { error: String(error) };
      }
    }),
  );
  report.publishMs = performance.now() - startMs;
}

async function readInput() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

void io;
