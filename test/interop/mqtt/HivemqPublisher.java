// Publishes with HiveMQ's client: HOST PORT VERSION TRANSPORT TOPIC COUNT. COUNT messages at each QoS, payload = number;
// subscribes first, as bridges do. Ends with status 0 when all were acknowledged.
import com.hivemq.client.mqtt.MqttClient;
import com.hivemq.client.mqtt.datatypes.MqttQos;
import com.hivemq.client.mqtt.mqtt3.Mqtt3BlockingClient;
import com.hivemq.client.mqtt.mqtt5.Mqtt5BlockingClient;

public final class HivemqPublisher {
  public static void main(String[] given) {
    String topic = given[4];
    int count = Integer.parseInt(given[5]);
    var builder = MqttClient.builder().identifier("hivemq-" + topic.replace('/', '-')).serverHost(given[0]).serverPort(Integer.parseInt(given[1]));
    if (given[3].equals("websockets")) builder = builder.webSocketConfig().serverPath("mqtt").applyWebSocketConfig();
    if (given[2].equals("5")) {
      Mqtt5BlockingClient client = builder.useMqttVersion5().buildBlocking();
      client.connectWith().cleanStart(false).sessionExpiryInterval(60).keepAlive(20).send();
      client.subscribeWith().topicFilter("commands/#").qos(MqttQos.AT_LEAST_ONCE).send();
      for (int qos = 0; qos < 3; qos++)
        for (int i = 0; i < count; i++)
          client.publishWith().topic(topic + "/" + qos).qos(MqttQos.fromCode(qos)).payload(Integer.toString(i).getBytes()).send();
      client.disconnect();
    } else {
      Mqtt3BlockingClient client = builder.useMqttVersion3().buildBlocking();
      client.connectWith().cleanSession(false).keepAlive(20).send();
      client.subscribeWith().topicFilter("commands/#").qos(MqttQos.AT_LEAST_ONCE).send();
      for (int qos = 0; qos < 3; qos++)
        for (int i = 0; i < count; i++)
          client.publishWith().topic(topic + "/" + qos).qos(MqttQos.fromCode(qos)).payload(Integer.toString(i).getBytes()).send();
      client.disconnect();
    }
    System.exit(0);
  }
}
