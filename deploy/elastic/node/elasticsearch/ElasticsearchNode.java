// One Elasticsearch node on loopback, for tests: ElasticsearchNode HOME PORT MODULES. It prints READY and ends when its input does.

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

public class ElasticsearchNode {
  public static void main(String[] args) throws Exception {
    Path home = Path.of(args[0]);
    Files.createDirectories(home.resolve("config"));
    Settings settings =
        Settings.builder()
            .put("path.home", args[0])
            .put("cluster.name", "mcpsiem-test")
            .put("node.name", "n1")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", args[1])
            .put("transport.port", "0")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
    Environment env = new Environment(settings, home.resolve("config"));
    LogConfigurator.configureESLogging();
    Node node = new Node(env, PluginsLoader.createPluginsLoader(PluginsLoader.loadModulesBundles(Path.of(args[2])), Set.of(), Map.of(), false));
    node.start();
    System.out.println("READY");
    System.out.flush();
    while (System.in.read() >= 0) {}
    node.close();
    System.exit(0);
  }
}
