package distro

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSinksAreCheckedByTheirExporters(t *testing.T) {
	t.Setenv("HEC_URL", "https://splunk:8088")
	f := func(text string, want ...string) {
		t.Helper()
		file := sinksFile(t, text)
		_, err := CheckSinks(context.Background(), file)
		if len(want) == 0 {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), file+w) {
				t.Errorf("%q: %v, want %q", text, err, w)
			}
		}
	}
	head := "sinks:\n- name: main\n  type: splunkhec\n  config:\n"
	f(head + "    endpoint: ${env:HEC_URL}\n    token: {env: T}\n")
	f(head+"    endpoint: https://s:8088\n", ":4: sink main: token")
	f(head+"    endpoint: https://s:8088\n    token: {env: T}\n    ack:\n      mode: maybe\n", ":8: sink main: ack.mode")
	f(head+"    endpoint: https://s:8088\n    token: {env: T}\n    tokn: 1\n", ":7: sink main: ")
	f(head+"    token: {env: T}\n    endpoint: s\n    message: none of it\n", ":6: sink main: endpoint", ":7: sink main: message")
	f(head+"    endpoint: https://s:8088\n    token: {env: T}\n    timeout: soon\n", ":7: sink main: ")
	f(head+"    endpoint: https://s:8088\n    token: {env: T}\n    route:\n      methods: {include: ['a*b']}\n", ":8: sink main: route")
	if l, err := CheckSinks(context.Background(), filepath.Join(t.TempDir(), "no.yaml")); l != nil || err != nil {
		t.Error(l, err)
	}
}

// What is made from sinks.yaml must be what the Collector takes, for every type that writes somewhere without asking.
func TestRenderedSinksAreAccepted(t *testing.T) {
	file := sinksFile(t, `sinks:
- {name: a, type: ocsf, config: {file: {dir: /nowhere}}}
- {name: b, type: parquet, config: {dir: /nowhere}}
- {name: c, type: otlp, config: {endpoint: 'https://x:4318'}}
- {name: d, type: splunkhec, config: {endpoint: 'https://x:8088', token: {env: T}}}
`)
	list, err := CheckSinks(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := RenderSinks(list, map[string]any{"url": "nats://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(out, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Validate(context.Background(), []string{out}); err != nil {
		t.Error(err)
	}
}
