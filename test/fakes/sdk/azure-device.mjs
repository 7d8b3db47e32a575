// Drives azure-iot-device as a plan says (JSON on standard input) and prints what it saw (JSON). `port` is of loopback: the
// SDK connects to it as to a gateway, everything else it sends is as for the real hub.
import { readFileSync } from "node:fs";
import { Agent } from "node:https";
import { createRequire } from "node:module";
import { connect } from "node:tls";

const require = createRequire(import.meta.url);
const { Client, ModuleClient, Message, X509AuthenticationProvider } = require("azure-iot-device");
const { Mqtt, MqttWs } = require("azure-iot-device-mqtt");
const { NoRetry } = require("azure-iot-common");

const plan = JSON.parse(readFileSync(0, "utf8"));
const report = { opened: undefined, sent: [] };
setTimeout(finish, plan.patienceMs ?? 20_000).unref();

const ca = readFileSync(plan.caFile, "utf8");
const client = makeClient(plan.webSocket ? MqttWs : Mqtt);
client.setRetryPolicy(new NoRetry());
const options = { ca };
if (plan.webSocket) options.mqtt = { webSocketAgent: makeAgent() };
if (plan.certFile !== undefined) {
  options.cert = readFileSync(plan.certFile, "utf8");
  options.key = readFileSync(plan.keyFile, "utf8");
}
await client.setOptions(options);
try {
  await client.open();
  report.opened = "connected";
  for (const message of plan.messages ?? []) report.sent.push(await send(message));
} catch (error) {
  report.opened = error.name;
  report.reason = String(error.innerError ?? error.transportError ?? error);
}
await client.close().catch(() => {});
await finish();

function makeClient(Transport) {
  // The SDK names WebSocket's port itself, so there the agent chooses it.
  const gateway = plan.webSocket ? "localhost" : `localhost:${plan.port}`;
  const { hub, deviceId, moduleId, key } = plan;
  if (key === undefined) {
    // A connection string with x509=true would forget the gateway.
    const credentials = { host: hub, deviceId, gatewayHostName: gateway, x509: {} };
    return Client.fromAuthenticationProvider(new X509AuthenticationProvider(credentials), Transport);
  }
  const parts = [`HostName=${hub}`, `DeviceId=${deviceId}`, `GatewayHostName=${gateway}`];
  if (moduleId !== undefined) parts.push(`ModuleId=${moduleId}`);
  parts.push(`SharedAccessKey=${key}`);
  return (moduleId === undefined ? Client : ModuleClient).fromConnectionString(parts.join(";"), Transport);
}

/** Connects to the fake's port, whatever port the address has. */
function makeAgent() {
  const agent = new Agent();
  agent.createConnection = () => connect({ host: "127.0.0.1", port: plan.port, servername: "localhost", ca });
  return agent;
}

async function send({ body, size, system = {}, properties = [] }) {
  const message = new Message(body ?? "x".repeat(size));
  Object.assign(message, system);
  for (const [name, value] of properties) message.properties.add(name, value);
  try {
    return (await client.sendEvent(message)).constructor.name;
  } catch (error) {
    return error.name;
  }
}

async function finish() {
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(report)}\n`, resolve));
  process.exit(0);
}
