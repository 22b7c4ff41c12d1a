package evidence

import (
	"archive/zip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

// BenchmarkWhole stores, seals, verifies, exports and checks MCPSIEM_BENCH_EVENTS events (default 50,000) once and prints what each took.
func BenchmarkWhole(b *testing.B) {
	n := 50_000
	if v, err := strconv.Atoi(os.Getenv("MCPSIEM_BENCH_EVENTS")); err == nil {
		n = v
	}
	dir := b.TempDir()
	admin := storetest.Open(b, chdb.UserAdmin)
	sealtest.Clear(b, admin)
	e := sealtest.Exporter(b)
	s := sealtest.Sealer(b, dir)
	if _, err := s.Open(context.Background()); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var storing, sealing time.Duration
	const batch, made = 10_000, 1_000_000
	for i := range min(n, made) / batch {
		ld := sealtest.Batch(uint64(i+1), sealtest.Events("acme", 1+i*batch, batch)...)
		began := time.Now()
		sealtest.Store(b, e, ld)
		storing += time.Since(began)
		began = time.Now()
		sealtest.All(b, s, uint64(i+1), 0)
		sealing += time.Since(began)
	}
	print := func(what string, d time.Duration, more ...any) {
		fmt.Printf("%-28s %9.2f s %8.1f us/event  %s\n", what, d.Seconds(), float64(d.Microseconds())/float64(n), fmt.Sprint(more...))
	}
	// Beyond the first million, rows are copies with ids, times and places of their own, made by ClickHouse: what follows reads them like any other.
	for k := made; k < n; k += made {
		began := time.Now()
		if err := admin.Exec(context.Background(), fmt.Sprintf("INSERT INTO mcpsiem.events SELECT * REPLACE (generateUUIDv4() AS event_id, tap_seq + %d AS tap_seq, stream_seq + %d AS stream_seq, ts + toIntervalSecond(%d) AS ts) FROM (SELECT * FROM mcpsiem.events WHERE tap_seq <= %d) SETTINGS max_execution_time = 0, max_threads = 1, max_block_size = 16384, min_insert_block_size_rows = 65536, min_insert_block_size_bytes = 67108864",
			k, k/batch, k/100, made)); err != nil {
			b.Fatal(err)
		}
		storing += time.Since(began)
		began = time.Now()
		sealtest.All(b, s, uint64(k/batch+made/batch), 0)
		sealing += time.Since(began)
		fmt.Printf("%d million, %.0f s\n", k/made+1, (storing + sealing).Seconds())
	}
	print("stored", storing)
	print("sealed", sealing)
	var disk uint64
	if err := admin.QueryRow(context.Background(), "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table IN ('seal_leaves', 'seal_salts', 'seal_checkpoints')").Scan(&disk); err != nil {
		b.Fatal(err)
	}
	var tiles int64
	_ = filepath.Walk(dir, func(_ string, i os.FileInfo, err error) error {
		if err == nil && !i.IsDir() {
			tiles += i.Size()
		}
		return nil
	})
	fmt.Printf("%-28s %9.1f B/event in tables, %.1f in tiles\n", "disk", float64(disk)/float64(n), float64(tiles)/float64(n))

	peak := func() string {
		b, _ := os.ReadFile("/proc/self/status")
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				return "peak " + strings.Join(strings.Fields(v), " ")
			}
		}
		return ""
	}
	reset := func() {
		debug.FreeOSMemory()
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200)
	}
	reset()
	began := time.Now()
	r := sealtest.Verify(b, dir, "acme")
	print("audit verify", time.Since(began), peak())
	if !r.OK || r.Matched != uint64(n) {
		b.Fatal(sealtest.Text(r))
	}
	o := options(b, dir, filepath.Join(dir, "a.zip"))
	o.To = o.From.Add(365 * 24 * time.Hour)
	o.From = sealtest.Start
	reset()
	began = time.Now()
	m := export(b, o)
	st, _ := os.Stat(o.Out)
	print("evidence export", time.Since(began), peak(), fmt.Sprintf(", %.0f MB, %d B/event", float64(st.Size())/1e6, st.Size()/int64(n)))
	reset()
	began = time.Now()
	v := verify(b, o.Out, o.Key.VerifierKey("acme"))
	print("evidence verify", time.Since(began), peak())
	if z, err := zip.OpenReader(o.Out); err == nil {
		var proof, records uint64
		for _, f := range z.File {
			switch {
			case strings.HasSuffix(f.Name, ".leaves"), strings.HasPrefix(f.Name, "log/"):
				proof += f.CompressedSize64
			case strings.HasSuffix(f.Name, ".ndjson"):
				records += f.CompressedSize64
			}
		}
		z.Close()
		fmt.Printf("%-28s %9.1f B/event records, %.1f proof\n", "bundle", float64(records)/float64(n), float64(proof)/float64(n))
	}
	if !v.OK || m.Events != uint64(n) {
		b.Fatal(text(v))
	}
	// All rows gone: each leaf is looked into.
	if err := admin.Exec(context.Background(), "TRUNCATE TABLE mcpsiem.events"); err != nil {
		b.Fatal(err)
	}
	reset()
	began = time.Now()
	r = sealtest.Verify(b, dir, "acme")
	print("audit verify, all rows gone", time.Since(began), peak())
	if r.OK || r.ProblemCount != uint64(n) {
		b.Fatal(sealtest.Text(r))
	}
	for b.Loop() { // what is measured is above
	}
}

// BenchmarkLeaf: what a row costs in hashing, a canonical form of 1 kB.
func BenchmarkLeaf(b *testing.B) {
	line := []byte(strings.Repeat("x", 1000))
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		seal.LeafHash(seal.Salt{1}, seal.Digest(line))
	}
}
