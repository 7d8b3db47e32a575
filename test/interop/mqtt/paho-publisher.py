# Publishes with Eclipse Paho: HOST PORT VERSION TRANSPORT TOPIC COUNT [CAFILE]. COUNT messages at each QoS, payload = number;
# a will that is never sent. Ends with status 0 when all were acknowledged and the disconnect was clean.
import sys
import paho.mqtt.client as mqtt

host, port, version, transport, topic, count = sys.argv[1:7]
protocol = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}[version]
name = "paho-" + topic.replace("/", "-")
arguments = dict(client_id=name, protocol=protocol, transport=transport)
client = mqtt.Client(**arguments) if version == "5" else mqtt.Client(clean_session=True, **arguments)
if len(sys.argv) > 7:
    client.tls_set(sys.argv[7])
if transport == "websockets":
    client.ws_set_options(path="/mqtt")
client.will_set(topic + "/will", "gone", 1, True)
connected = []
client.on_connect = lambda *given: connected.append(str(given[3]))
client.connect(host, int(port), 30)
client.loop_start()
for qos in (0, 1, 2):
    infos = [client.publish(f"{topic}/{qos}", str(i), qos) for i in range(int(count))]
    for info in infos:
        info.wait_for_publish(20)
        if not info.is_published():
            sys.exit(f"not acknowledged at QoS {qos}; CONNACK was {connected}")
client.disconnect()
client.loop_stop()
