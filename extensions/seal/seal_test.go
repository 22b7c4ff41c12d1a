package seal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
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
	with := func(k string, v any) map[string]any {
		m := map[string]any{"clickhouse": map[string]any{"endpoint": "127.0.0.1:9000"}, "dir": "/d", "key_file": "/k"}
		if k != "" {
			m[k] = v
		}
		return m
	}
	f(with("", nil), "")
	f(with("anchors", map[string]any{"file": "/f", "dir": "/d"}), "")
	f(with("clickhouse", map[string]any{}), "clickhouse.endpoint")
	f(with("clickhouse", map[string]any{"endpoint": "a", "database": "a`b"}), "clickhouse.database")
	f(with("clickhouse", map[string]any{"endpoint": "a", "password": "a", "password_file": "b"}), "only one of password")
	f(with("dir", "relative"), "dir must be")
	f(with("key_file", ""), "key_file must be")
	f(with("interval", "0s"), "interval")
	f(with("anchor_interval", "0s"), "anchor_interval")
	f(with("max_rows", 0), "max_rows")
	f(with("stores", map[string]any{"RAW": "x"}), "stores")
	f(with("stores", map[string]any{"EVENTS": "a.b"}), "stores")
}

// site is streams, a store, its consumers, and a seal.
type site struct {
	t   *testing.T
	s   *natsdtest.Server
	js  jetstream.JetStream
	exp exporter.Logs
	dir string
}

func newSite(t *testing.T) *site {
	t.Helper()
	x := &site{t: t, s: natsdtest.New(t), dir: t.TempDir()}
	sealtest.Clear(t, storetest.Open(t, chdb.UserAdmin))
	x.js, x.exp = x.s.JS(), sealtest.Exporter(t)
	for _, n := range []string{streams.Events, streams.Findings, streams.Dead} {
		spec, _ := streams.DefaultSpec(n)
		if _, err := streams.Ensure(context.Background(), x.js, spec); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// host remembers what a component reports.
type host struct {
	component.Host
	status chan componentstatus.Status
}

func (h *host) Report(e *componentstatus.Event) {
	select {
	case h.status <- e.Status():
	default:
	}
}

func (x *site) start(edit ...func(*Config)) (*sealExtension, *host) {
	x.t.Helper()
	cfg := defaultConfig()
	ch := storetest.Config(chdb.UserPipeline)
	cfg.NATS, cfg.Interval, cfg.AnchorInterval = x.s.NATS(), 20*time.Millisecond, 50*time.Millisecond
	cfg.ClickHouse.Endpoint, cfg.ClickHouse.Username, cfg.ClickHouse.Password = ch.Endpoint, ch.Username, configopaque.String(ch.Password)
	cfg.Dir, cfg.KeyFile = filepath.Join(x.dir, "seal"), filepath.Join(x.dir, "seal.key")
	for _, f := range edit {
		f(cfg)
	}
	if err := cfg.Validate(); err != nil {
		x.t.Fatal(err)
	}
	e, err := newSeal(extensiontest.NewNopSettings(Type), cfg)
	if err != nil {
		x.t.Fatal(err)
	}
	h := &host{componenttest.NewNopHost(), make(chan componentstatus.Status, 10)}
	if err := e.Start(context.Background(), h); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { e.Shutdown(context.Background()) })
	return e, h
}

func (x *site) publish(n string, ld plog.Logs) {
	x.t.Helper()
	if _, err := streams.Publish(context.Background(), x.js, streams.Events, n, ld); err != nil {
		x.t.Fatal(err)
	}
}

// store stores what is in EVENTS, as the store's consumer; ack false leaves the last message unacknowledged.
func (x *site) store(ack bool) {
	x.t.Helper()
	c, err := x.js.CreateOrUpdateConsumer(context.Background(), streams.Events, jetstream.ConsumerConfig{Durable: "clickhouse", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: time.Second, FilterSubjects: streams.Filters(streams.SubjectEvents, "clickhouse")})
	if err != nil {
		x.t.Fatal(err)
	}
	b, err := c.FetchNoWait(1000)
	if err != nil {
		x.t.Fatal(err)
	}
	for m := range b.Messages() {
		ld, err := streams.Decode(m.Data(), streams.EncodingZstd)
		if err != nil {
			x.t.Fatal(err)
		}
		meta, _ := m.Metadata()
		for i := range ld.ResourceLogs().Len() {
			ld.ResourceLogs().At(i).Resource().Attributes().PutInt(event.AttrStreamSeq, int64(meta.Sequence.Stream))
		}
		sealtest.Store(x.t, x.exp, ld)
		if ack {
			if err := m.DoubleAck(context.Background()); err != nil {
				x.t.Fatal(err)
			}
		}
	}
}

func (x *site) verify(tenant string) *seal.Report {
	x.t.Helper()
	return sealtest.Verify(x.t, filepath.Join(x.dir, "seal"), tenant)
}

func (x *site) eventually(what string, ok func() bool) {
	x.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if ok() {
			return
		}
	}
	x.t.Fatalf("not in time: %s", what)
}

func TestSealing(t *testing.T) {
	x := newSite(t)
	anchor := filepath.Join(x.dir, "anchors")
	e, _ := x.start(func(c *Config) { c.Anchors = AnchorConfig{File: anchor, Dir: anchor + ".d"} })
	x.publish("1", sealtest.Batch(0, sealtest.Events("acme", 1, 100)...))
	time.Sleep(100 * time.Millisecond)
	if r := x.verify("acme"); r.Size != 0 {
		t.Errorf("sealed before it was stored: %s", sealtest.Text(r))
	}
	x.store(true)
	x.eventually("sealed", func() bool { return x.verify("acme").Matched == 100 })

	// What is stored and not acknowledged is not sealed yet; delivered again, it is sealed once.
	x.publish("2", sealtest.Batch(0, sealtest.Events("acme", 101, 50)...))
	x.store(false)
	time.Sleep(200 * time.Millisecond)
	if r := x.verify("acme"); r.Size != 100 {
		t.Errorf("sealed before it was acknowledged: %s", sealtest.Text(r))
	}
	x.eventually("sealed", func() bool {
		x.store(true)
		r := x.verify("acme")
		return r.OK && r.Matched >= 150 && r.NotYetSealed == 0
	})

	// The checkpoint's record is in the trail, and is sealed itself; then there is peace.
	x.eventually("anchored", func() bool { x.store(true); return x.records() > 0 && x.verify("acme").NotYetSealed == 0 })
	time.Sleep(300 * time.Millisecond)
	x.store(true)
	n := x.records()
	for range 5 {
		time.Sleep(100 * time.Millisecond)
		x.store(true)
	}
	if m := x.records(); m != n || n > 3 {
		t.Errorf("records of checkpoints make further ones: %d, then %d", n, m)
	}
	if b, err := os.ReadFile(anchor); err != nil || strings.Count(string(b), "\n") != n {
		t.Errorf("%d lines of %d in anchors.file: %v", strings.Count(string(b), "\n"), n, err)
	}
	if entries, err := os.ReadDir(anchor + ".d"); err != nil || len(entries) != n {
		t.Errorf("%d files in anchors.dir: %v", len(entries), err)
	}

	// A restart goes on where it was.
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	x.publish("3", sealtest.Batch(0, sealtest.Events("acme", 151, 50)...))
	x.store(true)
	x.start(func(c *Config) { c.Anchors = AnchorConfig{File: anchor} })
	x.eventually("sealed", func() bool { r := x.verify("acme"); return r.OK && r.Matched >= 200+uint64(n) && r.NotYetSealed == 0 })
	st, err := os.Stat(filepath.Join(x.dir, "seal.key"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("signing key: %v %v", st, err)
	}
}

// records counts the records of checkpoints in the stream.
func (x *site) records() int {
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	n := 0
	if err := db.Rows(context.Background(), seal.KindEvent, "audit_action = 'seal.checkpoint'", "", func(*seal.Row) error { n++; return nil }); err != nil {
		x.t.Fatal(err)
	}
	return n
}

func TestRefusesRollback(t *testing.T) {
	f := func(name string, do func(x *site)) {
		t.Run(name, func(t *testing.T) {
			x := newSite(t)
			anchor := filepath.Join(x.dir, "anchors")
			with := func(c *Config) { c.Anchors.File = anchor }
			e, _ := x.start(with)
			x.publish("1", sealtest.Batch(0, sealtest.Events("acme", 1, 100)...))
			x.store(true)
			x.eventually("anchored", func() bool { b, err := os.ReadFile(anchor); return err == nil && len(b) > 0 })
			if err := e.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			do(x)
			x.publish("2", sealtest.Batch(0, sealtest.Events("acme", 101, 10)...))
			x.store(true)
			_, h := x.start(with)
			x.eventually("permanent error", func() bool {
				select {
				case s := <-h.status:
					return s == componentstatus.StatusPermanentError
				default:
					return false
				}
			})
			x.eventually("record", func() bool {
				x.store(true)
				db := seal.NewDB(storetest.Config(chdb.UserAdmin))
				defer db.Close()
				found := errors.New("found")
				return errors.Is(db.Rows(context.Background(), seal.KindEvent, "audit_action = 'seal.refused'", "", func(*seal.Row) error { return found }), found)
			})
		})
	}
	f("log removed", func(x *site) { os.RemoveAll(filepath.Join(x.dir, "seal")) })
	f("log and tables removed, anchor kept", func(x *site) {
		os.RemoveAll(filepath.Join(x.dir, "seal"))
		for _, table := range []string{"seal_leaves", "seal_salts", "seal_checkpoints"} {
			if err := storetest.Open(x.t, chdb.UserAdmin).Exec(context.Background(), "TRUNCATE TABLE mcpsiem."+table); err != nil {
				x.t.Fatal(err)
			}
		}
	})
	f("tiles damaged", func(x *site) {
		p := filepath.Join(x.dir, "seal", "acme", "tile", "0")
		entries, _ := os.ReadDir(p)
		for _, e := range entries {
			parts, _ := os.ReadDir(filepath.Join(p, e.Name()))
			for _, w := range parts {
				if err := os.WriteFile(filepath.Join(p, e.Name(), w.Name()), make([]byte, 256*32), 0o600); err != nil {
					x.t.Fatal(err)
				}
			}
		}
	})
}

func TestStoreAway(t *testing.T) {
	x := newSite(t)
	x.publish("1", sealtest.Batch(0, sealtest.Events("acme", 1, 10)...))
	x.store(true)
	_, h := x.start(func(c *Config) { c.ClickHouse.Endpoint = "127.0.0.1:1" })
	x.eventually("error", func() bool {
		select {
		case s := <-h.status:
			return s == componentstatus.StatusRecoverableError
		default:
			return false
		}
	})
}
