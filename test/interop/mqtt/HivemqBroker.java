// HiveMQ CE on loopback: FOLDER PORT [BRIDGE_PORT VERSION FILTER]. Anyone may connect. With a bridge, what is published below FILTER
// goes to the broker on BRIDGE_PORT as well, with HiveMQ's client over MQTT VERSION (3 or 5): HiveMQ's own bridge extension
// is not free, so this is what a site without it would write. A publisher is acknowledged when the bridge was. Prints
// "ready" when it accepts connections; ends with its standard input.
import com.hivemq.client.mqtt.MqttClient;
import com.hivemq.client.mqtt.datatypes.MqttQos;
import com.hivemq.client.mqtt.mqtt3.Mqtt3AsyncClient;
import com.hivemq.client.mqtt.mqtt5.Mqtt5AsyncClient;
import com.hivemq.client.mqtt.mqtt5.datatypes.Mqtt5UserProperties;
import com.hivemq.client.mqtt.mqtt5.datatypes.Mqtt5UserPropertiesBuilder;
import com.hivemq.embedded.EmbeddedExtension;
import com.hivemq.embedded.EmbeddedHiveMQ;
import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.interceptor.publish.PublishInboundInterceptor;
import com.hivemq.extension.sdk.api.parameter.*;
import com.hivemq.extension.sdk.api.packets.publish.PublishPacket;
import com.hivemq.extension.sdk.api.services.Services;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

public final class HivemqBroker {
  interface Bridge {
    CompletableFuture<?> forward(PublishPacket packet);
  }

  static Bridge bridge(int port, String version) {
    var builder = MqttClient.builder().identifier("hivemq-bridge").serverHost("127.0.0.1").serverPort(port)
        .automaticReconnect().initialDelay(50, TimeUnit.MILLISECONDS).maxDelay(500, TimeUnit.MILLISECONDS).applyAutomaticReconnect();
    if (version.equals("5")) {
      Mqtt5AsyncClient client = builder.useMqttVersion5().buildAsync();
      client.connectWith().cleanStart(false).sessionExpiryInterval(3600).keepAlive(10).send();
      return packet -> {
        Mqtt5UserPropertiesBuilder properties = Mqtt5UserProperties.builder();
        packet.getUserProperties().asList().forEach(each -> properties.add(each.getName(), each.getValue()));
        return client.publishWith().topic(packet.getTopic()).qos(MqttQos.fromCode(packet.getQos().getQosNumber()))
            .payload(packet.getPayload().orElse(ByteBuffer.allocate(0))).retain(packet.getRetain())
            .userProperties(properties.build()).send();
      };
    }
    Mqtt3AsyncClient client = builder.useMqttVersion3().buildAsync();
    client.connectWith().cleanSession(false).keepAlive(10).send();
    // Commands would come this way: it asks for them, as bridges do, and gets none.
    client.subscribeWith().topicFilter("commands/#").qos(MqttQos.AT_LEAST_ONCE).send();
    return packet -> client.publishWith().topic(packet.getTopic()).qos(MqttQos.fromCode(packet.getQos().getQosNumber()))
        .payload(packet.getPayload().orElse(ByteBuffer.allocate(0))).retain(packet.getRetain()).send();
  }

  public static void main(String[] given) throws Exception {
    Path folder = Path.of(given[0]);
    for (String name : new String[] {"conf", "data", "extensions"}) Files.createDirectories(folder.resolve(name));
    Files.writeString(folder.resolve("conf/config.xml"), """
        <hivemq><listeners><tcp-listener><port>%s</port><bind-address>127.0.0.1</bind-address></tcp-listener></listeners>
        <mqtt><receive-maximum><server-receive-maximum>500</server-receive-maximum></receive-maximum></mqtt>
        <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics></hivemq>
        """.formatted(given[1]));
    Bridge bridge = given.length > 2 ? bridge(Integer.parseInt(given[2]), given[3]) : null;
    String below = given.length > 4 ? given[4] : "";
    PublishInboundInterceptor forward = (input, output) -> {
      if (!input.getPublishPacket().getTopic().startsWith(below)) return;
      var later = output.async(Duration.ofSeconds(120));
      bridge.forward(input.getPublishPacket()).whenComplete((done, problem) -> {
        if (problem != null) System.err.println("not forwarded: " + problem);
        later.resume();
      });
    };
    ExtensionMain main = new ExtensionMain() {
      public void extensionStart(ExtensionStartInput input, ExtensionStartOutput output) {
        SimpleAuthenticator all = (in, out) -> out.authenticateSuccessfully();
        Services.securityRegistry().setAuthenticatorProvider(in -> all);
        if (bridge != null) Services.initializerRegistry().setClientInitializer((in, context) -> context.addPublishInboundInterceptor(forward));
      }
      public void extensionStop(ExtensionStopInput input, ExtensionStopOutput output) {}
    };
    var extension = EmbeddedExtension.builder().withId("test").withName("test").withVersion("1").withPriority(1).withStartPriority(1)
        .withAuthor("test").withExtensionMain(main).build();
    EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder().withConfigurationFolder(folder.resolve("conf")).withDataFolder(folder.resolve("data"))
        .withExtensionsFolder(folder.resolve("extensions")).withEmbeddedExtension(extension).build();
    broker.start().join();
    System.out.println("ready");
    while (System.in.read() >= 0) {}
    broker.stop().join();
    System.exit(0);
  }
}
