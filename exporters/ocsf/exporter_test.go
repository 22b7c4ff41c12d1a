package ocsf

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const secret = "planted-content"

type rig struct {
	t    testing.TB
	e    *ocsfExporter
	exp  exporter.Logs
	logs *observer.ObservedLogs
}

// open makes and starts an exporter that the test ends itself.
func open(t testing.TB, cfg *Config) *rig {
	t.Helper()
	if cfg.MaxEventBytes == 0 {
		cfg.MaxEventBytes, cfg.Message = 1<<20, true
	}
	cfg.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 5 * time.Millisecond, MaxElapsed: 100 * time.Millisecond}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t}
	set := exportertest.NewNopSettings(Type)
	core, logs := observer.New(zap.DebugLevel)
	set.Logger, r.logs = zap.New(core), logs
	var err error
	if r.e, err = newExporter(set, cfg); err != nil {
		t.Fatal(err)
	}
	if r.exp, err = wrap(context.Background(), set, cfg, r.e); err != nil {
		t.Fatal(err)
	}
	if err := r.exp.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.exp.Shutdown(context.Background()); err != nil {
		r.t.Error(err)
	}
	for _, l := range r.logs.All() {
		if s := l.Message + fmt.Sprint(l.ContextMap()); strings.Contains(s, secret) {
			r.t.Errorf("content in %q", s)
		}
	}
}

func (r *rig) send(seq uint64, ld plog.Logs, redelivered bool) error {
	err := r.exp.ConsumeLogs(streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "o", First: seq, Last: seq, Redelivered: redelivered}), ld)
	if err != nil && strings.Contains(err.Error()+streams.Reason(err), secret) {
		r.t.Errorf("content in %v", err)
	}
	return err
}

func id(i int) string { return fmt.Sprintf("%032x", i) }

// batch makes n requests with ids from first on, and a finding with the first one's id.
func batch(first, n int) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		e := event.Event{Name: event.NameRequest, Time: 1_800_000_000_000_000_000, Body: `{"jsonrpc":"2.0","params":"` + secret + `"}`}
		e.ID, e.Method, e.Kind, e.Server = id(first+i), "tools/call", event.KindRequest, "s"
		e.Encode(lrs.AppendEmpty())
	}
	f := finding.Finding{Time: 1_800_000_000_000_000_000}
	f.ID, f.Severity, f.Status, f.Revision = id(first), "high", "resolved", 7
	f.Encode(lrs.AppendEmpty())
	return ld
}

// held counts the events in a folder's files by their uid.
func held(t testing.TB, dir string) map[string]int {
	t.Helper()
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, gzipSuffix) {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range bytes.Split(bytes.TrimSuffix(b, []byte{'\n'}), []byte{'\n'}) {
			if len(l) > 0 {
				out[UID(l)]++
			}
		}
	}
	return out
}

// exactly fails unless each of n events from 0 on and the findings are held once.
func exactly(t testing.TB, got map[string]int, n int) {
	t.Helper()
	for i := range n {
		if got[id(i)] != 1 {
			t.Errorf("event %d is there %d times", i, got[id(i)])
		}
	}
	for k, c := range got {
		if c != 1 {
			t.Errorf("%s is there %d times", k, c)
		}
	}
}

func TestFilesHoldEachEventOnceAcrossCrashes(t *testing.T) {
	for _, compression := range []string{none, gzipped} {
		t.Run(compression, func(t *testing.T) {
			dir := t.TempDir()
			cfg := func() *Config {
				return &Config{File: &FileConfig{Dir: dir, Compression: compression, MaxBytes: 64 << 10, MaxAge: time.Hour}}
			}
			n, seq := 0, uint64(0)
			for crash := range 8 {
				r := open(t, cfg())
				for range 5 {
					seq++
					if err := r.send(seq, batch(n, 10), false); err != nil {
						t.Fatal(err)
					}
					n += 10
				}
				// A crash: nothing is finished, a line is torn, and the last message comes again.
				files := filesOf(r)
				files.mu.Lock()
				for _, o := range files.open {
					if _, err := o.f.WriteAt([]byte(`{"metadata":{"uid":"torn`), o.size); err != nil {
						t.Fatal(err)
					}
					o.f.Close()
				}
				clear(files.open)
				files.mu.Unlock()
				r.close()
				r = open(t, cfg())
				if err := r.send(seq, batch(n-10, 10), crash%2 == 0); err != nil {
					t.Fatal(err)
				}
				r.close()
			}
			exactly(t, held(t, dir), n)
			if files, _ := filepath.Glob(filepath.Join(dir, ".*")); len(files) != 1 { // .lock
				t.Errorf("left over: %v", files)
			}
		})
	}
}

func filesOf(r *rig) *files { return r.e.target.(*files) }

func TestFilesFinishByAgeAndSize(t *testing.T) {
	dir := t.TempDir()
	r := open(t, &Config{File: &FileConfig{Dir: dir, MaxAge: time.Second}})
	if err := r.send(1, batch(0, 3), false); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if f, _ := filepath.Glob(filepath.Join(dir, "*"+gzipSuffix)); len(f) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no finished files")
		}
	}
	r.close()
	exactly(t, held(t, dir), 3)
}

func TestAFolderHasOneWriter(t *testing.T) {
	dir := t.TempDir()
	r := open(t, &Config{File: &FileConfig{Dir: dir}})
	defer r.close()
	cfg := &Config{File: &FileConfig{Dir: dir}, MaxEventBytes: 1 << 20, Retry: sink.NewRetryConfig()}
	exp, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := exp.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
	_ = exp.Shutdown(context.Background())
}

func TestAFullDiskIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	r := open(t, &Config{File: &FileConfig{Dir: dir}})
	defer r.close()
	if err := r.send(1, batch(0, 2), false); err != nil {
		t.Fatal(err)
	}
	f := filesOf(r)
	f.mu.Lock()
	o := f.open["api_activity"]
	broken, err := os.Open(o.f.Name()) // read only: every write fails
	if err != nil {
		t.Fatal(err)
	}
	whole := o.f
	o.f = broken
	f.mu.Unlock()
	err = r.send(2, batch(2, 2), false)
	if err == nil || streams.Permanent(err) || streams.Reason(err) != "file_error" {
		t.Fatalf("%v", err)
	}
	f.mu.Lock()
	o.f = whole
	broken.Close()
	f.mu.Unlock()
	if err := r.send(2, batch(2, 2), true); err != nil {
		t.Fatal(err)
	}
	exactly(t, held(t, dir), 4)
}

// lake is a server that takes events.
type lake struct {
	*httptest.Server
	mu     sync.Mutex
	got    map[string]int
	answer func(n int, bodies [][]byte) int
	n      int
}

func newLake(t *testing.T, answer func(int, [][]byte) int) *lake {
	l := &lake{got: map[string]int{}, answer: answer}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		b, _ := io.ReadAll(body)
		var events [][]byte
		if r.Header.Get("Content-Type") == "application/json" {
			events = append(events, decodeArray(t, b)...)
		} else {
			events = bytes.Split(bytes.TrimSuffix(b, []byte{'\n'}), []byte{'\n'})
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.n++
		status := http.StatusOK
		if r.Header.Get("X-Key") != "k" {
			status = http.StatusUnauthorized
		} else if l.answer != nil {
			status = l.answer(l.n, events)
		}
		if status == http.StatusOK {
			for _, e := range events {
				l.got[UID(e)]++
			}
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(l.Close)
	return l
}

func decodeArray(t *testing.T, b []byte) (out [][]byte) {
	for _, e := range strings.SplitAfter(strings.TrimSuffix(strings.TrimPrefix(string(b), "["), "]"), "}}") {
		e = strings.TrimPrefix(e, ",")
		if e != "" {
			out = append(out, []byte(e))
		}
	}
	return out
}

func httpConfig(t *testing.T, url string) *Config {
	t.Setenv("OCSF_KEY", "k")
	return &Config{HTTP: &HTTPConfig{Endpoint: url, Header: "X-Key", Secret: sink.Secret{Env: "OCSF_KEY"}, Timeout: time.Second}}
}

func TestPosting(t *testing.T) {
	l := newLake(t, func(n int, _ [][]byte) int {
		return []int{503, 200, 429, 200}[min(n-1, 3)]
	})
	r := open(t, httpConfig(t, l.URL))
	defer r.close()
	for i := range 3 {
		if err := r.send(uint64(i), batch(10*i, 10), false); err != nil {
			t.Fatal(err)
		}
	}
	exactly(t, l.got, 30)
}

func TestPostingIsolatesWhatIsRefused(t *testing.T) {
	bad := id(13)
	l := newLake(t, func(_ int, events [][]byte) int {
		for _, e := range events {
			if UID(e) == bad {
				return 400
			}
		}
		return 200
	})
	r := open(t, httpConfig(t, l.URL))
	defer r.close()
	err := r.send(1, batch(0, 20), false)
	var rest consumererror.Logs
	if !streams.Permanent(err) || !errors.As(err, &rest) || rest.Data().LogRecordCount() != 1 || streams.Reason(err) != "http_400" {
		t.Fatalf("%v", err)
	}
	if len(l.got) != 20 || l.got[bad] != 0 { // 19 events and the finding
		t.Errorf("%d events", len(l.got))
	}
}

func TestPostingWaitsWhereTheOperatorMustAct(t *testing.T) {
	l := newLake(t, func(n int, _ [][]byte) int {
		if n == 1 {
			return 403
		}
		return 200
	})
	r := open(t, httpConfig(t, l.URL))
	defer r.close()
	if err := r.send(1, batch(0, 5), false); err == nil || streams.Permanent(err) || streams.Reason(err) != "http_403" {
		t.Fatalf("%v", err)
	}
	if err := r.send(1, batch(0, 5), true); err != nil {
		t.Fatal(err)
	}
	exactly(t, l.got, 5)
}

func TestKafka(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "mcp", "alerts"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := open(t, &Config{Kafka: &KafkaConfig{Brokers: c.ListenAddrs(), Topic: "mcp", Topics: Topics{Finding: "alerts"}, Timeout: 5 * time.Second}})
	for i := range 3 {
		if err := r.send(uint64(i), batch(10*i, 10), false); err != nil {
			t.Fatal(err)
		}
	}
	r.close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("mcp", "alerts"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	got, findings := map[string]int{}, 0
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for len(got) < 33 && ctx.Err() == nil {
		f := cl.PollFetches(ctx)
		f.EachRecord(func(r *kgo.Record) {
			got[UID(r.Value)]++
			if r.Topic == "alerts" {
				findings++
				if string(r.Key)+"-7" != UID(r.Value) {
					t.Errorf("key %s of %s", r.Key, UID(r.Value))
				}
			}
		})
	}
	exactly(t, got, 30)
	if findings != 3 {
		t.Errorf("%d findings", findings)
	}
}

func TestKafkaAway(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "mcp"))
	if err != nil {
		t.Fatal(err)
	}
	addrs := c.ListenAddrs()
	c.Close()
	r := open(t, &Config{Kafka: &KafkaConfig{Brokers: addrs, Topic: "mcp", Timeout: time.Second}})
	defer r.close()
	if err := r.send(1, batch(0, 3), false); err == nil || streams.Permanent(err) {
		t.Errorf("%v", err)
	}
}

func TestConfigurations(t *testing.T) {
	f := func(settings map[string]any, want string) {
		t.Helper()
		cfg := newDefaultConfig()
		err := confmap.NewFromStringMap(settings).Unmarshal(cfg)
		if err == nil {
			err = cfg.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", settings, err, want)
		}
	}
	m := func(kv ...any) map[string]any {
		out := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i].(string)] = kv[i+1]
		}
		return out
	}
	f(m("file", m("dir", "/tmp/x")), "")
	f(m("http", m("endpoint", "https://x/y")), "")
	f(m("kafka", m("brokers", []any{"a:1"}, "topic", "t")), "")
	f(m(), "exactly one of")
	f(m("file", m("dir", "/tmp/x"), "http", m("endpoint", "https://x/y")), "exactly one of")
	f(m("file", m()), "file.dir")
	f(m("file", m("dir", "x", "compression", "rar")), "file.compression")
	f(m("http", m("endpoint", "https://u:p@x")), "http.endpoint")
	f(m("http", m("endpoint", "https://x", "format", "xml")), "http.format")
	f(m("kafka", m("topic", "t")), "kafka.brokers")
	f(m("kafka", m("brokers", []any{"a:1"})), "kafka.topic")
	f(m("kafka", m("brokers", []any{"a:1"}, "topic", "t", "sasl", m("mechanism", "plain"))), "kafka.sasl")
	f(m("file", m("dir", "x"), "route", m("min_severity", "worst")), "route: ")
}
