// What tests need of modules that Elastic does not publish.

import java.io.IOException;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.elasticsearch.Build;
import org.elasticsearch.action.admin.indices.create.AutoCreateAction;
import org.elasticsearch.action.admin.indices.create.CreateIndexRequest;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.IndexScopedSettings;
import org.elasticsearch.common.settings.Setting;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.settings.SettingsFilter;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.index.mapper.KeywordFieldMapper;
import org.elasticsearch.index.mapper.Mapper;
import org.elasticsearch.index.mapper.TextFieldMapper;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.MapperPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.RestChannel;
import org.elasticsearch.rest.RestController;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.rest.action.RestToXContentListener;
import org.elasticsearch.xcontent.NamedXContentRegistry;
import org.elasticsearch.xcontent.ParseField;
import org.elasticsearch.xcontent.XContentBuilder;
import org.elasticsearch.xpack.core.ilm.DeleteAction;
import org.elasticsearch.xpack.core.ilm.LifecycleAction;
import org.elasticsearch.xpack.core.ilm.LifecyclePolicy;
import org.elasticsearch.xpack.core.ilm.LifecycleSettings;
import org.elasticsearch.xpack.core.ilm.LifecycleType;
import org.elasticsearch.xpack.core.ilm.RolloverAction;
import org.elasticsearch.xpack.core.ilm.TimeseriesLifecycleType;
import org.elasticsearch.xpack.core.ilm.action.PutLifecycleRequest;

public class StandIn extends Plugin implements ActionPlugin, MapperPlugin {
  // match_only_text and constant_keyword index as text and keyword: their parameters are checked, their savings are not there.
  @Override
  public Map<String, Mapper.TypeParser> getMappers() {
    return Map.of(
        "match_only_text", TextFieldMapper.PARSER,
        "constant_keyword",
            (name, node, context) -> {
              Map<String, Object> rest = new HashMap<>(node);
              rest.remove("value");
              node.clear();
              return KeywordFieldMapper.PARSER.parse(name, rest, context);
            });
  }

  // Policies are read and checked by Elastic's own code, and not carried out.
  @Override
  public List<NamedXContentRegistry.Entry> getNamedXContent() {
    return List.of(
        new NamedXContentRegistry.Entry(LifecycleType.class, new ParseField(TimeseriesLifecycleType.TYPE), p -> TimeseriesLifecycleType.INSTANCE),
        new NamedXContentRegistry.Entry(LifecycleAction.class, new ParseField(RolloverAction.NAME), RolloverAction::parse),
        new NamedXContentRegistry.Entry(LifecycleAction.class, new ParseField(DeleteAction.NAME), DeleteAction::parse));
  }

  @Override
  public List<Setting<?>> getSettings() {
    return List.of(LifecycleSettings.LIFECYCLE_NAME_SETTING);
  }

  @Override
  public Collection<RestHandler> getRestHandlers(
      Settings settings,
      NamedWriteableRegistry writeables,
      RestController controller,
      ClusterSettings clusterSettings,
      IndexScopedSettings indexSettings,
      SettingsFilter filter,
      IndexNameExpressionResolver resolver,
      Supplier<DiscoveryNodes> nodes,
      Predicate<NodeFeature> features) {
    return List.of(
        handler("GET", "/", StandIn::root), handler("PUT", "/_ilm/policy/{name}", StandIn::policy), handler("PUT", "/_data_stream/{name}", StandIn::dataStream));
  }

  interface Handler {
    void handle(RestRequest request, RestChannel channel, NodeClient client) throws IOException;
  }

  static RestHandler handler(String method, String path, Handler h) {
    return new RestHandler() {
      @Override
      public List<Route> routes() {
        return List.of(new Route(RestRequest.Method.valueOf(method), path));
      }

      @Override
      public void handleRequest(RestRequest request, RestChannel channel, NodeClient client) throws IOException {
        h.handle(request, channel, client);
      }
    };
  }

  static void root(RestRequest request, RestChannel channel, NodeClient client) throws IOException {
    try (XContentBuilder b = channel.newBuilder()) {
      b.startObject().field("name", "n1").field("tagline", "You Know, for Search").startObject("version");
      b.field("number", Build.current().qualifiedVersion()).field("build_flavor", Build.current().flavor()).endObject().endObject();
      channel.sendResponse(new RestResponse(RestStatus.OK, b));
    }
  }

  static void policy(RestRequest request, RestChannel channel, NodeClient client) throws IOException {
    String name = request.param("name");
    PutLifecycleRequest put =
        PutLifecycleRequest.parseRequest(
            new PutLifecycleRequest.Factory() {
              @Override
              public PutLifecycleRequest create(LifecyclePolicy policy) {
                return new PutLifecycleRequest(TimeValue.MAX_VALUE, TimeValue.MAX_VALUE, policy);
              }

              @Override
              public String getPolicyName() {
                return name;
              }
            },
            request.contentParser());
    if (put.validate() != null) {
      throw put.validate();
    }
    try (XContentBuilder b = channel.newBuilder()) {
      channel.sendResponse(new RestResponse(RestStatus.OK, b.startObject().field("acknowledged", true).endObject()));
    }
  }

  // A data stream is made as the first document makes it: from its template, by Elastic's own code.
  static void dataStream(RestRequest request, RestChannel channel, NodeClient client) {
    client.execute(AutoCreateAction.INSTANCE, new CreateIndexRequest(request.param("name")), new RestToXContentListener<>(channel));
  }
}
