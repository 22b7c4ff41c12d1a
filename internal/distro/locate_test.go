package distro

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlaces: each fault has one line, which names the file that it is in, whichever is laid over which.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	base := `
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:4318"}}}}
processors:
  identity:
    default_tenant: a
exporters:
  jetstream/raw: {stream: RAW, nats: {url: "nats://127.0.0.1:1"}}
service:
  pipelines:
    logs: {receivers: [otlp], processors: [identity], exporters: [jetstream/raw]}
`
	f := func(site, want string) {
		t.Helper()
		a, b := write("base.yaml", base), write("site.yaml", site)
		for _, files := range [][]string{{a, b}, {b, a}} {
			err := Validate(context.Background(), files)
			if err == nil {
				t.Fatalf("%s: accepted", site)
			}
			if got := strings.ReplaceAll(err.Error(), dir+"/", ""); got != want {
				t.Errorf("%s:\ngot  %s\nwant %s", site, got, want)
			}
		}
	}
	f("processors:\n  identity:\n    defalt: 1\n    other: 2\n", "site.yaml:3: processors::identity has no key defalt (docs/config.md lists them)\n"+
		"site.yaml:4: processors::identity has no key other (docs/config.md lists them)")
	f("processors:\n  identity:\n    long_lived: soon\n", `site.yaml:3: processors::identity::long_lived: time: invalid duration`)
	f("processors:\n\n  batch: {}\n", "site.yaml:3: processors::batch: the batch processor acknowledges data before it is delivered and loses it in a crash; "+
		"remove it, batches are made where the data is durable")
	f("receivers:\n  nosuch: {}\n", "site.yaml:2: receivers: there is no component nosuch; there are file_log, filelog, jetstream, otlp")
}
