package detectors

import (
	"encoding/binary"
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// chain makes an event of a chain of calls from eight bytes.
func chain(e *event.Event, i int, b []byte) {
	*e = event.Event{}
	v := binary.LittleEndian.Uint64(b)
	pick := func(n uint64) uint64 { x := v % n; v /= n; return x }
	e.Name, e.Kind, e.Direction, e.Method = event.NameRequest, event.KindRequest, event.ClientToServer, "tools/call"
	if pick(2) == 1 {
		e.Name, e.Kind, e.Direction, e.Outcome = event.NameResponse, event.KindResponse, event.ServerToClient, event.OutcomeOK
		if pick(4) == 0 {
			e.Outcome = event.OutcomeToolError
		}
		if pick(8) == 0 {
			e.Kind, e.AuthDecision = event.KindError, "denied"
		}
	}
	e.Time = 1_767_600_000e9 + int64(i)*int64(pick(4000))*1e9
	e.Received = e.Time
	e.Tenant, e.PrincipalID, e.Server, e.ConversationID = "acme", fmt.Sprint("user-", pick(3)), fmt.Sprint("server-", pick(3)), fmt.Sprint("c", pick(3))
	e.Tool = fmt.Sprint("tool_", pick(6))
	e.ID = event.SourceID(fmt.Sprint(i))
	for k, c := range []string{"reads_private", "reads_untrusted", "sends_outside", "executes", "writes", "destroys", "spends"} {
		if uint64(len(e.Tool))*7+uint64(e.Tool[5])>>uint(k)&1 == 1 || pick(3) == 0 {
			e.Capabilities = append(e.Capabilities, c)
		}
	}
	for range pick(5) {
		e.Fingerprints = append(e.Fingerprints, pick(97))
	}
	if pick(3) == 0 {
		e.Destinations = []string{fmt.Sprint("host-", pick(5), ".example")}
	}
	switch pick(6) {
	case 0:
		e.Signals = map[string]float64{"injection": 0.9}
	case 1:
		e.Signals = map[string]float64{"payload_in_url": 0.8, "archive_in_arguments": 1}
	case 2:
		e.DataClasses = []string{"jwt", "email"}
		e.Redactions = map[string]float64{"email": 7}
	}
	e.ArgumentsFingerprint = int64(pick(5))
	e.BodySize = int64(pick(1 << 20))
}

// FuzzChains gives all detectors chains of calls: none panics, and an engine that is saved and restored in their midst raises the same.
func FuzzChains(f *testing.F) {
	seed := make([]byte, 800)
	for i := range seed {
		seed[i] = byte(i * 131 >> (i % 5))
	}
	f.Add(seed)
	f.Add([]byte("12345678abcdefgh"))
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 1600)]
		whole, parts := newEngine(t), newEngine(t)
		a, b := 0, 0
		for i := 0; i+8 <= len(script); i += 8 {
			var e event.Event
			chain(&e, i/8, script[i:])
			for k, g := range []*engine.Engine{whole, parts} {
				ld := plog.NewLogs()
				e.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
				g.Apply(ld)
				if n := g.Findings().LogRecordCount(); k == 0 {
					a += n
				} else {
					b += n
				}
			}
			if i/8 == len(script)/16 {
				snap, err := parts.Snapshot(engine.Position{})
				if err != nil {
					t.Fatal(err)
				}
				parts = newEngine(t)
				if _, skipped, err := parts.Restore(snap); err != nil || len(skipped) > 0 {
					t.Fatalf("cannot restore: %v, skipped %v", err, skipped)
				}
			}
		}
		if a != b {
			t.Errorf("%d findings, and %d with a snapshot in their midst", a, b)
		}
		_, rules := whole.Stats()
		for _, r := range rules {
			if r.Panics > 0 {
				t.Errorf("%s panicked", r.ID)
			}
		}
	})
}
