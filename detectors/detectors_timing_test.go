package detectors

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/rules"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// traffic is a batch of n events as a tap and enrich leave them: calls and answers of some users and tools with 1 KB bodies, one
// in a hundred with something to raise.
func traffic(n int, first int64) plog.Logs {
	body := strings.Repeat("x", 1000)
	ld := plog.NewLogs()
	recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	prefix := event.TapPrefix("tap", 1)
	for i := range n {
		seq := first + int64(i)
		var e event.Event
		e.Name, e.Kind, e.Direction, e.Method = event.NameRequest, event.KindRequest, event.ClientToServer, "tools/call"
		if seq%2 == 0 {
			e.Name, e.Kind, e.Direction, e.Outcome, e.DurationNanos = event.NameResponse, event.KindResponse, event.ServerToClient, event.OutcomeOK, 5e6
		}
		e.Time = 1_767_600_000e9 + seq*1e7
		e.Received = e.Time + 1e6
		e.Body, e.BodySize = body, int64(len(body))
		e.ID = prefix.ID(seq)
		e.TapID, e.TapEpoch, e.TapSeq, e.SourceKind, e.ClockSource = "tap", 1, seq, "tap", "tap"
		e.Tenant, e.PrincipalID, e.PrincipalKind, e.PrincipalMethod, e.PrincipalIssuer = "acme", fmt.Sprint("user-", seq%50), "user", "jwt", "https://id.example"
		e.PrincipalVerified, e.PrincipalTeam, e.TokenFingerprint = true, "platform", "0123456789abcdef"
		e.ClientName, e.ClientVersion, e.Server, e.ServerClaimedVersion = "ide", "1.2", fmt.Sprint("server-", seq%10), "3.4"
		e.Tool, e.RequestID, e.RequestIDType = fmt.Sprint("tool-", seq%30), fmt.Sprint(seq), "number"
		e.ExchangeID, e.ExchangeStart, e.ConversationID = e.ID, e.Time, fmt.Sprint("conversation-", seq%100)
		e.Transport, e.ProtocolVersion, e.Era, e.SessionID, e.HostName = event.TransportHTTP, "2025-11-25", "legacy", fmt.Sprint("session-", seq%100), "host"
		e.BodyFingerprint, e.ArgumentsFingerprint, e.Capture = fmt.Sprintf("%032x", uint64(seq)*0x9e3779b97f4a7c15), seq*0x51_7cc1_b727, event.CaptureComplete
		e.TokensArguments, e.CostAmount, e.CostCurrency = 120, 0.0001, "USD"
		e.Capabilities = []string{"reads_private"}
		e.Fingerprints = []uint64{1, 2, 3, 4, 5, 6, 7, 8}
		e.Signals = map[string]float64{"injection": 0.1}
		e.DataClasses = []string{"email"}
		if seq%100 == 0 {
			e.DataClasses = append(e.DataClasses, "jwt")
			e.Signals["secret_in_result"] = 0.9
		}
		e.Encode(recs.AppendEmpty())
	}
	return ld
}

// withRules is newEngine with the built-in rules, as the product runs it.
func withRules(b *testing.B) *engine.Engine {
	b.Helper()
	g := newEngine(b)
	set, problems, err := rules.Load(true, nil)
	if err != nil || len(problems) > 0 {
		b.Fatal(err, problems)
	}
	in, sel, err := set.Instances()
	if err == nil {
		err = g.SetRules(in, sel)
	}
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// cpuTime is the CPU time that the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDetectors is decoding, all detectors and all built-in rules, over states that 20,000 events have filled. events/cpu-s, garbage
// collection included, is what to compare: it moves less than events/s on a machine that does other work. Run it with -cpu 1.
func BenchmarkDetectors(b *testing.B) {
	const batch, batches = 500, 20
	g := withRules(b)
	next := int64(1)
	make := func() (out []plog.Logs) {
		for range batches {
			out = append(out, traffic(batch, next))
			next += batch
		}
		return out
	}
	for range 2 {
		for _, ld := range make() {
			g.Apply(ld)
			g.Findings()
		}
	}
	var used time.Duration
	b.SetBytes(1000)
	b.ReportAllocs()
	b.ResetTimer()
	events := 0
	for events < b.N {
		b.StopTimer()
		work := make()
		runtime.GC()
		start := cpuTime()
		b.StartTimer()
		for _, ld := range work {
			g.Apply(ld)
			g.Findings()
			if events += batch; events >= b.N {
				break
			}
		}
		used += cpuTime() - start
	}
	b.ReportMetric(float64(events)/used.Seconds(), "events/cpu-s")
}

// BenchmarkDecode is the part of it that reads the records.
func BenchmarkDecode(b *testing.B) {
	ld := traffic(500, 1)
	rl := ld.ResourceLogs().At(0)
	recs := rl.ScopeLogs().At(0).LogRecords()
	var e event.Event
	b.SetBytes(1000)
	b.ReportAllocs()
	for i := range b.N {
		event.Decode(rl.Resource(), recs.At(i%500), &e)
	}
}

// BenchmarkSnapshot is a snapshot of a state with many keys.
func BenchmarkSnapshot(b *testing.B) {
	g := newEngine(b)
	for i := range 20 {
		g.Apply(traffic(1000, int64(i*1000+1)))
	}
	for i := range 20_000 {
		var e event.Event
		e.Kind, e.Tenant, e.Server = event.KindResponse, "acme", fmt.Sprint("s", i)
		e.TapID, e.TapSeq, e.TapEpoch = fmt.Sprint("tap", i), 1, 1
		e.ID = event.TapID(e.TapID, 1, 1)
		e.Time, e.Received = 1_767_600_000e9, 1_767_600_000e9
		for t := range 10 {
			e.ToolDefs = append(e.ToolDefs, event.ToolDef{Name: fmt.Sprint("tool", t), Hash: strings.Repeat("0123456789abcdef", 4)})
		}
		ld := plog.NewLogs()
		e.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
		g.Apply(ld)
	}
	b.ReportAllocs()
	b.ResetTimer()
	size := 0
	for range b.N {
		s, err := g.Snapshot(engine.Position{})
		if err != nil {
			b.Fatal(err)
		}
		size = len(s)
	}
	b.ReportMetric(float64(size), "bytes")
}
