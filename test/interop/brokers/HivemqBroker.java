// Runs HiveMQ Community Edition: DIRECTORY, with conf/config.xml in it. Ends when its standard input does.
import com.hivemq.embedded.EmbeddedHiveMQ;
import java.nio.file.Path;

public final class HivemqBroker {
  public static void main(String[] given) throws Exception {
    Path directory = Path.of(given[0]);
    EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder()
        .withConfigurationFolder(directory.resolve("conf"))
        .withDataFolder(directory.resolve("data"))
        .withExtensionsFolder(directory.resolve("extensions"))
        .build();
    broker.start().join();
    System.out.println("started");
    while (System.in.read() >= 0) {}
    System.exit(0);
  }
}
