// One OpenSearch node on loopback, for tests: OpenSearchNode HOME PORT. It prints READY and its address, and ends when its input does.

import java.util.List;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.http.HttpServerTransport;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

public class OpenSearchNode extends Node {
  OpenSearchNode(Environment env) {
    super(env, List.of(Netty4Plugin.class), true);
  }

  public static void main(String[] args) throws Exception {
    Settings settings =
        Settings.builder()
            .put("path.home", args[0])
            .put("cluster.name", "mcpsiem-test")
            .put("node.name", "n1")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", args[1])
            .put("transport.port", "0")
            .put("transport.type", "netty4")
            .put("http.type", "netty4")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
    OpenSearchNode node = new OpenSearchNode(new Environment(settings, null));
    node.start();
    System.out.println("READY " + node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress());
    System.out.flush();
    while (System.in.read() >= 0) {}
    node.close();
    System.exit(0);
  }
}
