package tap

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// BenchmarkFrame is what a front end waits for: putting a frame into the queue.
func BenchmarkFrame(b *testing.B) {
	q := newQueue(1 << 40)
	s := &stream{r: &Recorder{q: q}}
	f := frame(cs, req("1", "tools/call", `{"name":"x","arguments":{"t":"`+strings.Repeat("y", 900)+`"}}`))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		s.Frame(f)
		if n++; n%1024 == 0 {
			q.take()
		}
	}
}

// BenchmarkDecode is the decode goroutine's work for one call, request and response of 1 KB each, up to the sealed batch.
func BenchmarkDecode(b *testing.B) {
	d := newLoneDecoder(b)
	s := &stream{r: d.r, n: 1, info: StreamInfo{Transport: event.TransportStdio, Server: "srv"}}
	text := strings.Repeat(`lorem ipsum \"dolor\" `, 40)
	var bytes int64
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		rq := frame(cs, req(fmt.Sprint(i), "tools/call", `{"name":"x","arguments":{"t":"`+text+`"}}`))
		rs := frame(sc, res(fmt.Sprint(i), `{"content":[{"type":"text","text":"`+text+`"}]}`))
		bytes = int64(len(rq.Data) + len(rs.Data))
		d.handle(&item{op: opFrame, s: s, f: rq})
		d.handle(&item{op: opFrame, s: s, f: rs})
		if d.bytes >= DefaultBatchBytes {
			d.pack()
		}
	}
	b.SetBytes(bytes)
}

// BenchmarkNew is what a tap's start waits for.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		start := time.Now()
		r, err := New(Config{Endpoint: "http://127.0.0.1:1", SpoolDir: b.TempDir(), SendTimeout: time.Millisecond})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Nanoseconds()), "ns/new")
		b.StopTimer()
		r.q.close()
		<-r.decoded
		r.sh.mu.Lock()
		r.sh.closing = true
		r.sh.mu.Unlock()
		r.sh.wakeUp()
		<-r.sh.done
		b.StartTimer()
	}
}
