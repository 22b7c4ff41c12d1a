package jetstream

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const secret = "planted-secret"

var (
	errTransient = fmt.Errorf("down: %s", secret)
	errPermanent = consumererror.NewPermanent(fmt.Errorf("refused: %s", secret))
)

// sink is the rest of the pipeline: it records what it gets and answers as judge says.
type sink struct {
	judge func(o streams.Origin, ld plog.Logs) error

	mu      sync.Mutex
	calls   []call
	records map[string]int // accepted, by event id
}

type call struct {
	origin streams.Origin
	ids    []string
	seqs   []int64 // of resources
	err    error
	at     time.Time
}

func newSink(judge func(streams.Origin, plog.Logs) error) *sink {
	return &sink{judge: judge, records: make(map[string]int)}
}

func (s *sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (s *sink) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	o, ok := streams.OriginFrom(ctx)
	if !ok {
		panic("no origin")
	}
	c := call{origin: o, at: time.Now()}
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		if v, ok := rl.Resource().Attributes().Get(event.AttrStreamSeq); ok {
			c.seqs = append(c.seqs, v.Int())
		}
		for j := range rl.ScopeLogs().Len() {
			for k := range rl.ScopeLogs().At(j).LogRecords().Len() {
				v, _ := rl.ScopeLogs().At(j).LogRecords().At(k).Attributes().Get(event.AttrID)
				c.ids = append(c.ids, v.AsString())
			}
		}
	}
	if s.judge != nil {
		c.err = s.judge(o, ld)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	if c.err == nil {
		for _, id := range c.ids {
			s.records[id]++
		}
	}
	// What the pipeline does with its copy must not matter.
	ld.ResourceLogs().RemoveIf(func(plog.ResourceLogs) bool { return true })
	return c.err
}

func (s *sink) seen() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *sink) accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}

type env struct {
	t   *testing.T
	s   *natsdtest.Server
	js  natsjs.JetStream
	log *observer.ObservedLogs
}

func newEnv(t *testing.T) *env {
	s := natsdtest.New(t)
	e := &env{t: t, s: s, js: s.JS()}
	e.ensure()
	return e
}

func (e *env) ensure() {
	e.t.Helper()
	for _, n := range []string{streams.Raw, streams.Events, streams.Findings, streams.Dead, streams.RawDead} {
		spec, _ := streams.DefaultSpec(n)
		if _, err := streams.Ensure(context.Background(), e.js, spec); err != nil {
			e.t.Fatal(err)
		}
	}
}

// batch makes records with ids "<first>".."<first+n-1>".
func batch(first, n int) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		lr := lrs.AppendEmpty()
		lr.Attributes().PutStr(event.AttrID, fmt.Sprint(first+i))
		lr.Body().SetStr(secret)
	}
	return ld
}

func (e *env) publish(stream string, first, n int) uint64 {
	e.t.Helper()
	b, err := streams.Encode(batch(first, n))
	if err != nil {
		e.t.Fatal(err)
	}
	return e.publishBytes(stream, b, n, fmt.Sprint("id-", first))
}

func (e *env) publishBytes(stream string, b []byte, n int, id string) uint64 {
	e.t.Helper()
	m := &nats.Msg{Subject: streams.SubjectOf(stream), Data: b, Header: nats.Header{}}
	m.Header.Set(streams.HeaderCount, fmt.Sprint(n))
	m.Header.Set(streams.HeaderEncoding, streams.EncodingZstd)
	ack, err := e.js.PublishMsg(context.Background(), m, natsjs.WithMsgID(id))
	if err != nil {
		e.t.Fatal(err)
	}
	return ack.Sequence
}

type statusHost struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *statusHost) Report(ev *componentstatus.Event) {
	h.mu.Lock()
	h.events = append(h.events, ev)
	h.mu.Unlock()
}

func (h *statusHost) last() componentstatus.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == 0 {
		return componentstatus.StatusNone
	}
	return h.events[len(h.events)-1].Status()
}

func (e *env) config(stream string, edit ...func(*Config)) *Config {
	cfg := defaultConfig()
	cfg.NATS, cfg.Stream, cfg.Durable = e.s.NATS(), stream, "sink"
	cfg.Retry = RetryConfig{Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	cfg.Circuit = CircuitConfig{Failures: 5, Pause: 20 * time.Millisecond, MaxPause: 200 * time.Millisecond}
	cfg.AckWait = 2 * time.Second
	for _, f := range edit {
		f(cfg)
	}
	return cfg
}

func (e *env) start(next consumer.Logs, stream string, edit ...func(*Config)) (receiver.Logs, *statusHost) {
	e.t.Helper()
	cfg := e.config(stream, edit...)
	if err := xconfmap.Validate(cfg); err != nil {
		e.t.Fatal(err)
	}
	set := receivertest.NewNopSettings(Type)
	core, logs := observer.New(zap.DebugLevel)
	e.log = logs
	set.Logger = zap.New(core)
	r, err := NewFactory().CreateLogs(context.Background(), set, cfg, next)
	if err != nil {
		e.t.Fatal(err)
	}
	host := &statusHost{Host: componenttest.NewNopHost()}
	if err := r.Start(context.Background(), host); err != nil {
		e.t.Fatal(err)
	}
	var once sync.Once
	e.t.Cleanup(func() {
		once.Do(func() {
			if err := r.Shutdown(context.Background()); err != nil {
				e.t.Error(err)
			}
		})
		for _, l := range logs.All() {
			text := l.Message + fmt.Sprint(l.ContextMap())
			if strings.Contains(text, secret) {
				e.t.Errorf("the log quotes content: %s", text)
			}
		}
	})
	return r, host
}

func (e *env) state(stream string) natsjs.StreamState {
	e.t.Helper()
	st, err := e.js.Stream(context.Background(), stream)
	if err != nil {
		e.t.Fatal(err)
	}
	return st.CachedInfo().State
}

func (e *env) unsettled(stream string) int {
	e.t.Helper()
	c, err := e.js.Consumer(context.Background(), stream, "sink")
	if err != nil {
		e.t.Fatal(err)
	}
	i := c.CachedInfo()
	return i.NumAckPending + int(i.NumPending)
}

func (e *env) letters() []streams.DeadLetter {
	e.t.Helper()
	var out []streams.DeadLetter
	for d, err := range streams.DeadLetters(context.Background(), e.js, 0) {
		if err != nil {
			e.t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
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

func TestConfig(t *testing.T) {
	cm, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"jetstream/store":       "",
		"jetstream/full":        "",
		"jetstream/quoted_time": "",
		"jetstream/no_durable":  "must be set",
		"jetstream/bad_durable": "durable",
		"jetstream/custom":      "filter_subjects",
		"jetstream/deliver":     "deliver",
		"jetstream/start_time":  "start_time",
		"jetstream/workers":     "workers",
		"jetstream/pending":     "max_ack_pending",
		"jetstream/retry":       "retry",
		"jetstream/quarantine":  "quarantine",
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

func TestDelivery(t *testing.T) {
	e := newEnv(t)
	next := newSink(nil)
	e.start(next, streams.Events)
	for i := range 10 {
		e.publish(streams.Events, 100*i, 5)
	}
	eventually(t, "all settled", func() bool { return next.accepted() == 50 && e.unsettled(streams.Events) == 0 })
	for i, c := range next.seen() {
		want := streams.Origin{Stream: streams.Events, Durable: "sink", First: uint64(i + 1), Last: uint64(i + 1), ID: fmt.Sprint("id-", 100*i)}
		if c.origin != want || len(c.seqs) != 1 || c.seqs[0] != int64(i+1) {
			t.Errorf("call %d: %+v", i, c)
		}
	}
	if n := len(next.seen()); n != 10 {
		t.Errorf("%d calls", n)
	}
}

func TestRawIsAWorkQueue(t *testing.T) {
	e := newEnv(t)
	next := newSink(nil)
	e.start(next, streams.Raw, func(c *Config) { c.Workers = 3 })
	for i := range 20 {
		e.publish(streams.Raw, 10*i, 2)
	}
	eventually(t, "the queue is empty", func() bool { return e.state(streams.Raw).Msgs == 0 && next.accepted() == 40 })
	for _, c := range next.seen() {
		if len(c.seqs) != 0 {
			t.Error("a sequence of RAW was set as one of EVENTS")
		}
	}
}

// With one worker the order holds even when messages have to be tried again.
func TestTransientKeepsOrder(t *testing.T) {
	e := newEnv(t)
	var n atomic.Int32
	next := newSink(func(streams.Origin, plog.Logs) error {
		if n.Add(1)%3 == 0 {
			return errTransient
		}
		return nil
	})
	e.start(next, streams.Events)
	for i := range 12 {
		e.publish(streams.Events, i, 1)
	}
	eventually(t, "all settled", func() bool { return next.accepted() == 12 && e.unsettled(streams.Events) == 0 })
	last, redelivered := uint64(0), 0
	for _, c := range next.seen() {
		if c.origin.First < last {
			t.Fatalf("message %d came after %d", c.origin.First, last)
		}
		if c.origin.First == last && !c.origin.Redelivered {
			t.Error("a second delivery is not marked")
		}
		if c.origin.Redelivered {
			redelivered++
		}
		last = c.origin.First
	}
	if redelivered < 4 {
		t.Errorf("only %d redeliveries", redelivered)
	}
	if len(e.letters()) != 0 {
		t.Error("a transient error made a dead letter")
	}
}

func TestRedeliveryBacksOff(t *testing.T) {
	r := RetryConfig{Initial: time.Second, Max: 10 * time.Second}
	f := func(n uint64, want time.Duration) {
		t.Helper()
		if got := r.backoff(n); got != want {
			t.Errorf("delivery %d: %s, want %s", n, got, want)
		}
	}
	f(1, time.Second)
	f(2, 2*time.Second)
	f(4, 8*time.Second)
	f(5, 10*time.Second)
	f(1<<60, 10*time.Second)
}

func TestPermanentError(t *testing.T) {
	e := newEnv(t)
	next := newSink(func(o streams.Origin, _ plog.Logs) error {
		if o.First == 2 {
			return errPermanent
		}
		return nil
	})
	e.start(next, streams.Events)
	for i := range 3 {
		e.publish(streams.Events, 10*i, 4)
	}
	eventually(t, "all settled", func() bool { return next.accepted() == 8 && e.unsettled(streams.Events) == 0 })
	ls := e.letters()
	if len(ls) != 1 || ls[0].Stream != streams.Events || ls[0].StreamSeq != 2 || ls[0].Sink != "sink" || ls[0].Count != 4 || ls[0].ID != "id-10" {
		t.Fatalf("%+v", ls)
	}
	if !strings.HasPrefix(ls[0].Reason, "permanent:") || strings.Contains(ls[0].Reason, secret) {
		t.Errorf("reason %q", ls[0].Reason)
	}
	if n := len(next.seen()); n != 3 {
		t.Errorf("%d calls: the message was tried again", n)
	}
	body, enc, err := streams.Body(context.Background(), e.js, ls[0].Seq)
	if err != nil {
		t.Fatal(err)
	}
	if ld, err := streams.Decode(body, enc); err != nil || ld.LogRecordCount() != 4 {
		t.Errorf("the dead letter does not hold the batch: %v", err)
	}
}

// Unredacted content never reaches DEAD.
func TestRawDeadLetter(t *testing.T) {
	e := newEnv(t)
	next := newSink(func(streams.Origin, plog.Logs) error { return streams.WithReason(errPermanent, "made_up") })
	e.start(next, streams.Raw, func(c *Config) { c.Quarantine.MaxAge = time.Hour })
	e.publish(streams.Raw, 1, 2)
	e.publishBytes(streams.Raw, []byte(secret), 9, "junk")
	eventually(t, "two letters", func() bool { return len(e.letters()) == 2 && e.state(streams.Raw).Msgs == 0 })
	st, _ := e.js.Stream(context.Background(), streams.Dead)
	for _, d := range e.letters() {
		m, err := st.GetMsg(context.Background(), d.Seq)
		if err != nil || len(m.Data) != 0 || strings.Contains(fmt.Sprint(m.Header), secret) {
			t.Errorf("letter %+v holds content: %v", d, err)
		}
		if d.KeptSeq == 0 {
			t.Errorf("no body was kept for %+v", d)
		}
	}
	if ls := e.letters(); ls[0].Reason != "made_up" || ls[1].Reason != streams.ReasonDecode || ls[1].Count != 9 {
		t.Errorf("%+v", ls)
	}
	kept, _ := e.js.Stream(context.Background(), streams.RawDead)
	if i := kept.CachedInfo(); i.State.Msgs != 2 || i.Config.MaxAge != time.Hour {
		t.Errorf("RAWDEAD: %d messages, max age %s", i.State.Msgs, i.Config.MaxAge)
	}
}

func TestReplayReachesThePipeline(t *testing.T) {
	for _, stream := range []string{streams.Raw, streams.Events} {
		e := newEnv(t)
		var broken atomic.Bool
		broken.Store(true)
		next := newSink(func(streams.Origin, plog.Logs) error {
			if broken.Load() {
				return errPermanent
			}
			return nil
		})
		e.start(next, stream)
		e.publish(stream, 1, 3)
		eventually(t, "a letter", func() bool { return len(e.letters()) == 1 })
		broken.Store(false)
		if _, err := streams.Replay(context.Background(), e.js, e.letters()[0].Seq); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the replay", func() bool { return next.accepted() == 3 })
	}
}

// If the letter cannot be written the message stays where it is.
func TestDeadStreamFull(t *testing.T) {
	for _, c := range []struct{ stream, full string }{{streams.Events, streams.Dead}, {streams.Raw, streams.RawDead}, {streams.Raw, streams.Dead}} {
		e := newEnv(t)
		spec, _ := streams.DefaultSpec(c.full)
		spec.MaxBytes = 10
		if _, err := streams.Ensure(context.Background(), e.js, spec); err != nil {
			t.Fatal(err)
		}
		next := newSink(func(streams.Origin, plog.Logs) error { return errPermanent })
		_, host := e.start(next, c.stream, func(cfg *Config) {
			if c.full == streams.RawDead {
				cfg.Quarantine.MaxBytes = 10
			}
		})
		e.publish(c.stream, 1, 1)
		eventually(t, "a second attempt", func() bool { return len(next.seen()) >= 2 })
		if e.unsettled(c.stream) != 1 || e.state(c.stream).Msgs != 1 {
			t.Fatalf("%s: the message is gone", c.stream)
		}
		if host.last() != componentstatus.StatusRecoverableError {
			t.Errorf("status %s", host.last())
		}
		if c.full == streams.RawDead {
			continue // the receiver sets that stream's limits itself
		}
		spec.MaxBytes = 1 << 20
		if _, err := streams.Ensure(context.Background(), e.js, spec); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the letter", func() bool { return len(e.letters()) == 1 && e.unsettled(c.stream) == 0 })
	}
}

func TestMaxAttempts(t *testing.T) {
	e := newEnv(t)
	next := newSink(func(streams.Origin, plog.Logs) error { return errTransient })
	e.start(next, streams.Events, func(c *Config) { c.Retry.MaxAttempts = 3 })
	e.publish(streams.Events, 1, 1)
	eventually(t, "a letter", func() bool { return len(e.letters()) == 1 && e.unsettled(streams.Events) == 0 })
	if n := len(next.seen()); n != 3 || e.letters()[0].Reason != streams.ReasonAttempts {
		t.Errorf("%d attempts, %+v", n, e.letters())
	}
}

func TestJoinedErrors(t *testing.T) {
	e := newEnv(t)
	var n atomic.Int32
	next := newSink(func(streams.Origin, plog.Logs) error {
		if n.Add(1) == 1 {
			return errors.Join(errPermanent, errTransient) // two exporters behind a fan-out
		}
		return nil
	})
	e.start(next, streams.Events)
	e.publish(streams.Events, 1, 1)
	eventually(t, "settled", func() bool { return next.accepted() == 1 && e.unsettled(streams.Events) == 0 })
	if len(e.letters()) != 0 {
		t.Error("a dead letter although one exporter could still take the batch")
	}
}

func TestPanicIsPoison(t *testing.T) {
	e := newEnv(t)
	next := newSink(func(o streams.Origin, _ plog.Logs) error {
		if o.First == 1 {
			panic(secret)
		}
		return nil
	})
	e.start(next, streams.Events)
	e.publish(streams.Events, 1, 1)
	e.publish(streams.Events, 2, 1)
	eventually(t, "settled", func() bool { return next.accepted() == 1 && e.unsettled(streams.Events) == 0 })
	if ls := e.letters(); len(ls) != 1 || ls[0].Reason != "panic" {
		t.Errorf("%+v", ls)
	}
}

// A batch that takes longer than ack_wait is not given to another worker.
func TestHeartbeat(t *testing.T) {
	e := newEnv(t)
	next := newSink(func(streams.Origin, plog.Logs) error { time.Sleep(2500 * time.Millisecond); return nil })
	e.start(next, streams.Events, func(c *Config) { c.AckWait, c.Workers, c.MaxAckPending = time.Second, 2, 10 })
	e.publish(streams.Events, 1, 1)
	eventually(t, "settled", func() bool { return next.accepted() == 1 && e.unsettled(streams.Events) == 0 })
	if n := len(next.seen()); n != 1 {
		t.Errorf("delivered %d times", n)
	}
}

func TestCircuit(t *testing.T) {
	e := newEnv(t)
	var down atomic.Bool
	down.Store(true)
	next := newSink(func(streams.Origin, plog.Logs) error {
		if down.Load() {
			return errTransient
		}
		return nil
	})
	_, host := e.start(next, streams.Events, func(c *Config) {
		c.Workers, c.MaxAckPending = 2, 100
		c.Circuit = CircuitConfig{Failures: 3, Pause: 300 * time.Millisecond, MaxPause: 300 * time.Millisecond}
		c.Retry = RetryConfig{Initial: time.Millisecond, Max: time.Millisecond}
	})
	for i := range 30 {
		e.publish(streams.Events, i, 1)
	}
	eventually(t, "open circuit", func() bool { return host.last() == componentstatus.StatusRecoverableError })
	time.Sleep(time.Second)
	if n := len(next.seen()); n > 3+1+6 {
		t.Errorf("%d calls in a second of failure: the circuit does not hold", n)
	}
	down.Store(false)
	eventually(t, "settled", func() bool { return next.accepted() == 30 && e.unsettled(streams.Events) == 0 })
	if host.last() != componentstatus.StatusOK {
		t.Errorf("status %s", host.last())
	}
}

func TestCombine(t *testing.T) {
	e := newEnv(t)
	next := newSink(nil)
	for i := range 20 {
		e.publish(streams.Events, 100*i, 10)
	}
	e.start(next, streams.Events, func(c *Config) { c.Combine.MaxMessages, c.Combine.MaxRecords = 16, 50 })
	eventually(t, "settled", func() bool { return next.accepted() == 200 && e.unsettled(streams.Events) == 0 })
	at := uint64(1)
	for _, c := range next.seen() {
		if c.origin.First != at || len(c.ids) > 50 || len(c.seqs) != int(c.origin.Last-c.origin.First+1) || c.origin.Redelivered {
			t.Errorf("%+v", c.origin)
		}
		if c.origin.First != c.origin.Last && c.origin.ID != "" {
			t.Error("a combined batch carries one message's id")
		}
		at = c.origin.Last + 1
	}
	if n := len(next.seen()); n > 8 {
		t.Errorf("%d calls for 20 messages", n)
	}
}

func TestCombinedPermanentFallsBack(t *testing.T) {
	e := newEnv(t)
	for i := range 6 {
		e.publish(streams.Events, 10*i, 2)
	}
	next := newSink(func(o streams.Origin, _ plog.Logs) error {
		if o.First <= 4 && 4 <= o.Last {
			return errPermanent
		}
		return nil
	})
	e.start(next, streams.Events, func(c *Config) { c.Combine.MaxMessages = 6 })
	eventually(t, "settled", func() bool { return next.accepted() == 10 && e.unsettled(streams.Events) == 0 })
	if ls := e.letters(); len(ls) != 1 || ls[0].StreamSeq != 4 {
		t.Errorf("%+v", ls)
	}
	for _, c := range next.seen()[1:] {
		if c.origin.First != c.origin.Last || !c.origin.Redelivered {
			t.Errorf("after the combined batch: %+v", c.origin)
		}
	}
}

func TestCombinedTransient(t *testing.T) {
	e := newEnv(t)
	for i := range 6 {
		e.publish(streams.Events, 10*i, 2)
	}
	var n atomic.Int32
	next := newSink(func(streams.Origin, plog.Logs) error {
		if n.Add(1) == 1 {
			return errTransient
		}
		return nil
	})
	e.start(next, streams.Events, func(c *Config) { c.Combine.MaxMessages = 6 })
	e.publish(streams.Events, 1000, 1)
	eventually(t, "settled", func() bool { return next.accepted() == 13 && e.unsettled(streams.Events) == 0 })
	for i, c := range next.seen() {
		if c.origin.Redelivered && c.origin.First != c.origin.Last {
			t.Errorf("call %d combines redelivered messages: %+v", i, c.origin)
		}
	}
}

func TestGroups(t *testing.T) {
	f := func(want string, msgs ...held) {
		t.Helper()
		var got []string
		for _, g := range groups(msgs, 10) {
			s := ""
			for _, m := range g {
				s += fmt.Sprint(m.seq)
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("got %q, want %q", strings.Join(got, " "), want)
		}
	}
	m := func(seq, delivered uint64, records int) held {
		return held{seq: seq, delivered: delivered, records: records}
	}
	f("")
	f("1", m(1, 1, 100))
	f("123", m(1, 1, 4), m(2, 1, 4), m(3, 1, 4))
	f("12 3", m(1, 1, 5), m(2, 1, 5), m(3, 1, 1))
	f("1 2 3 45", m(1, 1, 1), m(2, 2, 1), m(3, 3, 1), m(4, 1, 1), m(5, 1, 1))
	f("12", m(1, 1, 0), m(2, 1, 0))
}

// A process that dies between publishing downstream and acknowledging gets the message again, marked, with the same id.
func TestCrashBeforeAck(t *testing.T) {
	e := newEnv(t)
	cons, err := e.js.CreateConsumer(context.Background(), streams.Raw, natsjs.ConsumerConfig{Durable: "sink", AckPolicy: natsjs.AckExplicitPolicy,
		AckWait: time.Second, FilterSubjects: streams.Filters(streams.SubjectRaw, "sink")})
	if err != nil {
		t.Fatal(err)
	}
	e.publish(streams.Raw, 1, 3)
	m, err := cons.Next()
	if err != nil {
		t.Fatal(err)
	}
	id := m.Headers().Get(natsjs.MsgIDHeader) // and then the process is gone
	next := newSink(nil)
	e.start(next, streams.Raw)
	eventually(t, "redelivery", func() bool { return next.accepted() == 3 && e.state(streams.Raw).Msgs == 0 })
	if o := next.seen()[0].origin; !o.Redelivered || o.ID != id {
		t.Errorf("%+v", o)
	}
}

func TestShutdownFinishesWorkInHand(t *testing.T) {
	e := newEnv(t)
	entered := make(chan struct{}, 10)
	next := newSink(func(streams.Origin, plog.Logs) error {
		entered <- struct{}{}
		time.Sleep(500 * time.Millisecond)
		return nil
	})
	r, _ := e.start(next, streams.Events)
	e.publish(streams.Events, 1, 1)
	e.publish(streams.Events, 2, 1)
	<-entered
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if next.accepted() != 1 || e.unsettled(streams.Events) != 1 {
		t.Errorf("%d accepted, %d unsettled", next.accepted(), e.unsettled(streams.Events))
	}
	// The next process goes on at once, without waiting for ack_wait.
	again := newSink(nil)
	begin := time.Now()
	e.start(again, streams.Events, func(c *Config) { c.AckWait = time.Minute })
	eventually(t, "the second message", func() bool { return again.accepted() == 1 })
	if again.seen()[0].origin.First != 2 || time.Since(begin) > 15*time.Second {
		t.Errorf("%+v", again.seen())
	}
}

func TestShutdownOfStuckPipeline(t *testing.T) {
	e := newEnv(t)
	entered := make(chan struct{})
	stuck := consumerFunc(func(ctx context.Context, _ plog.Logs) error {
		close(entered)
		<-ctx.Done() // gives up only when its context does
		return ctx.Err()
	})
	r, _ := e.start(stuck, streams.Events, func(c *Config) { c.ShutdownTimeout = 200 * time.Millisecond })
	e.publish(streams.Events, 1, 1)
	<-entered
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if e.unsettled(streams.Events) != 1 {
		t.Error("the unfinished message was acknowledged")
	}
}

type consumerFunc func(context.Context, plog.Logs) error

func (f consumerFunc) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (f consumerFunc) ConsumeLogs(ctx context.Context, ld plog.Logs) error { return f(ctx, ld) }

func TestServerRestart(t *testing.T) {
	e := newEnv(t)
	next := newSink(nil)
	_, host := e.start(next, streams.Events)
	e.publish(streams.Events, 1, 1)
	eventually(t, "the first", func() bool { return next.accepted() == 1 })
	e.s.Stop()
	eventually(t, "status", func() bool { return host.last() == componentstatus.StatusRecoverableError })
	e.s.Start()
	e.js = e.s.JS()
	e.publish(streams.Events, 2, 1)
	eventually(t, "the second", func() bool { return next.accepted() == 2 && e.unsettled(streams.Events) == 0 })
	eventually(t, "status", func() bool { return host.last() == componentstatus.StatusOK })
	if n := len(next.seen()); n != 2 {
		t.Errorf("%d calls", n)
	}
}

// The server goes away while a batch is in work and comes back: the acknowledgement still arrives.
func TestServerRestartDuringWork(t *testing.T) {
	e := newEnv(t)
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	next := newSink(func(streams.Origin, plog.Logs) error { entered <- struct{}{}; <-leave; return nil })
	e.start(next, streams.Events, func(c *Config) { c.AckWait = 20 * time.Second })
	e.publish(streams.Events, 1, 1)
	<-entered
	e.s.Stop()
	close(leave)
	e.s.Start()
	e.js = e.s.JS()
	eventually(t, "settled", func() bool { return e.unsettled(streams.Events) == 0 })
	if n := len(next.seen()); n != 1 {
		t.Errorf("delivered %d times", n)
	}
}

func TestStartBeforeTheServer(t *testing.T) {
	e := newEnv(t)
	e.publish(streams.Events, 1, 1)
	e.s.Stop()
	next := newSink(nil)
	_, host := e.start(next, streams.Events)
	if host.last() != componentstatus.StatusRecoverableError {
		t.Errorf("status %s", host.last())
	}
	e.s.Start()
	eventually(t, "delivery", func() bool { return next.accepted() == 1 })
	eventually(t, "status", func() bool { return host.last() == componentstatus.StatusOK })
}

func TestDeletedUnderOurFeet(t *testing.T) {
	f := func(what string, remove func(ctx context.Context, js natsjs.JetStream) error) {
		t.Helper()
		e := newEnv(t)
		next := newSink(nil)
		e.start(next, streams.Events)
		e.publish(streams.Events, 1, 1)
		eventually(t, "the first", func() bool { return next.accepted() == 1 && e.unsettled(streams.Events) == 0 })
		if err := remove(context.Background(), e.js); err != nil {
			t.Fatal(err)
		}
		eventually(t, what+": made again", func() bool {
			_, err := e.js.Consumer(context.Background(), streams.Events, "sink")
			return err == nil
		})
		e.publish(streams.Events, 2, 1)
		eventually(t, what, func() bool { return next.accepted() == 2 })
	}
	f("consumer", func(ctx context.Context, js natsjs.JetStream) error {
		return js.DeleteConsumer(ctx, streams.Events, "sink")
	})
	f("stream", func(ctx context.Context, js natsjs.JetStream) error { return js.DeleteStream(ctx, streams.Events) })
}

func TestDeadStreamDeleted(t *testing.T) {
	e := newEnv(t)
	next := newSink(func(streams.Origin, plog.Logs) error { return errPermanent })
	e.start(next, streams.Events)
	if err := e.js.DeleteStream(context.Background(), streams.Dead); err != nil {
		t.Fatal(err)
	}
	e.publish(streams.Events, 1, 1)
	eventually(t, "the letter", func() bool { return len(e.letters()) == 1 && e.unsettled(streams.Events) == 0 })
}

func TestDeliverPolicies(t *testing.T) {
	f := func(want string, edit func(c *Config, middle time.Time)) {
		t.Helper()
		e := newEnv(t)
		e.publish(streams.Events, 1, 1)
		time.Sleep(20 * time.Millisecond)
		middle := time.Now()
		time.Sleep(20 * time.Millisecond)
		e.publish(streams.Events, 2, 1)
		next := newSink(nil)
		e.start(next, streams.Events, func(c *Config) { edit(c, middle) })
		e.publish(streams.Events, 3, 1)
		var got string
		eventually(t, want, func() bool {
			got = ""
			for _, c := range next.seen() {
				got += strings.Join(c.ids, "")
			}
			return strings.HasSuffix(got, "3")
		})
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f("123", func(*Config, time.Time) {})
	f("3", func(c *Config, _ time.Time) { c.Deliver = deliverNew })
	f("23", func(c *Config, m time.Time) { c.Deliver, c.StartTime = deliverStartTime, m })
}

// A changed configuration reaches a consumer that exists, which goes on where it was.
func TestChangedConfig(t *testing.T) {
	e := newEnv(t)
	next := newSink(nil)
	r, _ := e.start(next, streams.Events)
	e.publish(streams.Events, 1, 1)
	eventually(t, "the first", func() bool { return next.accepted() == 1 && e.unsettled(streams.Events) == 0 })
	r.Shutdown(context.Background())
	e.start(next, streams.Events, func(c *Config) { c.Workers, c.AckWait, c.Deliver = 3, 7*time.Second, deliverNew })
	e.publish(streams.Events, 2, 1)
	eventually(t, "the second", func() bool { return next.accepted() == 2 })
	c, _ := e.js.Consumer(context.Background(), streams.Events, "sink")
	if i := c.CachedInfo().Config; i.AckWait != 7*time.Second || i.MaxAckPending != 3 || i.MaxDeliver != -1 {
		t.Errorf("%+v", i)
	}
	if n := len(next.seen()); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestWrongSetupFailsAtStart(t *testing.T) {
	e := newEnv(t)
	e.start(newSink(nil), streams.Raw)
	// A work queue takes one consumer for a subject.
	cfg := e.config(streams.Raw)
	cfg.Durable = "second"
	r, err := NewFactory().CreateLogs(context.Background(), receivertest.NewNopSettings(Type), cfg, newSink(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "second") {
		t.Errorf("got %v", err)
	}
	if err := r.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
