package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/setup"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// TestUpRefusesFirst: what is wrong with the operator's configuration is said, with its place, before anything is started.
func TestUpRefusesFirst(t *testing.T) {
	dir := t.TempDir()
	given := filepath.Join(dir, "given.yaml")
	f := func(site, config, want string) {
		t.Helper()
		d := state.Dir(filepath.Join(t.TempDir(), "state"))
		o := upOptions{state: string(d), configs: []string{given}}
		for _, addr := range addresses(&o.addrs) {
			*addr = "127.0.0.1:0"
		}
		if err := os.Mkdir(string(d), 0o700); err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string]string{given: config, setup.Site(d): site} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := up(context.Background(), o, io.Discard)
		var coded *exitError
		if !errors.As(err, &coded) || coded.code != exitUsage {
			t.Fatalf("%v", err)
		}
		if got := strings.NewReplacer(dir, "", string(d), "").Replace(err.Error()); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if started, _ := os.ReadDir(d.Path("nats")); len(started) > 0 {
			t.Error("NATS was started")
		}
	}
	f("processors:\n  identity: {default_tenant: acme}\n", "processors:\n  # text\n  identity: {defalt_tenant: b}\n",
		"/given.yaml:3: processors::identity has no key defalt_tenant (docs/config.md lists them)")
	f("processors:\n  identity:\n    issuers:\n    - issuer: a\n      jwks_url: http://a\n", "",
		"/site.yaml:5: processors::identity: issuers[0]: jwks_url must use https: whoever can change the answer can be anyone (http is allowed to loopback only)")
	f("", "processors:\n  batch: {}\n  identity: 5\nprocesors: {}\n", "/given.yaml:2: processors::batch: the batch processor acknowledges data before it is delivered and loses it in a crash; remove it, batches are made where the data is durable")
	f("", "a: [\n", "/given.yaml:1: not valid YAML: did not find expected node content")
	f("", "- a\n", "/given.yaml:1: a configuration is a map of sections: processors, exporters and so on")
	f("receivers:\n  kafka: {}\n", "procesors: {}\n", "/site.yaml:2: receivers: there is no component kafka; there are file_log, filelog, jetstream, otlp\n"+
		"/given.yaml:1: there is no section procesors")
}
