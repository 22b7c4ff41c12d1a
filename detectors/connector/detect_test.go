package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	jsreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

var errBusy = errors.New("busy")

// sink takes findings and gives each to the test.
type sink struct {
	got    chan finding.Finding
	refuse func() error
}

func newSink() *sink { return &sink{got: make(chan finding.Finding, 10000)} }

func (s *sink) consume(_ context.Context, ld plog.Logs) error {
	if s.refuse != nil {
		if err := s.refuse(); err != nil {
			return err
		}
	}
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		for j := range rl.ScopeLogs().Len() {
			for k := range rl.ScopeLogs().At(j).LogRecords().Len() {
				var f finding.Finding
				finding.Decode(rl.Resource(), rl.ScopeLogs().At(j).LogRecords().At(k), &f)
				s.got <- f
			}
		}
	}
	return nil
}

// list is a tools/list result with one definition; seq numbers the events.
func list(seq int64, hash string) plog.Logs {
	var e event.Event
	e.Name, e.Kind, e.Method, e.Direction = event.NameResponse, event.KindResponse, "tools/list", event.ServerToClient
	e.Time = 1_767_600_000e9 + seq*3600e9
	e.Received = e.Time
	e.Tenant, e.Server, e.PrincipalID = "default", "notes", "alice"
	e.TapID, e.TapSeq = "tap", seq
	e.ID = event.TapID("tap", 0, seq)
	e.ToolDefs = []event.ToolDef{{Name: "read", Hash: hash}}
	ld := plog.NewLogs()
	e.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	return ld
}

func newConnector(t testing.TB, set connector.Settings, s *sink, conf map[string]any) connector.Logs {
	t.Helper()
	f := NewFactory()
	cfg := f.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(conf).Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	next, err := consumer.NewLogs(s.consume)
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.CreateLogsToLogs(context.Background(), set, cfg, next)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func start(t testing.TB, c component.Component) {
	t.Helper()
	if err := c.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
}

func stop(t testing.TB, c component.Component) {
	t.Helper()
	if err := c.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestLifecycle(t *testing.T) {
	f := NewFactory()
	if f.Type() != Type {
		t.Error(f.Type())
	}
	c := newConnector(t, connectortest.NewNopSettings(Type), newSink(), nil)
	stop(t, c) // never started
	c = newConnector(t, connectortest.NewNopSettings(Type), newSink(), map[string]any{"snapshot_dir": t.TempDir()})
	start(t, c)
	if c.Capabilities().MutatesData {
		t.Error("says that it changes events")
	}
	stop(t, c)
	c = newConnector(t, connectortest.NewNopSettings(Type), newSink(), map[string]any{"snapshot_dir": "/dev/null/x"})
	if err := c.Start(context.Background(), componenttest.NewNopHost()); err == nil {
		t.Error("starts although it cannot keep snapshots")
	}
	stop(t, c)
}

func TestStateSurvivesRestart(t *testing.T) {
	s := newSink()
	conf := map[string]any{"snapshot_dir": t.TempDir()}
	for i, hash := range []string{"a", "a", "b", "b", "a", "c"} {
		c := newConnector(t, connectortest.NewNopSettings(Type), s, conf)
		start(t, c)
		if err := c.ConsumeLogs(context.Background(), list(int64(i+1), hash)); err != nil {
			t.Fatal(err)
		}
		stop(t, c)
	}
	if n := len(s.got); n != 3 {
		t.Errorf("%d findings, want those of b, the return to a, and c", n)
	}
}

func TestErrorsGoUpstream(t *testing.T) {
	s := newSink()
	c := newConnector(t, connectortest.NewNopSettings(Type), s, nil)
	start(t, c)
	defer stop(t, c)
	if err := c.ConsumeLogs(context.Background(), list(1, "a")); err != nil {
		t.Fatal(err)
	}
	s.refuse = func() error { return errBusy }
	for range 2 {
		if err := c.ConsumeLogs(context.Background(), list(2, "b")); !errors.Is(err, errBusy) {
			t.Errorf("error is %v", err)
		}
	}
	s.refuse = nil
	if err := c.ConsumeLogs(context.Background(), list(2, "b")); err != nil || len(s.got) != 1 {
		t.Errorf("%d findings: %v", len(s.got), err)
	}
}

func TestMetrics(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer tel.Shutdown(context.Background())
	set := connectortest.NewNopSettings(Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	c := newConnector(t, set, newSink(), nil)
	start(t, c)
	defer stop(t, c)
	for _, ld := range []plog.Logs{list(1, "a"), list(2, "b"), list(2, "b"), list(4, "b")} {
		if err := c.ConsumeLogs(context.Background(), ld); err != nil {
			t.Fatal(err)
		}
	}
	f := func(name string, want int64, attrs ...string) {
		t.Helper()
		m, err := tel.GetMetric("otelcol_detect_" + name)
		if err != nil {
			t.Fatal(err)
		}
		var points []metricdata.DataPoint[int64]
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			points = d.DataPoints
		case metricdata.Gauge[int64]:
			points = d.DataPoints
		}
		got := int64(0)
		for _, p := range points {
			match := true
			for i := 0; i < len(attrs); i += 2 {
				v, _ := p.Attributes.Value(attribute.Key(attrs[i]))
				match = match && v.AsString() == attrs[i+1]
			}
			if match {
				got += p.Value
			}
		}
		if got != want {
			t.Errorf("%s%v is %d, want %d", name, attrs, got, want)
		}
	}
	f("events", 4)
	f("duplicates", 1)
	f("observations", 3, "rule", "tool_definition_drift")
	f("findings", 1, "rule", "tool_definition_drift", "severity", "low")
	f("findings_sent", 1)
	f("keys", 1, "rule", "tool_definition_drift")
	f("keys", 1, "rule", "capture_gap")
}

// rig is an embedded NATS server with the streams, and the pipeline EVENTS -> jetstream receiver -> detect -> sink.
type rig struct {
	t   testing.TB
	srv *natsdtest.Server
	nc  *nats.Conn
	js  jetstream.JetStream
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, srv: natsdtest.New(t)}
	var err error
	if r.nc, err = nats.Connect(r.srv.URL(), nats.UserInfo(natsdtest.User, natsdtest.Password)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nc.Close)
	if r.js, err = jetstream.New(r.nc); err != nil {
		t.Fatal(err)
	}
	spec, _ := streams.DefaultSpec(streams.Events)
	spec.MaxBytes = 64 << 20
	if _, err := streams.Ensure(context.Background(), r.js, spec); err != nil {
		t.Fatal(err)
	}
	dead, _ := streams.DefaultSpec(streams.Dead)
	dead.MaxBytes = 16 << 20
	if _, err := streams.Ensure(context.Background(), r.js, dead); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) nats() map[string]any {
	return map[string]any{"url": r.srv.URL(), "username": natsdtest.User, "password": natsdtest.Password}
}

func (r *rig) publish(subject string, ld plog.Logs) {
	r.t.Helper()
	b, err := streams.Encode(ld)
	if err != nil {
		r.t.Fatal(err)
	}
	m := nats.NewMsg(subject)
	m.Data = b
	m.Header.Set(streams.HeaderEncoding, streams.EncodingZstd)
	if _, err := r.js.PublishMsg(context.Background(), m); err != nil {
		r.t.Fatal(err)
	}
}

// pipeline is one process: a receiver in front of a connector.
type pipeline struct {
	t       testing.TB
	receive component.Component
	detect  connector.Logs
}

func (r *rig) start(s *sink, conf map[string]any) *pipeline {
	r.t.Helper()
	conf["nats"] = r.nats()
	p := &pipeline{t: r.t, detect: newConnector(r.t, connectortest.NewNopSettings(Type), s, conf)}
	start(r.t, p.detect)
	f := jsreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"nats": r.nats(), "stream": streams.Events, "durable": "detect", "create_stream": false,
		"retry": map[string]any{"initial": "20ms", "max": "50ms"}}).Unmarshal(cfg); err != nil {
		r.t.Fatal(err)
	}
	var err error
	if p.receive, err = f.CreateLogs(context.Background(), receivertest.NewNopSettings(f.Type()), cfg, p.detect); err != nil {
		r.t.Fatal(err)
	}
	start(r.t, p.receive)
	return p
}

// kill ends the process without the connector's last snapshot.
func (p *pipeline) kill() {
	stop(p.t, p.receive)
	for _, o := range p.detect.(*shares).all {
		o.d.mu.Lock()
		o.d.loaded = false
		o.d.mu.Unlock()
	}
	stop(p.t, p.detect)
}

func (p *pipeline) stop() {
	stop(p.t, p.receive)
	stop(p.t, p.detect)
}

func (r *rig) acked(n uint64) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := r.js.Consumer(context.Background(), streams.Events, "detect")
		if err == nil && c.CachedInfo().AckFloor.Stream >= n && c.CachedInfo().NumAckPending == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("messages up to %d are not acknowledged: %v", n, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func collect(s *sink) []string {
	var out []string
	for len(s.got) > 0 {
		f := <-s.got
		out = append(out, f.ID+" "+f.Summary)
	}
	slices.Sort(out)
	return out
}

// From the real stream through the real receiver: a process that dies without a snapshot knows after its restart what it knew,
// and sends nothing twice.
func TestCatchUpFromJetStream(t *testing.T) {
	for name, conf := range map[string]map[string]any{
		"without snapshots": {},
		"folder":            {"snapshot_dir": t.TempDir()},
		"bucket":            {"snapshot_bucket": "STATE"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := newSink()
			p := r.start(s, conf)
			for i := int64(1); i <= 5; i++ {
				r.publish(streams.SubjectEvents, list(i, "v"+strconv.FormatInt((i+1)/2, 10))) // v1 v1 v2 v2 v3
			}
			r.acked(5)
			p.stop() // a snapshot, where there is a place for it
			p = r.start(s, conf)
			for i := int64(6); i <= 9; i++ {
				r.publish(streams.SubjectEvents, list(i, "v"+strconv.FormatInt((i+1)/2, 10))) // v3 v4 v4 v5
			}
			r.publish(streams.ReplaySubject(streams.SubjectEvents, "clickhouse"), list(90, "other")) // for another consumer
			r.publish(streams.SubjectEvents, list(10, "v5"))
			r.acked(11)
			p.kill()
			p = r.start(s, conf)
			r.publish(streams.SubjectEvents, list(11, "v2")) // known: its return is raised once
			r.publish(streams.SubjectEvents, list(12, "v6"))
			r.acked(13)
			p.stop()
			if got := collect(s); len(got) != 6 {
				t.Errorf("%d findings, want one for each of v2 to v6 and one for the return to v2: %v", len(got), got)
			}
		})
	}
}

func TestSinkDownAndUp(t *testing.T) {
	r := newRig(t)
	s := newSink()
	refusals := 0
	s.refuse = func() error {
		if refusals++; refusals <= 3 {
			return errBusy
		}
		return nil
	}
	p := r.start(s, map[string]any{})
	for i := int64(1); i <= 6; i++ {
		r.publish(streams.SubjectEvents, list(i, fmt.Sprint("v", i)))
	}
	r.acked(6)
	p.stop()
	if got := collect(s); len(got) != 5 {
		t.Errorf("%d findings: %v", len(got), got)
	}
}

func TestBucketKeepsTwo(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	open := func() *bucket { return &bucket{js: r.js, bucket: "STATE", name: "detect"} }
	b := open()
	f := func(want ...string) {
		t.Helper()
		b = open() // as another process would
		got, err := b.Load(ctx)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d snapshots, want %d: %v", len(got), len(want), err)
		}
		for i := range want {
			if string(got[i]) != want[i] {
				t.Errorf("snapshot %d is %q", i, got[i])
			}
		}
	}
	f()
	for i := range 5 {
		if err := b.Save(ctx, []byte(fmt.Sprint("s", i))); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			f("s0")
		} else {
			f(fmt.Sprint("s", i), fmt.Sprint("s", i-1))
		}
	}
}
