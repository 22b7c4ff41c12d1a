package splunkhec

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

func TestAppendEpoch(t *testing.T) {
	f := func(ns int64, want string) {
		t.Helper()
		if got := string(appendEpoch(nil, ns)); got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
	f(1, "0.000000")
	f(1_000, "0.000001")
	f(1_800_000_000_000_000_000, "1800000000.000000")
	f(1_800_000_000_123_456_789, "1800000000.123456")
	f(1_800_000_000_999_999_999, "1800000000.999999")
	f(math.MaxInt64, "9223372036.854775")
}

// Whatever a record holds, its event is one line, one JSON object, and what was put in.
func FuzzEvent(f *testing.F) {
	f.Add("{\"a\":1}", "tool", "tenant", int64(1_800_000_000_000_000_000), "k", "v")
	f.Add("{\"a\":1}{\"event\":\"forged\"}", "\"}\n{", "", int64(0), "", "")
	f.Add("{\n\"a\":\r\n1}", "\xff\xfe", "a\x00b", int64(-1), "\u2028", "\ufffd")
	f.Add("\"text\"", "", "", int64(math.MaxInt64), "\"", "\\")
	f.Add(strings.Repeat("[", 5000), "", "", int64(math.MinInt64), "", "")
	enc := newEncoder(newDefaultConfig())
	f.Fuzz(func(t *testing.T, body, tool, tenant string, at int64, k, v string) {
		e := event.Event{Name: tool, Time: at, Received: at, Body: body, Extra: map[string]string{k: v}}
		e.ID, e.Tool, e.Tenant, e.DataClasses, e.Labels, e.Signals = v, tool, tenant, []string{k, v}, map[string]string{k: v}, map[string]float64{k: float64(at)}
		fi := finding.Finding{Time: at}
		fi.ID, fi.Summary, fi.Why, fi.Evidence = k, body, map[string]string{k: v}, []string{v}
		for _, rec := range []*sink.Record{{Event: &e, Log: plog.NewLogRecord()}, {Finding: &fi}} {
			for _, b := range [][]byte{enc.envelope(nil, rec, `"sourcetype":"x"`, true), enc.event(nil, rec, true), enc.event(nil, rec, false)} {
				if !json.Valid(b) || !utf8.Valid(b) || strings.ContainsAny(string(b), "\n\r") {
					t.Fatalf("%q", b)
				}
			}
			var out struct {
				Event map[string]any `json:"event"`
			}
			if err := json.Unmarshal(enc.envelope(nil, rec, `"sourcetype":"x"`, true), &out); err != nil {
				t.Fatal(err)
			}
			if rec.Event == nil || tool == "" || !utf8.ValidString(tool) {
				continue
			}
			if out.Event["tool"] != tool {
				t.Fatalf("tool %q became %q", tool, out.Event["tool"])
			}
		}
	})
}
