package clickhouse

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

// BenchmarkEncode: rows into columns and columns into the wire form, from decoded events.
func BenchmarkEncode(b *testing.B) {
	g := newGenerator(1, time.Now())
	const n = 8192
	var events []event.Event
	for len(events) < n {
		p := g.pair()
		events = append(events, p[0], p[1])
	}
	blk := newEventBlock()
	var buf proto.Buffer
	b.ReportAllocs()
	for b.Loop() {
		blk.reset()
		buf.Reset()
		for i := range events {
			blk.append(&events[i], normalise(&events[i]))
		}
		if err := (&proto.Block{Columns: len(blk.in), Rows: n}).EncodeBlock(&buf, proto.Version, blk.in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	b.ReportMetric(float64(len(buf.Buf))/n, "wire-B/row")
}

// BenchmarkDecodeAndEncode adds the decoding of the OTLP record.
func BenchmarkDecodeAndEncode(b *testing.B) {
	g := newGenerator(1, time.Now())
	const n = 8192
	ld := g.batch(n, 1)
	blk := newEventBlock()
	var ev event.Event
	b.ReportAllocs()
	for b.Loop() {
		blk.reset()
		rl := ld.ResourceLogs().At(0)
		for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
			event.Decode(rl.Resource(), lr, &ev)
			blk.append(&ev, normalise(&ev))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}

// BenchmarkInsert: whole batches through the exporter into the embedded engine, each synced to disk, and not synced to see what that costs.
func BenchmarkInsert(b *testing.B) {
	for _, sync := range []int{1, 0} {
		for _, n := range []int{500, 5000, 20000} {
			b.Run(fmt.Sprintf("sync=%d/%d", sync, n), func(b *testing.B) { benchmarkInsert(b, sync, n) })
		}
	}
}

func benchmarkInsert(b *testing.B, sync, n int) {
	admin := storetest.Open(b, chdb.UserAdmin)
	if err := admin.Exec(context.Background(), fmt.Sprintf("ALTER TABLE mcpsiem.events MODIFY SETTING fsync_after_insert = %d, fsync_part_directory = %d", sync, sync)); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := admin.Exec(context.Background(), "ALTER TABLE mcpsiem.events RESET SETTING fsync_after_insert, fsync_part_directory"); err != nil {
			b.Fatal(err)
		}
	}()
	truncate(b, "events")
	e := newTestExporter(b, testConfig())
	g := newGenerator(1, time.Now().Add(-time.Hour))
	for b.Loop() {
		b.StopTimer()
		ld := g.batch(n, int64(b.N))
		b.StartTimer()
		if err := e.ConsumeLogs(context.Background(), ld); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkStore measures disk and queries on MCPSIEM_BENCH_ROWS events (default 200,000) and prints what it finds.
func BenchmarkStore(b *testing.B) {
	rows := 200_000
	if n, err := strconv.Atoi(os.Getenv("MCPSIEM_BENCH_ROWS")); err == nil {
		rows = n
	}
	truncate(b, "events")
	e := newTestExporter(b, testConfig())
	g := newGenerator(1, time.Now().Add(-12*time.Hour))
	for i := range rows / 20000 {
		if err := e.ConsumeLogs(context.Background(), g.batch(20000, int64(i+1))); err != nil {
			b.Fatal(err)
		}
	}
	admin, analyst := storetest.Open(b, chdb.UserAdmin), storetest.Open(b, chdb.UserAnalyst)
	timed := func(name, q string) {
		best := time.Hour
		for range 3 {
			began := time.Now()
			var out string
			if err := analyst.QueryRow(context.Background(), q).Scan(&out); err != nil {
				b.Fatal(name, err)
			}
			best = min(best, time.Since(began))
		}
		fmt.Printf("%-40s %8.1f ms\n", name, float64(best.Microseconds())/1000)
	}
	at := time.Unix(0, g.now).UTC().Format("2006-01-02 15:04:05")
	queries := func(stage string) {
		timed(stage+": count", "SELECT toString(count()) FROM events")
		timed(stage+": count, final off in view", "SELECT toString(uniqExact(event_id)) FROM events")
		timed(stage+": tools, 15 min", "SELECT toString(groupArray(x)) FROM (SELECT (tool, count()) AS x FROM events WHERE ts > toDateTime('"+at+"') - 900 GROUP BY tool)")
		timed(stage+": tools, all", "SELECT toString(groupArray(x)) FROM (SELECT (tool, count()) AS x FROM events GROUP BY tool)")
		timed(stage+": mcp_calls, 15 min, 50 rows", "SELECT toString(count()) FROM (SELECT started, principal_id, server, tool, outcome, duration_ms, arguments, result FROM mcp_calls WHERE started > toDateTime('"+at+"') - 900 ORDER BY started DESC LIMIT 50)")
		timed(stage+": mcp_calls, 1 h, outcomes", "SELECT toString(groupArray(x)) FROM (SELECT (outcome, count(), quantile(0.95)(duration_ms)) AS x FROM mcp_calls WHERE started > toDateTime('"+at+"') - 3600 GROUP BY outcome)")
		timed(stage+": mcp_calls, all, newest 20", "SELECT toString(groupArray(x)) FROM (SELECT tuple(started, principal_id, server, tool, outcome) AS x FROM mcp_calls ORDER BY started DESC LIMIT 20)")
		timed(stage+": accounting", "SELECT toString(groupArray(x)) FROM (SELECT tuple(*) AS x FROM accounting)")
		timed(stage+": taps", "SELECT toString(count()) FROM taps WHERE NOT ignore(*)")
	}
	queries("fresh")
	if err := admin.Exec(context.Background(), "OPTIMIZE TABLE mcpsiem.events FINAL"); err != nil {
		b.Fatal(err)
	}
	queries("merged")
	var total, body, parts uint64
	if err := admin.QueryRow(context.Background(), "SELECT sum(bytes_on_disk), count() FROM system.parts WHERE active AND table = 'events' AND database = 'mcpsiem'").Scan(&total, &parts); err != nil {
		b.Fatal(err)
	}
	if err := admin.QueryRow(context.Background(), "SELECT sum(column_data_compressed_bytes) FROM system.parts_columns WHERE active AND table = 'events' AND database = 'mcpsiem' AND column = 'body'").Scan(&body); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("%d events in %d parts: %.1f B an event on disk, content %.1f, beyond it %.1f\n", rows, parts, float64(total)/float64(rows), float64(body)/float64(rows), float64(total-body)/float64(rows))
	r, err := admin.Query(context.Background(), "SELECT column, toFloat64(sum(column_bytes_on_disk)) AS n FROM system.parts_columns WHERE active AND table = 'events' AND database = 'mcpsiem' GROUP BY column ORDER BY n DESC LIMIT 24")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for r.Next() {
		var c string
		var n float64
		if err := r.Scan(&c, &n); err != nil {
			b.Fatal(err)
		}
		fmt.Printf("  %-24s %6.2f\n", c, n/float64(rows))
	}
	for b.Loop() { // everything was measured above
	}
}
