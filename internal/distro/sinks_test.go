package distro

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func sinksFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sinks.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSinksAreRead(t *testing.T) {
	if s, err := ReadSinks(filepath.Join(t.TempDir(), "none.yaml")); s != nil || err != nil {
		t.Errorf("no file: %v, %v", s, err)
	}
	for text, want := range map[string]string{
		"":                                "",
		"sinks:\n":                        "",
		"sinks:\n- {name: a, type: nope}": ":2: unknown type",
		"sinks:\n- {name: a, type: splunkhec}\n- {name: a, type: splunkhec}": ":3: a sink a is in line 2",
		"sinks:\n- {name: ledger, type: splunkhec}":                          ":2: the name ledger is taken",
		"sinks:\n- {name: a b, type: splunkhec}":                             ":2: name must be",
		"sinks:\n- {name: a, type: splunkhec, streams: [raw]}":               ":2: unknown stream",
		"sinks:\n- {name: a, type: splunkhec, from: yesterday}":              ":2: from must be",
		"sinks:\n- name: a\n  type: splunkhec\n  confg: {}":                  ":4: a sink has no confg",
		"sinks:\n- {name: a, type: splunkhec, workers: 1000}":                ":2: workers must be",
		"sink:\n- {name: a}": "sink",
		"sinks:\n- a":        ":2: a sink is a map",
		"sinks:\n- {name: a, type: splunkhec, from: everything, config: {token: 1}}": "",
	} {
		_, err := ReadSinks(sinksFile(t, text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestSinksBecomePipelines(t *testing.T) {
	s, err := ReadSinks(sinksFile(t, "sinks:\n- {name: main, type: splunkhec, config: {endpoint: 'https://s:8088'}}\n- {name: page, type: pagerduty, from: '2026-01-31T23:00:00Z'}\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := RenderSinks(s, map[string]any{"url": "nats://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Receivers map[string]struct{ Stream, Durable, Deliver string }
		Exporters map[string]map[string]any
		Service   struct {
			Pipelines map[string]struct{ Receivers, Exporters []string }
		}
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Receivers) != 3 || c.Receivers["jetstream/main"].Stream != "EVENTS" || c.Receivers["jetstream/main-findings"].Durable != "main-findings" || c.Receivers["jetstream/page-findings"].Deliver != "by_start_time" {
		t.Errorf("receivers %+v", c.Receivers)
	}
	if c.Exporters["splunkhec/main"]["endpoint"] != "https://s:8088" || len(c.Exporters) != 2 {
		t.Errorf("exporters %+v", c.Exporters)
	}
	if st, _ := c.Exporters["pagerduty/page"]["state"].(map[string]any); st["bucket"] != "mcpsiem-pager-page" || st["nats"] == nil {
		t.Errorf("a pager forgets its incidents: %+v", c.Exporters["pagerduty/page"])
	}
	if p := c.Service.Pipelines["logs/sink_page-findings"]; len(c.Service.Pipelines) != 3 || p.Exporters[0] != "pagerduty/page" {
		t.Errorf("pipelines %+v", c.Service.Pipelines)
	}
	if text, err := RenderSinks(nil, nil); text != nil || err != nil {
		t.Errorf("no sinks: %s, %v", text, err)
	}
}
