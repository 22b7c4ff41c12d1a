package residency

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestPolicy(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "residency.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Definition.New(map[string]any{"file": file})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("", "")
	f("policies: [{tenants: [a], classes: [pii], regions: [eu]}]", "")
	f("policies: [{classes: [pii], regions: [eu]}]", "needs tenants")
	f("policies: [{tenants: [a], classes: [nope], regions: [eu]}]", "no data class")
	f("policies: [{tenants: ['['], classes: [pii], regions: [eu]}]", "no pattern")
	f("policies: [{tenants: [a], classes: [pii], regions: [eu], unknown: maybe}]", "ignore or raise")
	f("servers: {'[': eu}", "no pattern")
	f("server: {a: eu}", "server")
	if _, err := Definition.New(map[string]any{"file": "none.yaml"}); err == nil {
		t.Error("a missing file is taken")
	}
	if _, err := Definition.New(map[string]any{"repeat": "0s"}); err == nil {
		t.Error("repeat 0 is taken")
	}
}
