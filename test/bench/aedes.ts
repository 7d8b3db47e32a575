// The broker aedes in a process of its own, on the port that is its first argument. With a second one, the port of another
// broker, it hands on what it takes, at the QoS that is the third, as a relay that people write in an afternoon does.
import { createServer } from "node:net";
import { Aedes } from "aedes";
import { connectAsync } from "mqtt";

const [port, targetPort, qos] = process.argv.slice(2).map(Number);
const broker = await Aedes.createBroker();
if (targetPort !== undefined) {
  const client = await connectAsync(`mqtt://127.0.0.1:${targetPort}`, { protocolVersion: 4 });
  broker.on("publish", ({ topic, payload }) => {
    if (topic.startsWith("bench/")) client.publish(topic, payload, { qos: qos === 1 ? 1 : 0 });
  });
}
createServer(broker.handle).listen(port, "127.0.0.1");
