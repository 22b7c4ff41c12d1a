package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestRoles reads the roles of the configurations that are deployed.
func TestRoles(t *testing.T) {
	for file, want := range map[string]string{
		"ingest": "ingest", "enrich": "enrich", "detect": "detect", "store": "store", "splunk": "export", "elastic": "export", "alerts": "export",
		"all": "ingest enrich detect store seal",
	} {
		b, err := os.ReadFile(filepath.Join("../../deploy/config", file+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var conf map[string]any
		if err := yaml.Unmarshal(b, &conf); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(roles(conf), " "); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	if got := roles(map[string]any{"service": "nonsense"}); len(got) > 0 {
		t.Errorf("%q", got)
	}
}
