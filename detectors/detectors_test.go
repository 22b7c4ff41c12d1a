package detectors

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/schemas/taxonomy"
)

var update = flag.Bool("update", false, "write docs/detectors")

// Every detector says all that an analyst needs, and refers to what exists.
func TestSpecs(t *testing.T) {
	id := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	version := regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	seen := map[string]bool{}
	for _, d := range All {
		s := d.Spec
		t.Run(s.ID, func(t *testing.T) {
			if !id.MatchString(s.ID) || !version.MatchString(s.Version) || seen[s.ID] {
				t.Errorf("id %q, version %q", s.ID, s.Version)
			}
			seen[s.ID] = true
			if engine.WorseSeverity("", s.Severity) == "" || s.Confidence <= 0 || s.Confidence > 1 {
				t.Errorf("severity %q, confidence %g", s.Severity, s.Confidence)
			}
			for name, text := range map[string]string{"Title": s.Title, "Sees": s.Sees, "Fires": s.Fires, "Tuning": s.Tuning, "Gaps": s.Gaps,
				"FalsePositives": s.FalsePositives, "Remediation": s.Remediation} {
				if len(text) < 10 {
					t.Errorf("%s says nothing", name)
				}
			}
			if len(s.References) == 0 {
				t.Error("no references")
			}
			for _, r := range s.References {
				if !taxonomy.Known(r) {
					t.Errorf("%q is not in schemas/taxonomy", r)
				}
			}
			if _, err := d.New(nil); err != nil {
				t.Errorf("the defaults are refused: %v", err)
			}
		})
	}
}

func TestDocs(t *testing.T) {
	dir := filepath.Join("..", "docs", "detectors")
	pages := map[string]string{"README.md": Index()}
	for _, d := range All {
		pages[d.Spec.ID+".md"] = Page(d)
	}
	for name, want := range pages {
		path := filepath.Join(dir, name)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s is not what the detector says: run go generate ./detectors (%v)", path, err)
		}
	}
}

// Each fixture runs against all detectors at once too: none crashes, none changes another's findings.
func TestFixturesTogether(t *testing.T) {
	files, err := filepath.Glob("*/testdata/*.detect")
	if err != nil || len(files) < len(All) {
		t.Fatalf("%d fixtures: %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := detecttest.Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			t.Chdir(filepath.Join(filepath.Dir(name), "..")) // files that the fixture names are relative to its detector
			for i := range s.Cases {
				_, problems := s.Check(i, All)
				for _, p := range problems {
					if !strings.Contains(p, "not expected") { // other detectors may have more to say
						t.Error(p)
					}
				}
			}
		})
	}
}

func newEngine(t testing.TB) *engine.Engine {
	s := engine.Settings{Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew}
	files := map[string]map[string]any{ // without which these are silent
		"budget":     {"file": "budget/testdata/budgets.yaml"},
		"rate_limit": {"file": "ratelimit/testdata/limits.yaml"},
	}
	for _, d := range All {
		in, err := d.New(files[d.Spec.ID])
		if err != nil {
			t.Fatal(err)
		}
		s.Detectors = append(s.Detectors, in)
	}
	g, err := engine.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// FuzzDetectors gives all detectors events of any shape: no call panics, and the state survives a snapshot. Each byte of script
// changes an event and lets it happen.
func FuzzDetectors(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"), "read\xff", int64(7))
	f.Add([]byte{12, 140, 13, 45, 77, 12, 200, 201, 12, 12}, "a\x00b", int64(-1))
	f.Add([]byte{255, 254, 253, 9, 9, 9}, "", int64(1<<62))
	f.Add([]byte{12, 28, 44, 60, 76, 92, 14, 30, 46, 62, 78, 15, 31, 95}, "192.0.2.1", int64(3))
	f.Add([]byte{13, 29, 14, 30, 31, 63, 13}, "alg_none", int64(3))
	f.Fuzz(func(t *testing.T, script []byte, text string, n int64) {
		if len(script) > 64 {
			script = script[:64]
		}
		g := newEngine(t)
		for i, b := range script {
			ld := plog.NewLogs()
			lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
			m := lr.Attributes()
			lr.SetTimestamp(pcommon.Timestamp(1_767_600_000e9 + int64(i)*int64(b)*1e9))
			lr.SetObservedTimestamp(lr.Timestamp())
			m.PutStr(event.AttrTool, text)
			m.PutStr(event.AttrServer, text[:len(text)/2])
			m.PutStr(event.AttrTapID, "tap")
			m.PutInt(event.AttrTapSeq, int64(b)+n)
			m.PutStr(event.AttrPrincipalTeam, "research")
			m.PutStr(event.AttrPrincipalID, text)
			m.PutStr(event.AttrCostCurrency, "USD")
			m.PutDouble(event.AttrCostAmount, math.Float64frombits(uint64(n)*uint64(b)))
			m.PutInt(event.AttrTokensResult, n*int64(b))
			m.PutStr(event.AttrCostModel, "claude-opus-5")
			m.PutStr(event.AttrKind, []string{event.KindRequest, event.KindResponse, event.KindRecord, text}[b%4])
			m.PutStr(event.AttrDirection, []string{event.ClientToServer, event.ServerToClient}[b%2])
			switch b % 16 {
			case 0:
				lr.SetEventName(event.NameTapLoss)
				m.PutInt(event.AttrLostFrom, n)
				m.PutInt(event.AttrLostTo, n+int64(b))
				m.PutInt(event.AttrLostEvents, n)
			case 1, 2, 3, 5, 7:
				d := m.PutEmptySlice(event.AttrToolDefs).AppendEmpty().SetEmptyMap()
				d.PutStr("name", text)
				d.PutStr("hash", text+string(rune(b)))
				d.PutInt("tokens", n)
			case 4, 6:
				m.PutEmptySlice(event.AttrAnomalies).AppendEmpty().SetStr("duplicate_key")
				m.PutEmptySlice(event.AttrCapabilities).AppendEmpty().SetStr("executes")
			case 8, 9:
				m.PutEmptySlice(event.AttrDataClasses).AppendEmpty().SetStr("jwt")
				m.PutEmptyMap(event.AttrSignals).PutDouble("secret_in_"+text, float64(b)/100)
			case 10:
				m.PutStr(event.AttrToolDefs, text)
				m.PutStr(event.AttrSignals, text)
				m.PutInt(event.AttrAnomalies, n)
			case 11:
				m.PutEmptyMap(event.AttrSignals).PutDouble("injection", float64(b)/200)
			case 12, 13:
				m.PutStr(event.AttrTokenFingerprint, text)
				m.PutStr(event.AttrHostName, string(rune(b)))
				m.PutStr(event.AttrClientAddress, text)
				m.PutEmptySlice(event.AttrAuthScopes).AppendEmpty().SetStr(text + string(rune(b)))
				m.PutEmptyMap(event.AttrSignals).PutDouble("token."+text, float64(b))
			case 14:
				m.PutStr(event.AttrKind, event.KindError)
				m.PutStr(event.AttrMethod, "tools/call")
				m.PutStr(event.AttrTool, text+string(rune(b)))
				m.PutStr(event.AttrRPCCode, "-32602")
			case 15:
				m.PutStr(event.AttrMethod, "tools/call")
				m.PutStr(event.AttrKind, event.KindRequest)
				s := m.PutEmptyMap(event.AttrSignals)
				s.PutDouble("token.not_required", 1)
				s.PutDouble("shell_metachar", float64(b)/200)
			}
			g.Apply(ld)
		}
		_, rules := g.Stats()
		for _, r := range rules {
			if r.Panics > 0 {
				t.Errorf("%s panicked", r.ID)
			}
		}
		snap, err := g.Snapshot(engine.Position{})
		if err != nil {
			t.Fatal(err)
		}
		if _, skipped, err := newEngine(t).Restore(snap); err != nil || len(skipped) > 0 {
			t.Fatalf("cannot restore: %v, skipped %v", err, skipped)
		}
	})
}
