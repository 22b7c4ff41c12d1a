package journal

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type site struct {
	t   *testing.T
	s   *natsdtest.Server
	js  jetstream.JetStream
	dir string
}

func newSite(t *testing.T) *site {
	x := &site{t: t, s: natsdtest.New(t), dir: t.TempDir()}
	x.js = x.s.JS()
	spec, _ := streams.DefaultSpec(streams.Events)
	if _, err := streams.Ensure(context.Background(), x.js, spec); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *site) start(config map[string]any) *journal {
	x.t.Helper()
	f := NewFactory()
	cfg := f.CreateDefaultConfig().(*Config)
	cfg.NATS = x.s.NATS()
	cfg.StateFile, cfg.Interval, cfg.FailingFor = filepath.Join(x.dir, "journal.json"), 20*time.Millisecond, 50*time.Millisecond
	cfg.Watch = map[string]string{"budgets": filepath.Join(x.dir, "budgets.yaml")}
	if err := cfg.Validate(); err != nil {
		x.t.Fatal(err)
	}
	e, err := f.Create(context.Background(), extensiontest.NewNopSettings(Type), cfg)
	if err != nil {
		x.t.Fatal(err)
	}
	j := e.(*journal)
	if err := j.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		x.t.Fatal(err)
	}
	conf := map[string]any{"service": map[string]any{"pipelines": map[string]any{"logs": map[string]any{"processors": []any{"inspect"}, "exporters": []any{"jetstream/events", "elastic"}}}}}
	maps.Copy(conf, config)
	_ = j.NotifyConfig(context.Background(), confmap.NewFromStringMap(conf))
	_ = j.Ready()
	return j
}

// records waits until the trail holds what is wanted, "action target key=value", and nothing else.
func (x *site) records(want ...string) {
	x.t.Helper()
	var have []string
	for range 200 {
		have = have[:0]
		st, err := x.js.Stream(context.Background(), streams.Events)
		if err != nil {
			x.t.Fatal(err)
		}
		info, _ := st.Info(context.Background())
		for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
			m, err := st.GetMsg(context.Background(), seq)
			if err != nil {
				x.t.Fatal(err)
			}
			ld, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
			if err != nil {
				x.t.Fatal(err)
			}
			var e event.Event
			event.Decode(ld.ResourceLogs().At(0).Resource(), ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0), &e)
			have = append(have, e.AuditAction+" "+e.AuditTarget+" "+e.AuditDetails["unclean"])
			if strings.HasPrefix(e.AuditAction, "pipeline.st") && (e.AuditDetails["roles"] != "enrich export" || e.AuditDetails["version"] == "") {
				x.t.Errorf("%s says of its process %v", e.AuditAction, e.AuditDetails)
			}
			if e.PrincipalKind != "service" || strings.Contains(e.AuditDetails["config_sha256"], "secret") {
				x.t.Errorf("%+v", e)
			}
		}
		if len(have) >= len(want) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if strings.Join(have, "\n") != strings.Join(want, "\n") {
		x.t.Fatalf("have:\n%s\nwant:\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func TestStartStopConfigAndFiles(t *testing.T) {
	x := newSite(t)
	j := x.start(map[string]any{"a": "secret"})
	x.records("pipeline.start pipeline ")
	time.Sleep(60 * time.Millisecond)
	if err := os.WriteFile(filepath.Join(x.dir, "budgets.yaml"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.records("pipeline.start pipeline ", "budgets.change budgets.yaml ")
	if err := j.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := []string{"pipeline.start pipeline ", "budgets.change budgets.yaml ", "pipeline.stop pipeline "}
	x.records(want...)
	// While it is away, a file changes; and it is killed the second time.
	if err := os.WriteFile(filepath.Join(x.dir, "budgets.yaml"), []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	j = x.start(map[string]any{"a": "secret2"})
	for range 100 {
		j.mu.Lock()
		n := len(j.queue)
		j.mu.Unlock()
		if n == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	j.stop()
	j.done.Wait()
	j.nc.Close()
	j = x.start(map[string]any{"a": "secret2"})
	defer j.Shutdown(context.Background())
	for range 200 { // the file and the start are noticed at the same time
		if st, err := x.js.Stream(context.Background(), streams.Events); err == nil && st.CachedInfo().State.Msgs >= 7 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	st, _ := x.js.Stream(context.Background(), streams.Events)
	if n := st.CachedInfo().State.Msgs; n != 7 { // start, config, file; start (unclean)
		t.Errorf("%d records, want 7", n)
	}
}

func TestFailuresAreOnRecord(t *testing.T) {
	x := newSite(t)
	j := x.start(nil)
	defer j.Shutdown(context.Background())
	id := componentstatus.NewInstanceID(component.MustNewID("clickhouse"), component.KindExporter)
	x.records("pipeline.start pipeline ")
	j.ComponentStatusChanged(id, componentstatus.NewRecoverableErrorEvent(os.ErrClosed))
	j.ComponentStatusChanged(id, componentstatus.NewEvent(componentstatus.StatusOK)) // over at once: no record
	time.Sleep(150 * time.Millisecond)
	x.records("pipeline.start pipeline ")
	j.ComponentStatusChanged(id, componentstatus.NewRecoverableErrorEvent(os.ErrClosed))
	x.records("pipeline.start pipeline ", "logging.failed Exporter clickhouse ")
	j.ComponentStatusChanged(id, componentstatus.NewEvent(componentstatus.StatusOK))
	x.records("pipeline.start pipeline ", "logging.failed Exporter clickhouse ", "logging.restored Exporter clickhouse ")
}

// While the stream is away records wait, and none is lost.
func TestTheStreamIsWhatFails(t *testing.T) {
	x := newSite(t)
	j := x.start(nil)
	defer j.Shutdown(context.Background())
	x.records("pipeline.start pipeline ")
	x.s.Stop()
	id := componentstatus.NewInstanceID(component.MustNewID("jetstream"), component.KindReceiver)
	j.ComponentStatusChanged(id, componentstatus.NewRecoverableErrorEvent(os.ErrClosed))
	time.Sleep(200 * time.Millisecond)
	x.s.Start()
	x.js = x.s.JS()
	x.records("pipeline.start pipeline ", "logging.failed Receiver jetstream ")
}

func TestValidate(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		c.Interval, c.FailingFor = time.Second, time.Second
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f(Config{Watch: map[string]string{"x": "y"}}, "keys are")
	f(Config{Watch: map[string]string{"prices": ""}}, "needs a file")
}
