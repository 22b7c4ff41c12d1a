package crosstenant

import (
	"runtime"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// BenchmarkLedger is what a fingerprint costs once the ledger is full, and how much memory a million of them take.
func BenchmarkLedger(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := ledger{limit: 500_000}
	f := func(i uint64) uint64 { return i*0x9e3779b97f4a7c15&^7 | uint64(shingle.Value) }
	for i := range uint64(1_000_000) {
		l.seen(f(i), owner{tenant: uint32(i%50 + 2), principal: uint32(i%500 + 2), minute: 1, exchange: uint16(i)})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		l.seen(f(uint64(i)), owner{tenant: uint32(i%50 + 2), principal: uint32(i%500 + 2), minute: 2, exchange: uint16(i)})
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(l.now)+len(l.before)), "B/fingerprint")
}

// BenchmarkSnapshot is how long events wait while a full ledger is written.
func BenchmarkSnapshot(b *testing.B) {
	var s state
	s.ledger.limit = 500_000
	for i := range uint64(1_000_000) {
		s.ledger.seen(i<<3, owner{tenant: 2, principal: 3})
	}
	b.ResetTimer()
	for range b.N {
		if _, err := s.MarshalBinary(); err != nil {
			b.Fatal(err)
		}
	}
}
