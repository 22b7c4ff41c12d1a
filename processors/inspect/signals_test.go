package inspect

import (
	"maps"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/mcpsiem/mcpsiem/internal/attr"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Signals that identity put on the event stay beside those of the content.
func TestSignalsOfEarlierStagesStay(t *testing.T) {
	f := func(before, add, want map[string]float64) {
		t.Helper()
		m := pcommon.NewMap()
		if before != nil {
			attr.PutScores(m, event.AttrSignals, before)
		}
		addSignals(m, add)
		v, _ := m.Get(event.AttrSignals)
		if got := attr.Scores(v); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	type s = map[string]float64
	f(nil, s{"a": 1}, s{"a": 1})
	f(s{"token.expired": 1}, s{"a": 0.5}, s{"token.expired": 1, "a": 0.5})
	f(s{"a": 1}, s{"a": 0.5}, s{"a": 0.5})
}
