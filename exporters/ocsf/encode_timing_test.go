package ocsf

import (
	"context"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// BenchmarkEncode is one event of about a kilobyte.
func BenchmarkEncode(b *testing.B) {
	m := builtin(b)
	e := &event.Event{Name: event.NameRequest, Time: 1_800_000_000_000_000_000, Body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/home/x/notes"}}}`}
	e.ID, e.Method, e.Tool, e.Kind, e.Server, e.Tenant, e.PrincipalID, e.PrincipalKind, e.ClientName = id(1), "tools/call", "read_file", "request", "files", "acme", "ada", "user", "claude"
	e.DataClasses, e.Capabilities, e.ConversationID, e.ExchangeID, e.HostName = []string{"pii.email"}, []string{"reads_private"}, id(2), id(1), "laptop-7"
	rec := &sink.Record{Event: e}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = m.classOf(rec).encode(out[:0], rec, true)
	}
	b.SetBytes(int64(len(out)))
}

// BenchmarkFiles is batches of 500 events into files on disk, synced.
func BenchmarkFiles(b *testing.B) {
	r := open(b, &Config{File: &FileConfig{Dir: b.TempDir(), Compression: none}})
	defer r.close()
	ld := batch(0, 500)
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		ctx := streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "o", First: n, Last: n})
		if err := r.exp.ConsumeLogs(ctx, ld); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*500)/b.Elapsed().Seconds(), "events/s")
}
