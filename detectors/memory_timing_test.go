package detectors

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// BenchmarkMemory is what each detector keeps after 10,000 principals, each with a conversation, credential, server, tap and session of
// its own, have made five calls and read a list of tools: keys, bytes/key, and MB in all, less what the engine remembers of events. A detector whose key is the tenant keeps all of them
// under one key. What a detector does not remember of such traffic shows as 0. It measures once, whatever -benchtime says.
func BenchmarkMemory(b *testing.B) {
	own := 0.0 // of the engine
	measure := func(in ...engine.Instance) (used float64, g *engine.Engine) {
		g, err := engine.New(engine.Settings{Detectors: in, Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew})
		if err != nil {
			b.Fatal(err)
		}
		before := heap()
		for round := range 5 {
			for p := range 10_000 {
				life(g.ApplyEvent, p, round)
			}
			g.Findings()
		}
		return max(heap()-before-own, 0), g
	}
	own, _ = measure()
	for _, d := range All {
		b.Run(d.Spec.ID, func(b *testing.B) {
			conf := map[string]map[string]any{"budget": {"file": "budget/testdata/budgets.yaml"}, "rate_limit": {"file": "ratelimit/testdata/limits.yaml"}}
			in, err := d.New(conf[d.Spec.ID])
			if err != nil {
				b.Fatal(err)
			}
			used, g := measure(in)
			_, stats := g.Stats()
			keys := stats[0].Keys
			for b.Loop() { // what is measured is above
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(keys), "keys")
			b.ReportMetric(used/1e6, "MB")
			if keys > 1 {
				b.ReportMetric(used/float64(keys), "bytes/key")
			}
			runtime.KeepAlive(g)
		})
	}
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// life is a call, its result, and in the first round a list of tools. Texts are made anew, as decoding makes them.
func life(f func(*event.Event), p, round int) {
	seq := int64(round*3 + 1)
	at := 1_767_600_000e9 + int64(round)*60e9 + int64(p)*1e6
	send := func(change func(*event.Event)) {
		var e event.Event
		e.Time, e.Received = at, at+1e6
		e.TapID, e.TapEpoch, e.TapSeq, e.SourceKind = fmt.Sprint("tap-", p), 1, seq, "tap"
		e.ID = event.TapID(e.TapID, 1, seq)
		e.ExchangeID, e.ExchangeStart = fmt.Sprint("x-", p, "-", round), at
		e.Tenant, e.PrincipalID, e.PrincipalKind, e.PrincipalIssuer, e.PrincipalVerified = "acme", fmt.Sprint("user-", p), "user", "https://id.example", true
		e.PrincipalTeam, e.TokenFingerprint, e.ConversationID, e.SessionID = fmt.Sprint("team-", p/10), fmt.Sprintf("%016x", p), fmt.Sprint("conversation-", p), fmt.Sprint("session-", p)
		e.ClientName, e.Server, e.ServerClaimedName, e.Command, e.Transport = "ide", fmt.Sprint("server-", p), "files", "npx files", event.TransportHTTP
		e.ClientAddress = fmt.Sprintf("10.1.%d.%d", p/250%250, p%250)
		e.Method, e.Tool, e.BodySize, e.Capabilities = "tools/call", fmt.Sprint("tool-", round), 2000, []string{"reads_private", "sends_outside"}
		e.ArgumentsFingerprint = int64(p*1000 + round + 1)
		for j := range uint64(16) {
			e.Fingerprints = append(e.Fingerprints, (uint64(p*10+round)*16+j)*0x9e3779b97f4a7c15)
		}
		change(&e)
		f(&e)
		seq++
		at += 1e6
	}
	send(func(e *event.Event) {
		e.Name, e.Kind, e.Direction = event.NameRequest, event.KindRequest, event.ClientToServer
		e.Destinations, e.TokensArguments, e.CostAmount, e.CostCurrency = []string{fmt.Sprintf("site-%d.example", round)}, 100, 0.001, "USD"
		e.AuthScopes = []string{"read"}
	})
	send(func(e *event.Event) {
		e.Name, e.Kind, e.Direction, e.Outcome, e.DurationNanos = event.NameResponse, event.KindResponse, event.ServerToClient, event.OutcomeOK, 5e6
		e.DataClasses, e.TokensResult = []string{"email"}, 1000
	})
	if round > 0 {
		return
	}
	send(func(e *event.Event) {
		e.Name, e.Kind, e.Direction, e.Outcome = event.NameResponse, event.KindResponse, event.ServerToClient, event.OutcomeOK
		e.Method, e.Tool = "tools/list", ""
		for t := range 10 {
			e.ToolDefs = append(e.ToolDefs, event.ToolDef{Name: fmt.Sprint("tool-", t), Hash: fmt.Sprintf("%064x", t), Tokens: 120})
		}
	})
}
