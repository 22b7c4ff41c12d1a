package detectors

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// chained are the detectors of chains of calls and of what leaves.
var chained = []string{"toxic_flow", "steered_call", "content_taint", "covert_channel", "new_destination", "slow_drip", "outbound_volume", "archive_send", "unusual_transition", "tool_loop", "destructive_burst",
	"privilege_climb", "off_hours"}

func only(b *testing.B, ids ...string) *engine.Engine {
	s := engine.Settings{Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew}
	for _, d := range All {
		for _, id := range ids {
			if d.Spec.ID == id {
				in, err := d.New(nil)
				if err != nil {
					b.Fatal(err)
				}
				s.Detectors = append(s.Detectors, in)
			}
		}
	}
	g, err := engine.New(s)
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// chains is a batch of events of chains: half calls and half results, with capabilities and samples on all of them, of many principals.
func chains(n, first, principals int) plog.Logs {
	ld := plog.NewLogs()
	recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	var e event.Event
	var seed [8]byte
	for i := range n {
		k := first + i
		binary.LittleEndian.PutUint64(seed[:], uint64(k)*0x9e3779b97f4a7c15)
		chain(&e, k, seed[:])
		e.Time = 1_767_600_000e9 + int64(k)*1e6
		e.Received = e.Time
		e.PrincipalID, e.ConversationID = fmt.Sprint("user-", k%principals), fmt.Sprint("c", k%principals)
		e.Fingerprints = e.Fingerprints[:0]
		for j := range uint64(32) {
			e.Fingerprints = append(e.Fingerprints, (uint64(k/16)*64+j)*0x9e3779b97f4a7c15)
		}
		e.Encode(recs.AppendEmpty())
	}
	return ld
}

// BenchmarkChains is decoding and one detector, or all of them, with a state that has been filled; bytes/key is what a key's state takes in memory.
func BenchmarkChains(b *testing.B) {
	for _, id := range append([]string{"all"}, chained...) {
		ids := []string{id}
		if id == "all" {
			ids = chained
		}
		b.Run(id, func(b *testing.B) {
			const batch, principals = 500, 1000
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			g := only(b, ids...)
			for i := range 64 {
				g.Apply(chains(batch, i*batch, principals))
				g.Findings()
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			_, rules := g.Stats()
			keys := 0
			for _, r := range rules {
				keys += r.Keys
			}
			var more []plog.Logs
			for i := range max(b.N/batch, 1) {
				if i == 200 {
					break
				}
				more = append(more, chains(batch, (64+i)*batch, principals))
			}
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			for i := 0; i < b.N; i += batch {
				g.Apply(more[n%len(more)])
				g.Findings()
				n++
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			if keys > 0 {
				b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(keys), "bytes/key")
			}
			runtime.KeepAlive(g)
		})
	}
}
