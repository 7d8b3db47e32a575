// An edge node of Eclipse Tahu with one device: PORT GROUP NODE. Births with aliases and each kind of metric: numbers to their limits, a
// null, bytes, a data set, a template and an instance of it, properties, a historical flag. Reads commands, a line each:
// "int N" (DDATA of the device's "int"), "text T" (NDATA of the node's "text"), "mixed" (a DDATA of everything else), "quit" (NDEATH).
// Prints a JSON line for each birth and command that comes. Ends with its standard input.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.eclipse.paho.client.mqttv3.MqttMessage;
import org.eclipse.tahu.edge.EdgeClient;
import org.eclipse.tahu.edge.api.MetricHandler;
import org.eclipse.tahu.message.SparkplugBPayloadDecoder;
import org.eclipse.tahu.message.SparkplugBPayloadEncoder;
import org.eclipse.tahu.message.model.*;
import org.eclipse.tahu.message.model.DataSet.DataSetBuilder;
import org.eclipse.tahu.message.model.Metric.MetricBuilder;
import org.eclipse.tahu.message.model.PropertySet.PropertySetBuilder;
import org.eclipse.tahu.message.model.Row.RowBuilder;
import org.eclipse.tahu.message.model.SparkplugBPayload.SparkplugBPayloadBuilder;
import org.eclipse.tahu.message.model.SparkplugBPayloadMap.SparkplugBPayloadMapBuilder;
import org.eclipse.tahu.message.model.Template.TemplateBuilder;
import org.eclipse.tahu.model.MetricDataTypeMap;
import org.eclipse.tahu.model.MqttServerDefinition;
import org.eclipse.tahu.mqtt.*;
import org.eclipse.tahu.util.TopicUtil;

public final class TahuEdge implements MetricHandler, ClientCallback {
  static final String DEVICE = "d1";
  final EdgeNodeDescriptor node;
  final Topic death;
  final EdgeClient client;
  long bdSeq = -1;
  volatile int number = 1;
  volatile String text = "first";

  TahuEdge(String port, String group, String name) throws Exception {
    node = new EdgeNodeDescriptor(group, name);
    death = new Topic("spBv1.0", group, name, MessageType.NDEATH);
    var server = new MqttServerDefinition(new MqttServerName("plant"), new MqttClientId("tahu-" + name, false),
        MqttServerUrl.getMqttServerUrlSafe("tcp://127.0.0.1:" + port), null, null, 10, death);
    client = new EdgeClient(this, node, List.of(DEVICE), null, true, 0L, List.of(server), this, null);
  }

  static void say(String event, String more) {
    System.out.println("{\"event\":\"" + event + "\"" + more + "}");
  }

  public Topic getDeathTopic() {
    return death;
  }

  public byte[] getDeathPayloadBytes() throws Exception {
    bdSeq = (bdSeq + 1) % 256;
    var payload = new SparkplugBPayloadBuilder().setTimestamp(new Date())
        .addMetric(new MetricBuilder("bdSeq", MetricDataType.Int64, bdSeq).createMetric()).createPayload();
    return new SparkplugBPayloadEncoder().getBytes(payload, true);
  }

  static Metric metric(String name, MetricDataType type, Object value) throws Exception {
    return new MetricBuilder(name, type, value).timestamp(new Date()).createMetric();
  }

  static Template template(boolean isDefinition, double speed) throws Exception {
    var builder = new TemplateBuilder().version("1").definition(isDefinition)
        .addParameter(new Parameter("place", ParameterDataType.String, "hall"))
        .addMetric(metric("speed", MetricDataType.Double, speed)).addMetric(metric("on", MetricDataType.Boolean, true));
    return (isDefinition ? builder : builder.templateRef("motor")).createTemplate();
  }

  List<Metric> others() throws Exception {
    var table = new DataSetBuilder(2).addColumnNames(List.of("when", "what")).addTypes(List.of(DataSetDataType.Int64, DataSetDataType.String))
        .addRow(new RowBuilder().addValue(new Value<>(DataSetDataType.Int64, Long.MIN_VALUE)).addValue(new Value<>(DataSetDataType.String, "µ")).createRow())
        .createDataSet();
    var properties = new PropertySetBuilder().addProperty("engUnit", new PropertyValue<>(PropertyDataType.String, "°C"))
        .addProperty("quality", new PropertyValue<>(PropertyDataType.Int32, 192)).createPropertySet();
    return List.of(metric("long", MetricDataType.Int64, Long.MIN_VALUE),
        metric("unsigned", MetricDataType.UInt64, new BigInteger("18446744073709551615")),
        metric("double", MetricDataType.Double, Math.PI), metric("float", MetricDataType.Float, 1.5f),
        metric("boolean", MetricDataType.Boolean, true), metric("nothing", MetricDataType.String, null),
        metric("bytes", MetricDataType.Bytes, new byte[] {0, (byte) 0xff, 0x30}),
        metric("when", MetricDataType.DateTime, new Date(1_700_000_000_000L)), metric("table", MetricDataType.DataSet, table),
        metric("motor 1", MetricDataType.Template, template(false, 7.5)),
        new MetricBuilder("temperature", MetricDataType.Double, 20.25).timestamp(new Date()).properties(properties).isHistorical(false).createMetric());
  }

  public void publishBirthSequence() {
    try {
      client.publishNodeBirth(new SparkplugBPayloadMapBuilder().setTimestamp(new Date())
          .addMetric(metric("bdSeq", MetricDataType.Int64, bdSeq)).addMetric(metric("Node Control/Rebirth", MetricDataType.Boolean, false))
          .addMetric(metric("text", MetricDataType.String, text)).addMetric(metric("motor", MetricDataType.Template, template(true, 0)))
          .createPayload());
      client.publishDeviceBirth(DEVICE, new SparkplugBPayloadBuilder().setTimestamp(new Date())
          .addMetric(metric("int", MetricDataType.Int32, number)).addMetrics(others()).createPayload());
      say("birth", ",\"bdSeq\":" + bdSeq);
    } catch (Exception problem) {
      problem.printStackTrace();
    }
  }

  public boolean hasMetric(SparkplugDescriptor descriptor, String name) {
    return true;
  }

  public void shutdown() {}

  public void messageArrived(MqttServerName server, MqttServerUrl url, MqttClientId id, String rawTopic, MqttMessage message) {
    try {
      Topic topic = TopicUtil.parseTopic(rawTopic);
      if (topic.getType() != MessageType.NCMD && topic.getType() != MessageType.DCMD) return;
      // Tahu's host leaves the data types out of its commands.
      var types = new MetricDataTypeMap();
      types.addMetricDataType("Node Control/Rebirth", MetricDataType.Boolean);
      var payload = new SparkplugBPayloadDecoder().buildFromByteArray(message.getPayload(), types);
      for (Metric metric : payload.getMetrics()) {
        say("command", ",\"type\":\"" + topic.getType() + "\",\"name\":\"" + metric.getName() + "\"");
        if ("Node Control/Rebirth".equals(metric.getName()) && Boolean.TRUE.equals(metric.getValue())) client.handleRebirthRequest(true);
      }
    } catch (Exception problem) {
      problem.printStackTrace();
    }
  }

  public void connectionLost(MqttServerName server, MqttServerUrl url, MqttClientId id, Throwable cause) {
    say("lost", "");
  }

  public void connectComplete(boolean again, MqttServerName server, MqttServerUrl url, MqttClientId id) {
    say("connected", "");
  }

  void obey(String line) throws Exception {
    String rest = line.substring(line.indexOf(' ') + 1);
    if (line.startsWith("int ")) {
      number = Integer.parseInt(rest);
      client.publishDeviceData(DEVICE, new SparkplugBPayloadBuilder().setTimestamp(new Date())
          .addMetric(metric("int", MetricDataType.Int32, number)).createPayload());
    } else if (line.startsWith("text ")) {
      text = rest;
      client.publishNodeData(new SparkplugBPayloadBuilder().setTimestamp(new Date()).addMetric(metric("text", MetricDataType.String, text)).createPayload());
    } else if (line.equals("mixed")) {
      client.publishDeviceData(DEVICE, new SparkplugBPayloadBuilder().setTimestamp(new Date()).addMetrics(others()).createPayload());
    } else if (line.equals("quit")) {
      client.disconnect(true);
    }
  }

  public static void main(String[] given) throws Exception {
    var edge = new TahuEdge(given[0], given[1], given[2]);
    new Thread(edge.client).start();
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = lines.readLine()) != null; ) edge.obey(line);
    System.exit(0);
  }
}
