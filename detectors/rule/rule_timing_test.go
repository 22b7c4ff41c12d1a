package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// siteRules are rules as sites have them: most are about one tool, server, signal or data class, some about many.
func siteRules(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString("---\n")
		}
		fmt.Fprintf(&b, "schema: mcpsiem.rule/v1\nid: site_%04d\nversion: 1.0.0\ntitle: T\nseverity: low\nsummary: \"{tool} of {server}: {count}\"\n", i)
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "kind: event\nwhen: kind == 'request' and method == 'tools/call' and tool == 'tool_%d' and server != 'lab'\ngroup_by: [principal_id]\ndedup: 1h\n", i)
		case 1:
			fmt.Fprintf(&b, "kind: threshold\nwhen: kind == 'response' and server == 'server-%d' and outcome == 'tool_error'\ngroup_by: [principal_id]\nwindow: 10m\nthreshold: {aggregate: event_count, gte: 20}\n", i)
		case 2:
			fmt.Fprintf(&b, "kind: event\nwhen: signals.signal_%d > 0.7 and lower(tool) matches 'query|sql'\ngroup_by: [server]\ndedup: 1h\n", i)
		case 3:
			fmt.Fprintf(&b, "kind: sequence\nwindow: 5m\ngroup_by: [principal_id]\nsteps: [{when: \"'class_%d' in data_classes and kind == 'response'\"}, {when: \"tool == 'send_%d'\"}]\n", i, i)
		default:
			fmt.Fprintf(&b, "kind: first_seen\nwhen: method == 'tools/call' and principal_team == 'team-%d' and kind == 'request'\ngroup_by: [principal_team]\nfirst_seen: {of: [tool]}\n", i)
		}
	}
	return b.String()
}

func siteEvents() []*event.Event {
	out := make([]*event.Event, 200)
	for i := range out {
		e := &event.Event{Name: "mcp.request", Time: 1_767_600_000e9 + int64(i)*1e7}
		e.Received = e.Time
		e.Kind, e.Method, e.Direction = "request", "tools/call", "client_to_server"
		e.Tool, e.Server, e.PrincipalID, e.PrincipalTeam = fmt.Sprintf("tool_%d", i%100), fmt.Sprintf("server-%d", i%20), fmt.Sprintf("user-%d", i%30), fmt.Sprintf("team-%d", i%5)
		if i%2 == 1 {
			e.Name, e.Kind, e.Direction, e.Outcome = "mcp.response", "response", "server_to_client", "ok"
			e.DataClasses = []string{"email", "person"}
			e.Signals = map[string]float64{"pii_in_result": 0.9}
		}
		out[i] = e
	}
	return out
}

// One iteration is one event. Without the index, every rule is asked.
func BenchmarkRules(b *testing.B) {
	events := siteEvents()
	f := func(n int, indexed bool) {
		name := fmt.Sprintf("rules=%d", n)
		if !indexed {
			name += "/unindexed"
		}
		b.Run(name, func(b *testing.B) {
			s := &Set{index: newIndex(nil)}
			if n > 0 {
				s = parse(b, siteRules(n))
			}
			g := newEngine(b, s, indexed)
			b.ReportAllocs()
			var e event.Event
			i := 0
			for b.Loop() {
				e = *events[i%len(events)]
				e.Time += int64(i) * 1e6
				e.Received = e.Time
				g.ApplyEvent(&e)
				if i++; i%10000 == 0 {
					g.Findings()
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	f(0, true)
	f(1, true)
	f(50, true)
	f(500, true)
	f(50, false)
	f(500, false)
}

func BenchmarkCompile(b *testing.B) {
	text := []byte(siteRules(500))
	b.ReportAllocs()
	for b.Loop() {
		if _, p := Parse([]Document{{Name: "b", Text: text}}); len(p) > 0 {
			b.Fatal(p)
		}
	}
}
