// Package sealtest gives tests stored rows and a sealer over them.
package sealtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	clickhouse "github.com/mcpsiem/mcpsiem/exporters/clickhouse"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

// Start is the time of the first event that Events makes.
var Start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// Tables are what the tests of the seal write to.
var Tables = []string{"events", "findings", "seal_leaves", "seal_salts", "seal_checkpoints", "seal_deletions", "seal_anchors", "ledger", "tool_catalogue", "finding_history", "removed"}

// Clear empties the tables.
func Clear(t testing.TB, admin *store.Conn) {
	t.Helper()
	for _, name := range Tables {
		if err := admin.Exec(context.Background(), "TRUNCATE TABLE mcpsiem."+name); err != nil {
			t.Fatal(err)
		}
	}
}

// Exporter stores batches as the pipeline does.
func Exporter(t testing.TB) exporter.Logs {
	t.Helper()
	f := clickhouse.NewFactory()
	cfg := f.CreateDefaultConfig().(*clickhouse.Config)
	cfg.Endpoint, cfg.Password = storetest.Server.TCPAddr(), configopaque.String(storetest.Server.Password(chdb.UserPipeline))
	e, err := f.CreateLogs(context.Background(), exportertest.NewNopSettings(clickhouse.Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Shutdown(context.Background()) })
	return e
}

// Events makes n events of a tenant, of one tap, from number first on, one each 10 ms.
func Events(tenant string, first, n int) []event.Event {
	prefix := event.TapPrefix("laptop/"+tenant, 7)
	out := make([]event.Event, n)
	for i := range out {
		k := first + i
		rnd := rand.New(rand.NewPCG(uint64(k), 1))
		e := &out[i]
		e.Name, e.Time = event.NameRequest, Start.Add(time.Duration(k)*10*time.Millisecond).UnixNano()
		e.Received = e.Time + 1e6
		e.Fields = event.Fields{
			ID: prefix.ID(int64(k)), SourceKind: "tap", TapID: "laptop/" + tenant, TapEpoch: 7, TapSeq: int64(k), ClockSource: "tap", Tenant: tenant,
			PrincipalID: fmt.Sprintf("user%d@example.com", k%7), PrincipalKind: "user", PrincipalMethod: "os_user", PrincipalVerified: k%2 == 0,
			IdentityClaims: []string{"os_user:u!", "client_info:cursor"}, ClientName: "cursor", Server: []string{"files", "github", "db"}[k%3],
			Transport: "stdio", Direction: event.ClientToServer, Kind: event.KindRequest, Method: "tools/call", Tool: []string{"read", "search", "query"}[k%3],
			RequestID: fmt.Sprint(k), RequestIDType: "number", ConversationID: "c1", Capture: "complete", BodyFingerprint: "00112233445566778899aabbccddeeff",
			TokensArguments: int64(k % 100), CostAmount: float64(k%100) * 3e-6, CostCurrency: "USD", DurationNanos: rnd.Int64N(1e12),
			Labels: map[string]string{"env": "prod", "zone": "a", "😀": "later", "\uffee": "earlier"},
		}
		e.ExchangeID, e.ExchangeStart = e.ID, e.Time
		if k%5 == 0 {
			e.DataClasses, e.Redactions, e.Signals = []string{"email"}, map[string]float64{"email": 2}, map[string]float64{"injection": rnd.Float64()}
		}
		e.Body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"read","arguments":{"path":"/srv/%d","q":"%s \"x\" é \\n"}}}`, k, k, words(rnd))
		e.BodySize = int64(len(e.Body))
	}
	return out
}

func words(rnd *rand.Rand) string {
	var b strings.Builder
	for range 12 {
		b.WriteString([]string{"alpha", "beta", "gamma", "delta", "report", "invoice", "quarter", "<email:1a2b>"}[rnd.IntN(8)])
		b.WriteByte(' ')
	}
	return b.String()
}

// Finding makes a finding of a tenant.
func Finding(tenant string, n int) finding.Finding {
	f := finding.Finding{Time: Start.Add(time.Duration(n) * time.Second).UnixNano()}
	f.ID, f.Tenant, f.RuleID, f.RuleVersion, f.Severity, f.Title = event.SourceID("finding", tenant, fmt.Sprint(n)), tenant, "rule_one", "1", "high", "Something happened"
	f.FirstSeen, f.LastSeen, f.Count, f.Status, f.Confidence = f.Time, f.Time, 3, "open", 0.9
	return f
}

// Batch is a message of the stream with events in it.
func Batch(seq uint64, events ...event.Event) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutInt(event.AttrStreamSeq, int64(seq))
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	for _, e := range events {
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}

// FindingBatch is a message with findings in it.
func FindingBatch(seq uint64, findings ...finding.Finding) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutInt(event.AttrStreamSeq, int64(seq))
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	for _, f := range findings {
		f.Encode(lrs.AppendEmpty())
	}
	return ld
}

// Store stores a batch.
func Store(t testing.TB, e exporter.Logs, ld plog.Logs) {
	t.Helper()
	if err := e.ConsumeLogs(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
}

// Created is when the streams of the tests were made.
var Created = time.Unix(1_790_000_000, 0)

// Sealer seals in a folder, as the pipeline's account. The caller opens and closes it.
func Sealer(t testing.TB, dir string) *seal.Sealer {
	t.Helper()
	key, err := seal.LoadKey(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	db := seal.NewDB(storetest.Config(chdb.UserPipeline))
	t.Cleanup(db.Close)
	return &seal.Sealer{Dir: dir, Key: key, DB: db}
}

// Seal seals everything up to the bounds and closes.
func Seal(t testing.TB, dir string, events, findings uint64) *seal.Sealer {
	t.Helper()
	s := Sealer(t, dir)
	if _, err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	All(t, s, events, findings)
	return s
}

// All seals everything up to the bounds.
func All(t testing.TB, s *seal.Sealer, events, findings uint64) {
	t.Helper()
	for _, b := range []struct {
		kind  string
		floor uint64
	}{{seal.KindEvent, events}, {seal.KindFinding, findings}} {
		for more := true; more; {
			var err error
			if _, more, err = s.Step(context.Background(), b.kind, seal.Bound{Created: Created, Floor: b.floor}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Verify verifies a tenant as an account that sees every copy of a row.
func Verify(t testing.TB, dir, tenant string, edit ...func(*seal.VerifyOptions)) *seal.Report {
	t.Helper()
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	o := seal.VerifyOptions{Tenant: tenant, Dir: dir}
	for _, f := range edit {
		f(&o)
	}
	r, err := seal.Verify(context.Background(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Text is a report for a test's message.
func Text(r *seal.Report) string {
	b, _ := json.Marshal(r)
	return string(b)
}
