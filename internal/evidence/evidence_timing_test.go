package evidence

import (
	"archive/zip"
	"context"
	"encoding/json"
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

// BenchmarkWhole stores, seals, verifies, exports and checks MCPSIEM_BENCH_EVENTS events (default 50,000) once and prints what each took, as soon as it is known.
func BenchmarkWhole(b *testing.B) {
	n := 50_000
	if v, err := strconv.Atoi(os.Getenv("MCPSIEM_BENCH_EVENTS")); err == nil {
		n = v
	}
	const batch, made = 10_000, 100_000
	if n%batch != 0 || n > made && n%made != 0 {
		b.Fatalf("%d events: it has to be a multiple of %d, and of %d beyond that", n, batch, made)
	}
	ctx := context.Background()
	dir := b.TempDir()
	admin := storetest.Open(b, chdb.UserAdmin)
	sealtest.Clear(b, admin)
	e := sealtest.Exporter(b)
	s := sealtest.Sealer(b, dir)
	if _, err := s.Open(ctx); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	begin := time.Now()
	say := func(what, text string) {
		load, _ := os.ReadFile("/proc/loadavg")
		fmt.Printf("%6.0f s  load %.4s  %-28s %s\n", time.Since(begin).Seconds(), load, what, text)
	}
	print := func(what string, d time.Duration, more ...any) {
		say(what, fmt.Sprintf("%9.2f s %8.1f us/event  %s", d.Seconds(), float64(d.Microseconds())/float64(n), fmt.Sprint(more...)))
	}
	var storing, sealing time.Duration
	timed := func(d *time.Duration, f func()) {
		began := time.Now()
		f()
		*d += time.Since(began)
	}
	for i := range min(n, made) / batch {
		ld := sealtest.Batch(uint64(i+1), sealtest.Events("acme", 1+i*batch, batch)...)
		timed(&storing, func() { sealtest.Store(b, e, ld) })
		timed(&sealing, func() { sealtest.All(b, s, uint64(i+1), 0) })
	}
	// What is beyond is copies, made by ClickHouse, with numbers, times and places of their own and the ids that their tap would have given them: what follows
	// reads them like any other.
	for k := made; k < n; k += made {
		id := fmt.Sprintf("lower(leftPad(hex(tap_seq + %d), 16, '0'))", k)
		id = fmt.Sprintf("toUUID(concat(substring(toString(event_id), 1, 19), substring(%[1]s, 1, 4), '-', substring(%[1]s, 5)))", id)
		copies := fmt.Sprintf("INSERT INTO mcpsiem.events SELECT * REPLACE (%[1]s AS event_id, %[1]s AS exchange_id, tap_seq + %[2]d AS tap_seq, stream_seq + %[3]d AS stream_seq, "+
			"ts + toIntervalMillisecond(%[4]d) AS ts, received + toIntervalMillisecond(%[4]d) AS received, exchange_start + toIntervalMillisecond(%[4]d) AS exchange_start) "+
			"FROM (SELECT * FROM mcpsiem.events WHERE stream_seq <= %[5]d) SETTINGS max_execution_time = 0, max_threads = 1, max_block_size = 16384, "+
			"min_insert_block_size_rows = 131072, min_insert_block_size_bytes = 134217728, throw_on_max_partitions_per_insert_block = 0", id, k, k/batch, k*10, made/batch)
		timed(&storing, func() {
			if err := admin.Exec(ctx, copies); err != nil {
				b.Fatal(err)
			}
		})
		timed(&sealing, func() { sealtest.All(b, s, uint64((k+made)/batch), 0) })
		if (k+made)%1_000_000 == 0 {
			say("so far", fmt.Sprintf("%d million: stored in %.0f s, sealed in %.0f s", (k+made)/1_000_000, storing.Seconds(), sealing.Seconds()))
		}
	}
	print("stored", storing)
	print("sealed", sealing)
	var disk uint64
	if err := admin.QueryRow(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table IN ('seal_leaves', 'seal_salts', 'seal_checkpoints')").Scan(&disk); err != nil {
		b.Error(err)
	}
	var tiles int64
	_ = filepath.Walk(dir, func(_ string, i os.FileInfo, err error) error {
		if err == nil && !i.IsDir() {
			tiles += i.Size()
		}
		return nil
	})
	say("disk", fmt.Sprintf("%9.1f B/event in tables, %.1f in tiles", float64(disk)/float64(n), float64(tiles)/float64(n)))

	// step runs f and prints what it took. What does not fit is said and does not end the run: the figures of an hour would be gone.
	step := func(what string, f func() (more string, ok bool, report any)) {
		debug.FreeOSMemory()
		of := []string{"self"}
		children, _ := filepath.Glob("/proc/self/task/*/children")
		for _, c := range children {
			b, _ := os.ReadFile(c)
			of = append(of, strings.Fields(string(b))...)
		}
		for _, p := range of {
			_ = os.WriteFile("/proc/"+p+"/clear_refs", []byte("5"), 0o200) // the peak begins anew
		}
		before := processors(of)
		began := time.Now()
		more, ok, report := f()
		took := time.Since(began)
		spent := processors(of)
		for i := range spent {
			spent[i] = (spent[i] - before[i]) / time.Duration(n)
		}
		peaks := make([]uint64, 2) // of this process and of the engine's
		for i, p := range of {
			b, _ := os.ReadFile("/proc/" + p + "/status")
			for line := range strings.Lines(string(b)) {
				if v, there := strings.CutPrefix(line, "VmHWM:"); there {
					var kb uint64
					fmt.Sscan(v, &kb)
					peaks[min(i, 1)] += kb
				}
			}
		}
		print(what, took, fmt.Sprintf("of CPUs %.1f, engine %.1f; peak %d MB, engine %d MB%s",
			float64(spent[0].Nanoseconds())/1e3, float64(spent[1].Nanoseconds())/1e3, peaks[0]>>10, peaks[1]>>10, more))
		if !ok {
			text, _ := json.Marshal(report)
			b.Errorf("%s: %.2000s", what, text)
		}
	}
	progress := func(what string) func(done, total uint64) {
		var next uint64 = 1_000_000
		return func(done, total uint64) {
			if done >= next && done < total {
				say(what, fmt.Sprintf("%.1f of %.1f million", float64(done)/1e6, float64(total)/1e6))
				next = (done/1_000_000 + 1) * 1_000_000
			}
		}
	}
	check := func(what string, good func(r *seal.Report) bool) {
		step(what, func() (string, bool, any) {
			db := seal.NewDB(storetest.Config(chdb.UserAdmin))
			defer db.Close()
			r, err := seal.Verify(ctx, db, seal.VerifyOptions{Tenant: "acme", Dir: dir, MaxProblems: 10, Progress: progress(what)})
			if err != nil {
				return ", " + err.Error(), false, err.Error()
			}
			return "", good(r), r
		})
	}
	check("audit verify", func(r *seal.Report) bool { return r.OK && r.Matched == uint64(n) })
	o := options(b, dir, filepath.Join(dir, "a.zip"))
	o.From, o.To, o.Progress = sealtest.Start, sealtest.Start.Add(365*24*time.Hour), progress("evidence export")
	step("evidence export", func() (string, bool, any) {
		db := seal.NewDB(storetest.Config(chdb.UserAdmin))
		defer db.Close()
		defer debug.SetGCPercent(debug.SetGCPercent(50)) // as the command does
		m, err := Export(ctx, db, o)
		if err != nil {
			return ", " + err.Error(), false, err.Error()
		}
		st, _ := os.Stat(o.Out)
		return fmt.Sprintf(", %.0f MB, %d B/event", float64(st.Size())/1e6, st.Size()/int64(n)), m.Events == uint64(n), m
	})
	step("evidence verify", func() (string, bool, any) {
		r, err := Verify(o.Out, o.Key.VerifierKey("acme"), seal.Trust{})
		if err != nil {
			return ", " + err.Error(), false, err.Error()
		}
		return "", r.OK && r.Events == uint64(n), r
	})
	if z, err := zip.OpenReader(o.Out); err == nil {
		size := map[string]uint64{}
		for _, f := range z.File {
			switch {
			case strings.HasSuffix(f.Name, ".leaves"), strings.HasPrefix(f.Name, "log/"):
				size["proof"] += f.CompressedSize64
			case strings.HasSuffix(f.Name, ".ndjson"):
				size["records"] += f.CompressedSize64
			default:
				size["tables"] += f.CompressedSize64
			}
		}
		z.Close()
		of := func(what string) float64 { return float64(size[what]) / float64(n) }
		say("bundle", fmt.Sprintf("%9.1f B/event records, %.1f proof, %.1f tables", of("records"), of("proof"), of("tables")))
	}
	_ = os.Remove(o.Out)
	// All rows gone: each leaf is looked into.
	if err := admin.Exec(ctx, "TRUNCATE TABLE mcpsiem.events SETTINGS max_table_size_to_drop = 0, max_partition_size_to_drop = 0"); err != nil {
		b.Error(err)
	} else {
		check("audit verify, all rows gone", func(r *seal.Report) bool { return !r.OK && r.ProblemCount == uint64(n) })
	}
	for b.Loop() { // what is measured is above
	}
}

// processors is the time of CPUs that processes have had, the first and all others.
func processors(of []string) (spent [2]time.Duration) {
	for i, p := range of {
		b, _ := os.ReadFile("/proc/" + p + "/stat")
		_, fields, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(fields); len(f) > 12 {
			for _, ticks := range f[11:13] { // user, system; of 10 ms
				n, _ := strconv.Atoi(ticks)
				spent[min(i, 1)] += time.Duration(n) * 10 * time.Millisecond
			}
		}
	}
	return spent
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
