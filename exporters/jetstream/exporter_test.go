package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// records makes n records; bodies of size bytes that do not compress.
func records(first, n, size int) plog.Logs {
	ld := plog.NewLogs()
	p := event.TapPrefix("tap", 1)
	rnd := rand.New(rand.NewSource(int64(first)))
	var lrs plog.LogRecordSlice
	for i := range n {
		if i%3 == 0 { // several resources and scopes
			rl := ld.ResourceLogs().AppendEmpty()
			rl.Resource().Attributes().PutInt("resource", int64(i))
			lrs = rl.ScopeLogs().AppendEmpty().LogRecords()
		}
		lr := lrs.AppendEmpty()
		lr.Attributes().PutStr(event.AttrID, p.ID(int64(first+i)))
		b := make([]byte, size)
		rnd.Read(b)
		lr.Body().SetEmptyBytes().FromRaw(b)
	}
	return ld
}

func ids(ld plog.Logs) []string {
	var out []string
	for i := range ld.ResourceLogs().Len() {
		sls := ld.ResourceLogs().At(i).ScopeLogs()
		for j := range sls.Len() {
			for k := range sls.At(j).LogRecords().Len() {
				v, _ := sls.At(j).LogRecords().At(k).Attributes().Get(event.AttrID)
				out = append(out, v.AsString())
			}
		}
	}
	return out
}

func start(t *testing.T, s *natsdtest.Server, stream string, edit ...func(*Config)) exporter.Logs {
	t.Helper()
	cfg := defaultConfig()
	cfg.NATS, cfg.Stream = s.NATS(), stream
	for _, f := range edit {
		f(cfg)
	}
	if err := xconfmap.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// stored returns every message of the stream and all its records' ids, in order.
func stored(t *testing.T, js natsjs.JetStream, stream string) (msgs []*natsjs.RawStreamMsg, all []string) {
	t.Helper()
	ctx := context.Background()
	st, err := js.Stream(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	state := st.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
		m, err := st.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		ld, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(ld.LogRecordCount()); got != m.Header.Get(streams.HeaderCount) {
			t.Errorf("message %d has %s records, its header says %s", seq, got, m.Header.Get(streams.HeaderCount))
		}
		msgs = append(msgs, m)
		all = append(all, ids(ld)...)
	}
	return msgs, all
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Fatalf("got %d records, want %d: %.200q", len(got), len(want), got)
	}
}

func TestConfig(t *testing.T) {
	cm, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"jetstream/raw":        "",
		"jetstream/full":       "",
		"jetstream/custom":     "",
		"jetstream/no_stream":  "stream must be set",
		"jetstream/dead":       "written by receivers only",
		"jetstream/no_subject": "subject must be set",
		"jetstream/subject":    "leave it out",
		"jetstream/wildcard":   "without wildcards",
		"jetstream/batch":      "max_batch_bytes",
		"jetstream/ack":        "ack_wait",
		"jetstream/trim":       "trim",
		"jetstream/duplicates": "limits.duplicates",
		"jetstream/nats":       "must not hold credentials",
	} {
		sub, err := cm.Sub(name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := NewFactory().CreateDefaultConfig()
		if err := sub.Unmarshal(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err = xconfmap.Validate(cfg)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestPublish(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	e := start(t, s, streams.Raw)
	ld := records(1, 10, 100)
	for range 3 { // a sender's retries
		if err := e.ConsumeLogs(context.Background(), ld); err != nil {
			t.Fatal(err)
		}
	}
	msgs, got := stored(t, js, streams.Raw)
	same(t, got, ids(ld))
	h := msgs[0].Header
	if len(msgs) != 1 || h.Get(streams.HeaderSchema) != "1" || h.Get(streams.HeaderType) != streams.ContentType || h.Get(streams.HeaderOrigin) != "" {
		t.Errorf("%d messages, headers %v", len(msgs), h)
	}
	if err := e.ConsumeLogs(context.Background(), plog.NewLogs()); err != nil {
		t.Errorf("empty batch: %v", err)
	}
	if msgs, _ := stored(t, js, streams.Raw); len(msgs) != 1 {
		t.Error("an empty batch made a message")
	}
}

// A message of RAW that is processed again makes no second message in EVENTS, whatever redaction did to it, and other
// messages of RAW do.
func TestDerivedBatchesAreRecognised(t *testing.T) {
	s := natsdtest.New(t)
	e := start(t, s, streams.Events)
	in := func(o streams.Origin, ld plog.Logs) {
		t.Helper()
		if err := e.ConsumeLogs(streams.WithOrigin(context.Background(), o), ld); err != nil {
			t.Fatal(err)
		}
	}
	o := streams.Origin{Stream: streams.Raw, Durable: "enrich", First: 5, Last: 5, ID: "m5"}
	in(o, records(1, 10, 100))
	o.Redelivered = true
	in(o, records(1, 10, 200))
	in(streams.Origin{Stream: streams.Raw, First: 6, Last: 6, ID: "m6"}, records(11, 10, 100))
	in(o, records(21, 5, 100)) // a second batch made from message 5
	msgs, got := stored(t, s.JS(), streams.Events)
	if len(msgs) != 3 || len(got) != 25 {
		t.Fatalf("%d messages, %d records", len(msgs), len(got))
	}
	if h := msgs[0].Header.Get(streams.HeaderOrigin); h != "RAW:5" {
		t.Errorf("origin %q", h)
	}
}

func TestFindingsOneMessageEach(t *testing.T) {
	s := natsdtest.New(t)
	e := start(t, s, streams.Findings)
	ld := records(1, 5, 10)
	n := 0
	for i := range ld.ResourceLogs().Len() {
		lrs := ld.ResourceLogs().At(i).ScopeLogs().At(0).LogRecords()
		for k := range lrs.Len() {
			if n < 4 { // the last has no id
				lrs.At(k).Attributes().PutStr(finding.AttrID, fmt.Sprintf("%032d", n%3)) // and two have the same
			}
			n++
		}
	}
	for range 2 {
		if err := e.ConsumeLogs(streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, First: 1, Last: 9}), ld); err != nil {
			t.Fatal(err)
		}
	}
	msgs, _ := stored(t, s.JS(), streams.Findings)
	if len(msgs) != 4 {
		t.Fatalf("%d messages, want 4", len(msgs))
	}
	if id := msgs[1].Header.Get(natsjs.MsgIDHeader); id != fmt.Sprintf("%032d", 1) {
		t.Errorf("id %q", id)
	}
}

func TestSplit(t *testing.T) {
	const target, limit = 64 << 10, 256 << 10
	f := func(ld plog.Logs, minParts, maxParts, wantBig int) {
		t.Helper()
		want := ids(ld)
		parts, big, err := split(ld, target, limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range parts {
			got = append(got, ids(p.ld)...)
			if len(p.body) > limit || len(p.body) > target && p.count > 1 || p.count != p.ld.LogRecordCount() {
				t.Errorf("part of %d records has %d bytes", p.count, len(p.body))
			}
		}
		nbig := 0
		if big != nil {
			nbig = big.LogRecordCount()
			got = append(got, ids(*big)...)
		}
		if nbig != wantBig || len(parts) < minParts || len(parts) > maxParts {
			t.Errorf("%d parts and %d too large", len(parts), nbig)
		}
		if wantBig == 0 {
			same(t, got, want)
		} else if len(got) != len(want) {
			t.Errorf("%d of %d records", len(got), len(want))
		}
		if strings.Join(ids(ld), "") != strings.Join(want, "") {
			t.Error("the caller's batch was changed")
		}
		again, _, _ := split(ld, target, limit)
		if len(again) != len(parts) {
			t.Error("not deterministic")
		}
		for i := range again {
			if streams.IngestID(again[i].ld) != streams.IngestID(parts[i].ld) {
				t.Error("not deterministic")
			}
		}
	}
	f(records(1, 1, 10), 1, 1, 0)
	f(records(1, 100, 100), 1, 1, 0)
	f(records(1, 100, 10_000), 16, 40, 0)
	f(records(1, 1, 200_000), 1, 1, 0)
	f(records(1, 3, 200_000), 3, 3, 0)
	f(records(1, 1, 300_000), 0, 0, 1)
	mixed := records(1, 10, 1000)
	records(11, 1, 300_000).ResourceLogs().MoveAndAppendTo(mixed.ResourceLogs())
	records(12, 10, 1000).ResourceLogs().MoveAndAppendTo(mixed.ResourceLogs())
	f(mixed, 2, 8, 1)
}

func TestOversizedRecord(t *testing.T) {
	s := natsdtest.New(t, func(o *natsd.Options) { o.MaxPayload = 1 << 20 })
	e := start(t, s, streams.Raw)
	ctx := context.Background()
	// Larger than a batch should be, but the server takes it.
	if err := e.ConsumeLogs(ctx, records(1, 1, 900<<10)); err != nil {
		t.Fatal(err)
	}
	err := e.ConsumeLogs(ctx, records(2, 1, 1100<<10))
	if !streams.Permanent(err) || status.Code(err) != codes.InvalidArgument {
		t.Fatalf("got %v", err)
	}
	mixed := records(10, 3, 100)
	records(20, 1, 1100<<10).ResourceLogs().MoveAndAppendTo(mixed.ResourceLogs())
	err = e.ConsumeLogs(ctx, mixed)
	var rest consumererror.Logs
	if !streams.Permanent(err) || !errors.As(err, &rest) || rest.Data().LogRecordCount() != 1 {
		t.Fatalf("got %v", err)
	}
	_, got := stored(t, s.JS(), streams.Raw)
	if len(got) != 4 {
		t.Errorf("%d records stored, want 4", len(got))
	}
}

func TestFullStream(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	e := start(t, s, streams.Raw, func(c *Config) { c.MaxBatchBytes, c.Limits.MaxBytes = 16<<10, 100_000 })
	ctx := context.Background()
	big := records(1, 100, 2000) // about 13 messages; 6 find room
	err := e.ConsumeLogs(ctx, big)
	if err == nil || streams.Permanent(err) {
		t.Fatalf("got %v", err)
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("code %s", status.Code(err))
	}
	var rest consumererror.Logs
	if !errors.As(err, &rest) {
		t.Fatalf("no rest in %T", err)
	}
	_, got := stored(t, js, streams.Raw)
	same(t, append(got, ids(rest.Data())...), ids(big))

	// Room again: the same batch once more stores what is missing and nothing twice.
	if _, err := streams.Ensure(ctx, js, func() streams.Spec { s, _ := streams.DefaultSpec(streams.Raw); return s }()); err != nil {
		t.Fatal(err)
	}
	if err := e.ConsumeLogs(ctx, big); err != nil {
		t.Fatal(err)
	}
	_, got = stored(t, js, streams.Raw)
	same(t, got, ids(big))
}

func TestTrimMakesRoom(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	ctx := context.Background()
	e := start(t, s, streams.Events, func(c *Config) {
		c.MaxBatchBytes, c.Limits.MaxBytes, c.Trim.Interval = 16<<10, 200_000, 20*time.Millisecond
	})
	cons, err := js.CreateConsumer(ctx, streams.Events, natsjs.ConsumerConfig{Durable: "slow", AckPolicy: natsjs.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for ; sent < 100; sent++ {
		if err = e.ConsumeLogs(ctx, records(100*sent, 1, 10_000)); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("unread messages were dropped")
	}
	b, _ := cons.Fetch(100, natsjs.FetchMaxWait(500*time.Millisecond))
	for m := range b.Messages() {
		m.DoubleAck(ctx)
	}
	eventually(t, "room", func() bool { return e.ConsumeLogs(ctx, records(100*sent, 1, 10_000)) == nil })
}

func TestAwayAndBack(t *testing.T) {
	s := natsdtest.New(t)
	e := start(t, s, streams.Raw, func(c *Config) { c.AckWait = time.Second })
	ctx := context.Background()
	if err := e.ConsumeLogs(ctx, records(1, 1, 10)); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := e.ConsumeLogs(ctx, records(2, 1, 10)); err == nil || streams.Permanent(err) {
		t.Fatalf("without a server: %v", err)
	}
	s.Start()
	eventually(t, "reconnect", func() bool { return e.ConsumeLogs(ctx, records(2, 1, 10)) == nil })
	// Deleted under our feet: made again.
	if err := s.JS().DeleteStream(ctx, streams.Raw); err != nil {
		t.Fatal(err)
	}
	if err := e.ConsumeLogs(ctx, records(3, 1, 10)); err == nil || streams.Permanent(err) {
		t.Fatalf("without a stream: %v", err)
	}
	if err := e.ConsumeLogs(ctx, records(3, 1, 10)); err != nil {
		t.Fatal(err)
	}
}

func TestStartBeforeTheServer(t *testing.T) {
	s := natsdtest.New(t)
	cfg := s.NATS()
	s.Stop()
	e := start(t, s, streams.Raw, func(c *Config) { c.NATS = cfg })
	if err := e.ConsumeLogs(context.Background(), records(1, 1, 10)); err == nil || streams.Permanent(err) {
		t.Fatalf("got %v", err)
	}
	s.Start()
	eventually(t, "connection", func() bool { return e.ConsumeLogs(context.Background(), records(1, 1, 10)) == nil })
}

func TestStartFailsOnWrongSetup(t *testing.T) {
	s := natsdtest.New(t)
	spec, _ := streams.DefaultSpec(streams.Raw)
	spec.WorkQueue = false
	if _, err := streams.Ensure(context.Background(), s.JS(), spec); err != nil {
		t.Fatal(err)
	}
	cfg := defaultConfig()
	cfg.NATS, cfg.Stream = s.NATS(), streams.Raw
	e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "retention") {
		t.Errorf("got %v", err)
	}
	e.Shutdown(context.Background())
}

func TestCancelledCall(t *testing.T) {
	s := natsdtest.New(t)
	e := start(t, s, streams.Raw)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.ConsumeLogs(ctx, records(1, 1, 10)); err == nil || streams.Permanent(err) {
		t.Fatalf("got %v", err)
	}
}

func TestErrorsHoldNoContent(t *testing.T) {
	s := natsdtest.New(t, func(o *natsd.Options) { o.MaxPayload = 1 << 20 })
	e := start(t, s, streams.Raw, func(c *Config) { c.Limits.MaxBytes = 1000 })
	const secret = "planted-secret"
	ld := plog.NewLogs()
	lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.Attributes().PutStr(event.AttrID, secret)
	b := make([]byte, 3000)
	rand.New(rand.NewSource(1)).Read(b)
	lr.Body().SetStr(secret)
	lr.Attributes().PutEmptyBytes(secret).FromRaw(b)
	if err := e.ConsumeLogs(context.Background(), ld); err == nil || strings.Contains(err.Error(), secret) {
		t.Fatalf("got %v", err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}
