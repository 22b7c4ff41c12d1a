package distro

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestGuard(t *testing.T) {
	f := func(name, conf string, want ...string) {
		t.Helper()
		var m map[string]any
		if err := yaml.Unmarshal([]byte(conf), &m); err != nil {
			t.Fatal(err)
		}
		ps := Guard(m)
		if len(ps) != len(want) {
			t.Errorf("%s: problems %v, want %d", name, ps, len(want))
			return
		}
		for i, w := range want {
			if !strings.HasPrefix(ps[i].Error(), w) {
				t.Errorf("%s: %q, want %q", name, ps[i].Error(), w)
			}
		}
	}
	f("empty", `{}`)
	f("batch", `processors: {batch: {}, batch/2: {}}`, "processors::batch: the batch processor", "processors::batch/2")
	f("default queue", `exporters: {otlp_http: {endpoint: x}}`, "exporters::otlp_http: its sending queue is on by default")
	f("memory queue", `exporters: {otlp_http: {sending_queue: {enabled: true}}}`, "exporters::otlp_http: an in-memory")
	f("queue off", `exporters: {otlp_http: {sending_queue: {enabled: false}}}`)
	f("queue on disk", `exporters: {otlp_http: {sending_queue: {storage: file_storage}}}`)
	f("filelog", `receivers: {filelog/a: {include: [x]}}`, "receivers::filelog/a: without retry_on_failure")
	f("filelog retrying", `receivers: {filelog: {retry_on_failure: {enabled: true}}}`)
	f("raw to store", `
receivers: {otlp: {}}
exporters: {clickhouse: {}}
service: {pipelines: {logs: {receivers: [otlp], exporters: [clickhouse]}}}`, "service::pipelines::logs: unredacted")
	f("raw to EVENTS", `
receivers: {jetstream/raw: {stream: RAW}}
exporters: {jetstream/e: {stream: EVENTS}}
service: {pipelines: {logs: {receivers: [jetstream/raw], processors: [inspect, tokens], exporters: [jetstream/e]}}}`, "service::pipelines::logs: unredacted")
	f("redacted", `
receivers: {jetstream/raw: {stream: RAW}, jetstream/ev: {stream: EVENTS}}
exporters: {jetstream/e: {stream: EVENTS}, clickhouse: {}}
service: {pipelines: {logs/a: {receivers: [jetstream/raw], processors: [tokens, inspect], exporters: [jetstream/e]}, logs/b: {receivers: [jetstream/ev], exporters: [clickhouse]}}}`)
}
