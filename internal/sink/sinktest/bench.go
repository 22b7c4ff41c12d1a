// Measurements of exporters.

package sinktest

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Typical makes n events of about 1 KB as JSON, as they are in EVENTS: attributes that all have alike are the resource's.
func Typical(n int) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		e := event.Event{Name: event.NameRequest, Time: 1_800_000_000_000_000_000 + int64(i)*1_234_567, Received: 1_800_000_000_100_000_000 + int64(i)*1_234_567}
		prefix := event.TapPrefix("laptop-7/files", 17)
		e.ID = prefix.ID(int64(i))
		e.ExchangeID, e.CallID = e.ID, e.ID
		e.SourceKind, e.TapID, e.TapEpoch, e.TapSeq, e.ClockSource = "tap", "laptop-7/files", 1_799_999_999_000_000_000, int64(i), "tap"
		e.Tenant, e.PrincipalID, e.PrincipalKind, e.PrincipalIssuer, e.PrincipalMethod, e.PrincipalVerified = "acme", "ann", "user", "laptop-7", "os_user", true
		e.ClientName, e.ClientVersion, e.Server, e.HostName, e.Transport, e.Era = "claude", "1.2", "files", "laptop-7", "stdio", "legacy"
		e.ConversationID, e.Direction, e.Kind, e.Method, e.Tool = "c-"+prefix.ID(int64(i/50)), event.ClientToServer, event.KindRequest, "tools/call", "read_text_file"
		e.RequestID, e.RequestIDType, e.ExchangeStart, e.BodySize, e.Capture = fmt.Sprint(i), "number", e.Time, 220, event.CaptureComplete
		e.BodyFingerprint = prefix.ID(int64(i * 7))
		e.TokensArguments, e.TokensEncoding = 40, "o200k_base"
		e.DataClasses, e.Capabilities = []string{"pii.email"}, []string{"reads_private"}
		e.Signals = map[string]float64{"injection": 0.01}
		e.Body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"read_text_file","arguments":{"path":"/home/ann/projects/%d/src/main-%d.go","head":%d,"note":"what the user asked for in round %d"}}}`, i, i%17, i*31, i%100, i%7)
		e.Encode(lrs.AppendEmpty())
	}
	event.Hoist(ld)
	return ld
}

// Measure delivers a batch b.N times and reports events by processor time of this process, bytes of an event before compression (size is the batch's),
// and on the wire.
func Measure(b *testing.B, ld plog.Logs, size int, consume func(context.Context, plog.Logs) error, wire func() int64) {
	n := float64(ld.LogRecordCount())
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for range b.N {
		if err := consume(context.Background(), ld); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)*n/(cpu()-before).Seconds(), "events/CPU-s")
	b.ReportMetric(float64(size)/n, "B/event")
	b.ReportMetric(float64(wire())/float64(b.N)/n, "wireB/event")
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
