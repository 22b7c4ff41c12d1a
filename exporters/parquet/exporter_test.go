package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pq "github.com/parquet-go/parquet-go"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const base = 1_800_000_000_000_000_000

func open(t testing.TB, dir string) *parquetExporter {
	t.Helper()
	cfg := newDefaultConfig()
	cfg.Dir = dir
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	e, err := newExporter(exportertest.NewNopSettings(Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	return e
}

func id(n int) string { return fmt.Sprintf("%032x", n) }

// message makes the batch of one message: three events of two tenants and two hours, and sometimes a finding.
func message(seq int) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutInt(event.AttrStreamSeq, int64(seq))
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	for i := range 3 {
		e := event.Event{Name: event.NameRequest, Time: base + int64(seq%2)*int64(time.Hour) + int64(i), Body: `{"a":"` + strings.Repeat("x", 100) + `"}`}
		e.ID, e.Tool, e.Tenant = id(seq*3+i), "read_file", []string{"acme", "a/../b", ""}[i]
		e.DataClasses = []string{"pii.email", "secret.key"}[:seq%3%2+i%2]
		e.Signals = map[string]float64{"b": 2, "a": 1.5}
		e.Labels = map[string]string{"env": "prod"}
		e.PrincipalVerified, e.DurationNanos = i == 1, int64(i)
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}

func merge(seqs ...int) plog.Logs {
	ld := plog.NewLogs()
	for _, s := range seqs {
		message(s).ResourceLogs().MoveAndAppendTo(ld.ResourceLogs())
	}
	return ld
}

// read returns the rows of a kind, as parquet-go reads them, by column.
func read(t testing.TB, dir, table string) (out []map[string]any) {
	t.Helper()
	files, err := Files(dir, table, time.Time{}, time.Unix(1<<40, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := pq.OpenFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		r := pq.NewReader(f)
		for {
			row := map[string]any{}
			if err := r.Read(&row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			out = append(out, row)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func counts(t testing.TB, dir string) map[string]int {
	out := map[string]int{}
	for _, r := range read(t, dir, "events") {
		out[fmt.Sprint(r["event_id"])]++
	}
	return out
}

func TestRowsAreReadBack(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	f := finding.Finding{Time: base}
	f.ID, f.Severity, f.EventIDs, f.Revision, f.FirstSeen = id(9), "high", []string{id(3), id(4)}, 5, base-1
	ld := merge(1)
	f.Encode(ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().AppendEmpty())
	if err := e.consume(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	if err := e.shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	rows := read(t, dir, "events")
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	i := slices.IndexFunc(rows, func(r map[string]any) bool { return r["event_id"] == id(4) })
	r := rows[i]
	for k, want := range map[string]any{"tool": "read_file", "tenant": "a/../b", "principal_verified": true, "duration_ns": int64(1), "event_name": "mcp.request", "stream_seq": int64(1)} {
		if r[k] != want {
			t.Errorf("%s is %v (%T)", k, r[k], r[k])
		}
	}
	if s := fmt.Sprint(r["data_classes"]); !strings.Contains(s, "pii.email") {
		t.Errorf("data_classes %s", s)
	}
	if s := fmt.Sprint(r["signals"]); !strings.Contains(s, "1.5") {
		t.Errorf("signals %s", s)
	}
	fs := read(t, dir, "findings")
	if len(fs) != 1 || fs[0]["finding_id"] != id(9) || fs[0]["revision"] != int64(5) || !strings.Contains(fmt.Sprint(fs[0]["event_ids"]), id(4)) {
		t.Errorf("%v", fs)
	}
	// Tenants cannot leave the folder.
	if outside, _ := filepath.Glob(filepath.Join(dir, "*")); len(outside) != 3 { // .lock, events, findings
		t.Errorf("%v", outside)
	}
	if f, _ := filepath.Glob(filepath.Join(dir, "events", "tenant=a%2F%2E%2E%2Fb", "date=*", "hour=*", "*.parquet")); len(f) != 1 {
		t.Error("the file of the odd tenant is elsewhere")
	}
}

// Whatever is combined, repeated, cut off by a crash and divided otherwise the next time: each event is in one file.
func TestEachEventIsInOneFile(t *testing.T) {
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		e := open(t, dir)
		const n = 30
		done := 0
		for done < n {
			k := min(1+rnd.IntN(8), n-done)
			seqs := make([]int, k)
			for i := range seqs {
				seqs[i] = done + i + 1
			}
			if err := e.consume(context.Background(), merge(seqs...)); err != nil {
				t.Fatal(err)
			}
			switch rnd.IntN(4) {
			case 0: // the acknowledgement is lost, and all come again alone
				for _, s := range seqs {
					if err := e.consume(context.Background(), merge(s)); err != nil {
						t.Fatal(err)
					}
				}
			case 1: // a crash between two files: some of them are not there, and the messages come again in other company
				files, _ := Files(dir, "events", time.Time{}, time.Unix(1<<40, 0))
				for _, f := range files {
					if in, _ := sequences(f); slices.ContainsFunc(in, func(s uint64) bool { return s > uint64(done) }) && rnd.IntN(2) == 0 {
						if err := os.Rename(f, filepath.Join(filepath.Dir(f), tmpPrefix+filepath.Base(f))); err != nil {
							t.Fatal(err)
						}
					}
				}
				_ = e.shutdown(context.Background())
				e = open(t, dir)
				k = 1 + rnd.IntN(k)
				if err := e.consume(context.Background(), merge(seqs[:k]...)); err != nil {
					t.Fatal(err)
				}
			}
			done += k
		}
		// In the end everything comes once more.
		for s := 1; s <= n; s += 7 {
			var seqs []int
			for i := s; i < min(s+7, n+1); i++ {
				seqs = append(seqs, i)
			}
			if err := e.consume(context.Background(), merge(seqs...)); err != nil {
				t.Fatal(err)
			}
		}
		_ = e.shutdown(context.Background())
		got := counts(t, dir)
		for s := 1; s <= n; s++ {
			for i := range 3 {
				if got[id(s*3+i)] != 1 {
					t.Errorf("seed %d: event %d of message %d is there %d times", seed, i, s, got[id(s*3+i)])
				}
			}
		}
		if len(got) != 3*n {
			t.Errorf("seed %d: %d events", seed, len(got))
		}
	}
}

func TestEqualBatchesMakeEqualFiles(t *testing.T) {
	var want []byte
	for range 3 {
		dir := t.TempDir()
		e := open(t, dir)
		if err := e.consume(context.Background(), merge(1, 2, 3)); err != nil {
			t.Fatal(err)
		}
		_ = e.shutdown(context.Background())
		files, _ := Files(dir, "events", time.Time{}, time.Unix(1<<40, 0))
		var b []byte
		for _, f := range files {
			x, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, x...)
		}
		if want == nil {
			want = b
		}
		if !bytes.Equal(b, want) {
			t.Error("the bytes differ")
		}
	}
}

func TestAFailedWriteIsTransientAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	defer func() { _ = e.shutdown(context.Background()) }()
	if err := os.WriteFile(filepath.Join(dir, "events"), nil, 0o600); err != nil { // a file where a folder must be
		t.Fatal(err)
	}
	err := e.consume(context.Background(), merge(1))
	if err == nil || streams.Permanent(err) || streams.Reason(err) != "file_error" || strings.Contains(err.Error(), "xxx") {
		t.Fatalf("%v", err)
	}
	_ = os.Remove(filepath.Join(dir, "events"))
	if err := e.consume(context.Background(), merge(1)); err != nil {
		t.Fatal(err)
	}
	if n := len(counts(t, dir)); n != 3 {
		t.Errorf("%d events", n)
	}
}

func TestForeignFilesAreNotTrusted(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	defer func() { _ = e.shutdown(context.Background()) }()
	folder := place{e.events, "acme", base / int64(time.Hour)}.path(dir)
	if err := mkdirs(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, fileName(1, 9)), []byte("PAR1 no such thing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.consume(context.Background(), merge(2)); err == nil || streams.Permanent(err) {
		t.Errorf("%v", err)
	}
}

func TestAnyRecordMakesARow(t *testing.T) {
	ev, fi, err := newTables(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range []*sink.Record{{Event: &event.Event{}}, {Finding: &finding.Finding{}}, {Event: &event.Event{Body: "\xff", Extra: map[string]string{"\xff": "\xfe"}, Time: -1}}} {
		tb := ev
		if rec.Finding != nil {
			tb = fi
		}
		var b bytes.Buffer
		w := pq.NewWriter(&b, tb.schema)
		if _, err := w.WriteRows([]pq.Row{tb.row(rec)}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigurations(t *testing.T) {
	f := func(settings map[string]any, want string) {
		t.Helper()
		cfg := newDefaultConfig()
		err := confmap.NewFromStringMap(settings).Unmarshal(cfg)
		if err == nil {
			err = cfg.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", settings, err, want)
		}
	}
	f(map[string]any{"dir": "/x"}, "")
	f(map[string]any{}, "dir must be")
	f(map[string]any{"dir": "/x", "route": map[string]any{"sample": 2}}, "route: sample")
}

func TestAFolderHasOneWriter(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	defer func() { _ = e.shutdown(context.Background()) }()
	other, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(Type), &Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
	_ = other.Shutdown(context.Background())
}

func FuzzName(f *testing.F) {
	f.Add(fileName(1, 2))
	f.Add("-.parquet")
	f.Fuzz(func(t *testing.T, s string) {
		if a, b, ok := parseName(s); ok && a <= b {
			if x, y, ok := parseName(fileName(a, b)); !ok || x != a || y != b {
				t.Errorf("%d-%d", x, y)
			}
		}
	})
}
