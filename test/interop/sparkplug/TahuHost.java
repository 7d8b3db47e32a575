// A host application of Eclipse Tahu: PORT HOST_ID. Prints a JSON line for each change of what it knows: {"event":"metric","of":
// "group/node/device","name","type","value","stale","birth"}, {"event":"birth"|"death"|…,"of"}. Reads lines: "rebirth GROUP NODE" asks with an NCMD, as
// Tahu does by itself when it misses something. Ends with its standard input.
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.*;
import org.eclipse.tahu.host.HostApplication;
import org.eclipse.tahu.host.api.MultiHostApplicationEventHandler;
import org.eclipse.tahu.message.SparkplugBPayloadDecoder;
import org.eclipse.tahu.message.model.*;
import org.eclipse.tahu.message.model.Metric.MetricBuilder;
import org.eclipse.tahu.message.model.SparkplugBPayload.SparkplugBPayloadBuilder;
import org.eclipse.tahu.model.MqttServerDefinition;
import org.eclipse.tahu.mqtt.*;

public final class TahuHost implements MultiHostApplicationEventHandler {
  static final ObjectMapper JSON = new ObjectMapper();

  static synchronized void say(Object... pairs) {
    try {
      var line = new LinkedHashMap<String, Object>();
      for (int i = 0; i < pairs.length; i += 2) line.put((String) pairs[i], pairs[i + 1]);
      System.out.println(JSON.writeValueAsString(line));
    } catch (Exception problem) {
      problem.printStackTrace();
    }
  }

  static Object show(Metric metric) {
    Object value = metric.getValue();
    if (value instanceof byte[] bytes) return HexFormat.of().formatHex(bytes);
    if (value instanceof Date date) return date.getTime();
    return value == null || value instanceof Boolean ? value : String.valueOf(value);
  }

  static void tell(SparkplugDescriptor of, Metric metric, boolean isStale, boolean isBirth) {
    say("event", "metric", "of", of.getDescriptorString(), "name", metric.getName(), "type", String.valueOf(metric.getDataType()),
        "value", show(metric), "stale", isStale, "birth", isBirth, "properties", String.valueOf(metric.getProperties()));
  }

  public void onConnect(MqttServerName server) { say("event", "connected"); }
  public void onDisconnect(MqttServerName server) { say("event", "disconnected"); }
  public void onMessage(MqttServerName server, SparkplugDescriptor of, Message message) {}
  public void onNodeBirthArrived(MqttServerName server, EdgeNodeDescriptor of, Message message) {}
  public void onNodeBirthComplete(MqttServerName server, EdgeNodeDescriptor of) { say("event", "birth", "of", of.getDescriptorString()); }
  public void onNodeDataArrived(MqttServerName server, EdgeNodeDescriptor of, Message message) {}
  public void onNodeDataComplete(MqttServerName server, EdgeNodeDescriptor of) { say("event", "data", "of", of.getDescriptorString()); }
  public void onNodeDeath(MqttServerName server, EdgeNodeDescriptor of, Message message) {}
  public void onNodeDeathComplete(MqttServerName server, EdgeNodeDescriptor of) { say("event", "death", "of", of.getDescriptorString()); }
  public void onDeviceBirthArrived(MqttServerName server, DeviceDescriptor of, Message message) {}
  public void onDeviceBirthComplete(MqttServerName server, DeviceDescriptor of) { say("event", "birth", "of", of.getDescriptorString()); }
  public void onDeviceDataArrived(MqttServerName server, DeviceDescriptor of, Message message) {}
  public void onDeviceDataComplete(MqttServerName server, DeviceDescriptor of) { say("event", "data", "of", of.getDescriptorString()); }
  public void onDeviceDeath(MqttServerName server, DeviceDescriptor of, Message message) {}
  public void onDeviceDeathComplete(MqttServerName server, DeviceDescriptor of) { say("event", "death", "of", of.getDescriptorString()); }
  public void onBirthMetric(MqttServerName server, SparkplugDescriptor of, Metric metric) { tell(of, metric, false, true); }
  public void onDataMetric(MqttServerName server, SparkplugDescriptor of, Metric metric) { tell(of, metric, false, false); }
  public void onStale(MqttServerName server, SparkplugDescriptor of, Metric metric) { tell(of, metric, true, false); }

  public static void main(String[] given) throws Exception {
    var server = new MqttServerDefinition(new MqttServerName("business"), new MqttClientId("tahu-host-" + given[1], false),
        MqttServerUrl.getMqttServerUrlSafe("tcp://127.0.0.1:" + given[0]), null, null, 10, null);
    var host = new HostApplication(new TahuHost(), given[1], new ArrayList<>(List.of("spBv1.0/#")), new ArrayList<>(List.of(server)), null,
        new SparkplugBPayloadDecoder(), true);
    host.start(true);
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null; ) {
      String[] words = line.split(" ");
      if (!words[0].equals("rebirth")) continue;
      var payload = new SparkplugBPayloadBuilder().setTimestamp(new Date())
          .addMetric(new MetricBuilder("Node Control/Rebirth", MetricDataType.Boolean, true).createMetric()).createPayload();
      host.publishCommand(new Topic("spBv1.0", words[1], words[2], MessageType.NCMD), payload);
    }
    System.exit(0);
  }
}
