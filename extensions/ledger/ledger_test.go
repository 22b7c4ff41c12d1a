package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestMain(m *testing.M) {
	storetest.Main(func() int {
		before := goleak.IgnoreCurrent()
		code := m.Run()
		if err := goleak.Find(before); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

// memory is the table: one row a key, the last one written.
type memory struct {
	mu      sync.Mutex
	rows    map[string]row
	inserts int
	fail    bool
}

func (t *memory) insert(_ context.Context, rows []row) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inserts++
	if t.fail {
		return errors.New("ClickHouse is away")
	}
	for _, r := range rows {
		t.rows[fmt.Sprint(r.stream, "/", r.sink, "/", r.seq)] = r
	}
	return nil
}

func (t *memory) close() {}

func (t *memory) setFail(f bool) {
	t.mu.Lock()
	t.fail = f
	t.mu.Unlock()
}

func (t *memory) get(key string) (row, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rows[key]
	return r, ok
}

func (t *memory) sum(stream, sink string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.stream == stream && r.sink == sink {
			n += int(r.records)
		}
	}
	return n
}

func start(t *testing.T, s *natsdtest.Server, out writer, edit ...func(*Config)) *ledger {
	t.Helper()
	cfg := defaultConfig()
	cfg.NATS, cfg.Interval, cfg.Observe = s.NATS(), 10*time.Millisecond, 0
	cfg.ClickHouse.Endpoint = "127.0.0.1:1"
	for _, f := range edit {
		f(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	l, err := newLedger(extensiontest.NewNopSettings(Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		l.out = out
	}
	if err := l.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Shutdown(context.Background()) })
	return l
}

func ensure(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for _, n := range []string{streams.Raw, streams.Events, streams.Findings, streams.Dead, streams.RawDead} {
		spec, _ := streams.DefaultSpec(n)
		if _, err := streams.Ensure(context.Background(), js, spec); err != nil {
			t.Fatal(err)
		}
	}
}

func publish(t *testing.T, js jetstream.JetStream, stream string, count int) {
	t.Helper()
	m := &nats.Msg{Subject: streams.SubjectOf(stream), Data: []byte("body"), Header: nats.Header{}}
	m.Header.Set(streams.HeaderCount, fmt.Sprint(count))
	m.Header.Set(streams.HeaderOrigin, "RAW:1")
	if _, err := js.PublishMsg(context.Background(), m); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

// giveUp makes the oldest unread message for sink a dead letter.
func giveUp(t *testing.T, js jetstream.JetStream, stream, sink string) {
	t.Helper()
	ctx := context.Background()
	c, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{Durable: sink, AckPolicy: jetstream.AckExplicitPolicy,
		FilterSubjects: streams.Filters(streams.SubjectOf(stream), sink)})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := streams.PutDead(ctx, js, m, sink, "because"); err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestConfig(t *testing.T) {
	f := func(m map[string]any, want string) {
		t.Helper()
		cfg := NewFactory().CreateDefaultConfig().(*Config)
		err := confmap.NewFromStringMap(m).Unmarshal(cfg)
		if err == nil {
			err = cfg.Validate()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	ch := func(more ...string) map[string]any {
		m := map[string]any{"endpoint": "127.0.0.1:9000", "username": "u"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	f(map[string]any{"clickhouse": ch("database", "mcpsiem", "password_file", "/p"), "nats": map[string]any{"url": "nats://a:1"}, "durable": "l", "interval": "5s", "max_batch": 10}, "")
	f(map[string]any{}, "clickhouse.endpoint")
	f(map[string]any{"clickhouse": ch("database", "a`b")}, "clickhouse.database")
	f(map[string]any{"clickhouse": ch("password", "a", "password_file", "b")}, "only one of password")
	f(map[string]any{"clickhouse": ch(), "interval": "0s"}, "interval")
	f(map[string]any{"clickhouse": ch(), "max_batch": 0}, "max_batch")
	f(map[string]any{"clickhouse": ch(), "durable": "a.b"}, "durable")
}

// received = stored + dead-lettered, through letters, replays, a replay that fails again, and drops.
func TestAccount(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	ctx := context.Background()
	tab := &memory{rows: make(map[string]row)}
	start(t, s, tab, func(c *Config) { c.MaxBatch = 3 }) // before there are streams
	time.Sleep(50 * time.Millisecond)
	ensure(t, js)
	for i := range 10 {
		publish(t, js, streams.Events, 10+i)
	}
	publish(t, js, streams.Findings, 1)
	eventually(t, "received", func() bool { return tab.sum(streams.Events, "") == 145 && tab.sum(streams.Findings, "") == 1 })
	if r, _ := tab.get("EVENTS//3"); r.records != 12 || r.origin != "RAW:1" || time.Since(r.publishedAt) > time.Minute {
		t.Errorf("%+v", r)
	}
	for range 3 {
		giveUp(t, js, streams.Events, "sink")
	}
	eventually(t, "dead", func() bool { return tab.sum(streams.Events, "sink") == 10+11+12 })
	if r, _ := tab.get("EVENTS/sink/2"); r.reason != "because" || r.origin != "DEAD:2" {
		t.Errorf("%+v", r)
	}
	if _, err := streams.Replay(ctx, js, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one replayed", func() bool { return tab.sum(streams.Events, "sink") == 11+12 })
	if n := tab.sum(streams.Events, ""); n != 145 {
		t.Errorf("the replay was counted as received: %d", n)
	}
	// The replayed message is next but for the seven others.
	for range 7 {
		c, _ := js.Consumer(ctx, streams.Events, "sink")
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		m.DoubleAck(ctx)
	}
	giveUp(t, js, streams.Events, "sink")
	eventually(t, "given up again", func() bool { return tab.sum(streams.Events, "sink") == 10+11+12 })
	if err := streams.DropDead(ctx, js, 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "dropped", func() bool { r, _ := tab.get("EVENTS/sink/2"); return r.reason == streams.ReasonDropped })
	if n := tab.sum(streams.Events, "sink"); n != 10+11+12 {
		t.Errorf("a dropped letter counts as %d", n)
	}
	publish(t, js, streams.Raw, 5)
	giveUp(t, js, streams.Raw, "enrich")
	eventually(t, "raw letter", func() bool { return tab.sum(streams.Raw, "enrich") == 5 })
	for d := range streams.DeadLetters(ctx, js, 0) {
		if d.Stream == streams.Raw {
			if _, err := streams.Replay(ctx, js, d.Seq); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "raw replay", func() bool { return tab.sum(streams.Raw, "enrich") == 0 })
}

func TestClickHouseAway(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	ensure(t, js)
	tab := &memory{rows: make(map[string]row), fail: true}
	l := start(t, s, tab)
	for range 5 {
		publish(t, js, streams.Events, 1)
	}
	eventually(t, "attempts", func() bool { tab.mu.Lock(); defer tab.mu.Unlock(); return tab.inserts > 2 })
	tab.setFail(false)
	eventually(t, "rows", func() bool { return tab.sum(streams.Events, "") == 5 })
	l.Shutdown(context.Background())

	// A restart loses and repeats nothing that shows.
	publish(t, js, streams.Events, 1)
	start(t, s, tab)
	eventually(t, "rows", func() bool { return tab.sum(streams.Events, "") == 6 })
	eventually(t, "acknowledged", func() bool {
		c, err := js.Consumer(context.Background(), streams.Events, "ledger")
		return err == nil && c.CachedInfo().NumAckPending == 0 && c.CachedInfo().NumPending == 0
	})
}

func TestNoClickHouseAtAll(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	ensure(t, js)
	l := start(t, s, nil) // nothing listens there
	publish(t, js, streams.Events, 1)
	time.Sleep(200 * time.Millisecond)
	if err := l.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(context.Background(), streams.Events, "ledger")
	if i := c.CachedInfo(); err != nil || i.NumAckPending+int(i.NumPending) != 1 {
		t.Errorf("acknowledged without a row: %v", err)
	}
}

func TestServerRestart(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	ensure(t, js)
	tab := &memory{rows: make(map[string]row)}
	start(t, s, tab)
	publish(t, js, streams.Events, 1)
	eventually(t, "first", func() bool { return tab.sum(streams.Events, "") == 1 })
	s.Stop()
	s.Start()
	js = s.JS()
	publish(t, js, streams.Events, 1)
	eventually(t, "second", func() bool { return tab.sum(streams.Events, "") == 2 })
	if err := js.DeleteStream(context.Background(), streams.Events); err != nil {
		t.Fatal(err)
	}
	ensure(t, js)
	publish(t, js, streams.Events, 7)
	eventually(t, "stream made anew", func() bool { r, _ := tab.get("EVENTS//1"); return r.records == 7 })
}

func TestRowOfStrangers(t *testing.T) {
	f := func(stream string, h nats.Header, ok bool) {
		t.Helper()
		if _, got := rowOf(stream, 1, "x", h, time.Now()); got != ok {
			t.Errorf("%s %v: %t", stream, h, got)
		}
	}
	f(streams.Events, nil, true)
	f(streams.Events, nats.Header{streams.HeaderCount: {"-1"}}, true)
	f(streams.Events, nats.Header{streams.HeaderReplayOf: {"DEAD:1"}}, false)
	f(streams.Dead, nil, false)
	f(streams.Dead, nats.Header{streams.HeaderOrigin: {"EVENTS:1"}}, false)
	f(streams.Dead, nats.Header{streams.HeaderOrigin: {"EVENTS:1"}, streams.HeaderSink: {"s"}}, true)
	f(streams.Dead, nats.Header{streams.HeaderOrigin: {"junk"}, streams.HeaderSink: {"s"}}, false)
}

// The real table takes the rows, as the pipeline's user, and shows one for each message.
func TestRealTable(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	ensure(t, js)
	ch := storetest.Config(chdb.UserPipeline)
	admin := storetest.Open(t, chdb.UserAdmin)
	defer admin.Close()
	l := start(t, s, nil, func(c *Config) {
		c.ClickHouse.Endpoint, c.ClickHouse.Username, c.ClickHouse.Password = ch.Endpoint, ch.Username, configopaque.String(ch.Password)
	})
	for range 4 {
		publish(t, js, streams.Events, 10)
	}
	giveUp(t, js, streams.Events, "clickhouse")
	giveUp(t, js, streams.Events, "clickhouse")
	get := func() (received, dead, rows uint64) {
		err := admin.QueryRow(context.Background(), "SELECT sumIf(records, sink = ''), sumIf(records, sink = 'clickhouse'), count() FROM "+admin.Database+
			".ledger FINAL WHERE stream = 'EVENTS'").Scan(&received, &dead, &rows)
		if err != nil {
			t.Fatal(err)
		}
		return received, dead, rows
	}
	eventually(t, "rows", func() bool { r, d, _ := get(); return r == 40 && d == 20 })
	if _, err := streams.Replay(context.Background(), js, 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "replay", func() bool { r, d, n := get(); return r == 40 && d == 10 && n == 6 })

	// Counting all over again changes nothing.
	if err := l.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, name := range counted {
		if err := js.DeleteConsumer(context.Background(), name, "ledger"); err != nil {
			t.Fatal(err)
		}
	}
	start(t, s, nil, func(c *Config) {
		c.ClickHouse.Endpoint, c.ClickHouse.Username, c.ClickHouse.Password = ch.Endpoint, ch.Username, configopaque.String(ch.Password)
	})
	eventually(t, "read again", func() bool {
		c, err := js.Consumer(context.Background(), streams.Events, "ledger")
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	})
	if r, d, n := get(); r != 40 || d != 10 || n != 6 {
		t.Errorf("%d received, %d dead, %d rows", r, d, n)
	}
}
