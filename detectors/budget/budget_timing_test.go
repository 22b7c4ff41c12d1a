package budget

import (
	"strconv"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
)

func BenchmarkBudget(b *testing.B) {
	in, err := Definition.New(map[string]any{"file": "testdata/budgets.yaml"})
	if err != nil {
		b.Fatal(err)
	}
	g, err := engine.New(engine.Settings{Detectors: []engine.Instance{in}})
	if err != nil {
		b.Fatal(err)
	}
	ld := plog.NewLogs()
	recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range 1000 {
		e := spent(i, "user-"+strconv.Itoa(i%100), 100, 0.001)
		e.ID = "" // so that none is a duplicate
		e.Encode(recs.AppendEmpty())
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Apply(ld)
		g.Findings()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
