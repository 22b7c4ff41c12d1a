package event

import (
	"fmt"
	"reflect"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"pgregory.net/rapid"
)

func decodeAll(ld plog.Logs) (out []Event) {
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				var e Event
				Decode(rl.Resource(), lr, &e)
				out = append(out, e)
			}
		}
	}
	return out
}

// TestHoistKeepsEvents makes batches whose records share some attributes, lack some, and have them in different orders.
func TestHoistKeepsEvents(t *testing.T) {
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		ld := plog.NewLogs()
		for range rapid.IntRange(1, 2).Draw(t, "resources") {
			rl := ld.ResourceLogs().AppendEmpty()
			if rapid.Bool().Draw(t, "resource has server") {
				rl.Resource().Attributes().PutStr(AttrServer, "of the resource")
			}
			for range rapid.IntRange(1, 2).Draw(t, "scopes") {
				sl := rl.ScopeLogs().AppendEmpty()
				for i := range rapid.IntRange(0, 6).Draw(t, "records") {
					m := sl.LogRecords().AppendEmpty().Attributes()
					m.PutStr(AttrID, fmt.Sprint(i))
					for _, k := range rapid.Permutation([]string{AttrServer, AttrTool, AttrTapID, "other"}).Draw(t, "order") {
						if v := rapid.SampledFrom([]string{"", "a", "a", "a", "b"}).Draw(t, k); v != "" {
							m.PutStr(k, v)
						}
					}
					m.PutInt(AttrTapEpoch, int64(rapid.IntRange(1, 2).Draw(t, "epoch")))
					m.PutEmptySlice(AttrAnomalies).AppendEmpty().SetStr("x")
				}
			}
		}
		want := decodeAll(ld)
		n := ld.ResourceLogs().At(0).Resource().Attributes().Len()
		Hoist(ld)
		moved += ld.ResourceLogs().At(0).Resource().Attributes().Len() - n
		if got := decodeAll(ld); !reflect.DeepEqual(got, want) {
			t.Fatalf("events changed:\n%+v\n%+v", got, want)
		}
	})
	if moved == 0 {
		t.Error("nothing was ever moved")
	}
}
