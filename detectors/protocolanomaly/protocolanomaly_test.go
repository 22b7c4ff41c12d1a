package protocolanomaly

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

// Somebody has decided about every anomaly that the protocol reader knows.
func TestEveryAnomalyIsInTheTable(t *testing.T) {
	for _, name := range (^mcp.Anomaly(0)).AppendNames(nil) {
		if _, ok := kinds[name]; !ok {
			t.Errorf("%s is not in the table: raise it or name it as quiet", name)
		}
	}
	distinct := map[kind]bool{}
	for _, k := range kinds {
		distinct[k] = true
	}
	if len(distinct) > 8 {
		t.Errorf("%d kinds, but room for 8 in Observe", len(distinct))
	}
}
