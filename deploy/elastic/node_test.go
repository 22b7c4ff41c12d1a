//go:build node

// The exporter, the templates and the setup against a real Elasticsearch and a real OpenSearch: make test-elastic.

package elastic

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	exporter "github.com/mcpsiem/mcpsiem/exporters/elastic"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/reconcile"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	jetstreamreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

// engine is a kind of node.
type engine struct {
	name    string
	flavour exporter.Flavour
	// folder is the variable that says where `make test-elastic` has put it.
	folder string
	args   func(folder, home, port string) []string
	// misfit is what it calls a value that does not fit the mapping.
	misfit string
	// custom is a component template mcpsiem@custom, if there is one.
	custom string
}

func elasticsearchArgs(folder, home, port string) []string {
	return []string{"-cp", folder + ":" + folder + "/lib/*", "ElasticsearchNode", home, port, folder + "/modules"}
}

var engines = []engine{
	{
		name: "opensearch", flavour: exporter.OpenSearch, folder: "MCPSIEM_OPENSEARCH", misfit: "mapper_parsing_exception",
		args: func(folder, home, port string) []string {
			return []string{"-cp", folder + ":" + folder + "/lib/*", "OpenSearchNode", home, port}
		},
	},
	{name: "elasticsearch", flavour: exporter.Elasticsearch, folder: "MCPSIEM_ELASTICSEARCH", misfit: "document_parsing_exception", args: elasticsearchArgs},
	{ // as Elasticsearch 9 keeps logs by itself
		name: "logsdb", flavour: exporter.Elasticsearch, folder: "MCPSIEM_ELASTICSEARCH", misfit: "document_parsing_exception", args: elasticsearchArgs,
		custom: `{"template":{"settings":{"index.mode":"logsdb"}}}`,
	},
}

// node is a process of an engine.
type node struct {
	engine
	t    testing.TB
	home string
	port string
	cmd  *exec.Cmd
	in   io.Closer
}

func (n *node) url() string { return "http://127.0.0.1:" + n.port }

func newNode(t testing.TB, e engine) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	n := &node{engine: e, t: t, home: t.TempDir(), port: port}
	n.start()
	t.Cleanup(func() { n.end() })
	return n
}

func (n *node) start() {
	n.t.Helper()
	folder := os.Getenv(n.folder)
	if folder == "" {
		n.t.Fatal(n.folder, " is not set: run `make test-elastic`")
	}
	n.cmd = exec.Command("java", append([]string{"-Xms256m", "-Xmx512m"}, n.args(folder, n.home, n.port)...)...)
	in, err := n.cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	n.in = in
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		if strings.HasPrefix(sc.Text(), "READY") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	n.t.Fatal(n.name, " does not start: ", n.cmd.Wait())
}

func (n *node) end() {
	n.in.Close()
	_ = n.cmd.Wait()
}

// kill ends the node as kill -9 does.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

func (n *node) client() *exporter.Client {
	return exporter.NewClient([]string{n.url()}, exporter.Auth{Anonymous: true}, nil, time.Minute, 2)
}

// do asks the node and fails the test unless it answers 200.
func (n *node) do(method, path, body string, into any) {
	n.t.Helper()
	req, err := http.NewRequest(method, n.url()+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		n.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, b, err)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *node) count(stream, query string) int {
	n.t.Helper()
	var r struct{ Count int }
	n.do("POST", "/"+stream+"/_count", `{"query":`+query+`}`, &r)
	return r.Count
}

// keys is what `mcpsiem reconcile` sees of a stream: how often it holds each key.
func (n *node) keys(index string, kind reconcile.Kind) map[string]int {
	n.t.Helper()
	out := map[string]int{}
	src := reconcile.Elastic{Remote: reconcile.Remote{Endpoint: n.url(), Index: index}}
	for k, err := range src.Keys(context.Background(), kind, time.Unix(0, 0), time.Now().Add(time.Hour)) {
		if err != nil {
			n.t.Fatal(err)
		}
		out[k]++
	}
	return out
}

func config(endpoint string, edit ...func(*exporter.Config)) *exporter.Config {
	cfg := exporter.NewFactory().CreateDefaultConfig().(*exporter.Config)
	cfg.Endpoints = []string{endpoint}
	cfg.Auth.Anonymous = true
	cfg.HealthCheck.Enabled = false
	for _, f := range edit {
		f(cfg)
	}
	return cfg
}

type consumer interface {
	component.Component
	ConsumeLogs(context.Context, plog.Logs) error
}

func export(t testing.TB, cfg *exporter.Config) consumer {
	t.Helper()
	e, err := exporter.NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(exporter.Type), cfg)
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

// fill gives every field a value.
func fill(v reflect.Value, text string) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString(text)
		case int64:
			f.SetInt(int64(i + 1))
		case bool:
			f.SetBool(true)
		case float64:
			f.SetFloat(0.5)
		case []string:
			f.Set(reflect.ValueOf([]string{text, "b"}))
		case map[string]string:
			f.Set(reflect.ValueOf(map[string]string{"k": text, text: "v"}))
		case map[string]float64:
			f.Set(reflect.ValueOf(map[string]float64{"k": 1.5, text: 2}))
		}
	}
}

// records are an event, an audit record and a finding with every field full.
func records(id, text string) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, name := range []string{event.NameResponse, event.NameAudit} {
		e := event.Event{Name: name, Time: 1_800_000_000_123_456_789, Received: 1_800_000_000_200_000_000, Body: `{"words":"in a message"} ` + text, Extra: map[string]string{text: text}}
		e.TraceID[0], e.SpanID[0] = 1, 2
		fill(reflect.ValueOf(&e.Fields).Elem(), text)
		e.ID, e.Kind, e.Method, e.Outcome, e.AuthDecision = id+name, event.KindResponse, "tools/call", event.OutcomeToolError, "granted"
		if text == "v" {
			e.ClientAddress, e.ServerAddress = "10.1.2.3", "2001:db8::1"
		}
		e.Encode(lrs.AppendEmpty())
	}
	f := finding.Finding{Time: 1_800_000_000_123_456_789}
	fill(reflect.ValueOf(&f.Fields).Elem(), text)
	f.ID, f.Severity, f.Revision = id+"f", "high", 9
	f.References = []string{"MITRE-ATLAS 5.6 AML.TA0010 Exfiltration", "MITRE-ATLAS 5.6 AML.T0010.005 AI Supply Chain Compromise: AI Agent Tool", text}
	f.Encode(lrs.AppendEmpty())
	return ld
}

func TestNode(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) { testNode(t, e) })
	}
}

func testNode(t *testing.T, e engine) {
	n := newNode(t, e)
	c := n.client()
	t.Cleanup(c.Close)
	if _, err := exporterSend(export(t, config(n.url())), records("x", "v")); err == nil || !strings.Contains(err.Error(), "mcpsiem elastic setup") {
		t.Fatalf("before the setup: %v", err)
	}
	if e.custom != "" {
		n.do("PUT", "/_component_template/mcpsiem@custom", e.custom, nil)
	}
	zero := 0
	var first []Step
	for i := range 2 {
		v, steps, err := Install(context.Background(), c, Options{Namespaces: []string{"default"}, Replicas: &zero}, false)
		if err != nil || v.Flavour != e.flavour {
			t.Fatalf("setup %d: %v, %v", i, v, err)
		}
		if i == 0 {
			first = steps
		}
		if len(steps) != len(first) {
			t.Errorf("%d steps, then %d", len(first), len(steps))
		}
	}
	t.Run("every field", func(t *testing.T) { everyField(t, n) })
	t.Run("strange records", func(t *testing.T) { strange(t, n) })
	t.Run("refused", func(t *testing.T) { refused(t, n) })
	t.Run("rollover", func(t *testing.T) { rollover(t, n) })
	t.Run("reconcile", func(t *testing.T) { revisions(t, n) })
	t.Run("nothing lost or twice", func(t *testing.T) { judge(t, n) })
}

var sequence atomic.Uint64

func exporterSend(e consumer, ld plog.Logs, redelivered ...bool) (int, error) {
	s := sequence.Add(1)
	ctx := streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "elastic", First: s, Last: s, Redelivered: len(redelivered) > 0})
	err := e.ConsumeLogs(ctx, ld)
	var rest consumererror.Logs
	if errors.As(err, &rest) {
		return rest.Data().LogRecordCount(), err
	}
	return 0, err
}

// Every field is indexed under its name, and the mapping has no others.
func everyField(t *testing.T, n *node) {
	if _, err := exporterSend(export(t, config(n.url())), records("all-", "v")); err != nil {
		t.Fatal(err)
	}
	n.do("POST", "/logs-mcpsiem.*/_refresh", "", nil)
	for _, k := range sink.Kinds {
		stream := exporter.StreamName(k, "default")
		fields, err := exporter.Fields(k)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			if f.Path == "mcpsiem.message_omitted" {
				continue
			}
			query := fmt.Sprintf(`{"exists":{"field":%q}}`, f.Path)
			switch f.Type {
			case "match_only_text":
				query = fmt.Sprintf(`{"match":{%q:"v"}}`, f.Path)
			case "date_nanos":
				query = fmt.Sprintf(`{"range":{%q:{"gte":"1970-01-01T00:00:00Z"}}}`, f.Path)
			case "ip":
				query = fmt.Sprintf(`{"terms":{%q:["10.0.0.0/8","2001:db8::/32"]}}`, f.Path)
			}
			if got := n.count(stream, query); got != 1 {
				t.Errorf("%s: %s (%s): %d documents", k, f.Path, f.Type, got)
			}
		}
		var m map[string]struct {
			Mappings struct{ Properties map[string]any }
		}
		n.do("GET", "/"+stream+"/_mapping", "", &m)
		for _, x := range m {
			if got := leaves(x.Mappings.Properties); got != len(fields) {
				t.Errorf("%s: the mapping has %d fields, the documents %d", k, got, len(fields))
			}
		}
	}
	var hit struct {
		Hits struct {
			Hits []struct {
				Source map[string]any `json:"_source"`
				Fields map[string][]string
			}
		}
	}
	n.do("POST", "/logs-mcpsiem.event-default/_search", `{"docvalue_fields":[{"field":"@timestamp","format":"strict_date_optional_time_nanos"}],"query":{"match":{"mcpsiem.message":"words"}}}`, &hit)
	if len(hit.Hits.Hits) != 1 || hit.Hits.Hits[0].Fields["@timestamp"][0] != "2027-01-15T08:00:00.123456789Z" {
		t.Errorf("by a word of the message: %+v", hit)
	}
}

func leaves(props map[string]any) int {
	n := 0
	for _, v := range props {
		m, _ := v.(map[string]any)
		if p, ok := m["properties"].(map[string]any); ok {
			n += leaves(p)
		} else {
			n++
		}
	}
	return n
}

// Whatever is in a record, the node takes its document.
func strange(t *testing.T, n *node) {
	e := export(t, config(n.url(), func(c *exporter.Config) { c.MaxBodyBytes, c.MaxEventBytes = 32<<20, 16<<20 })) // nothing is left out for its size here
	texts := []string{"", "\x00", "\xff\xfe", ".", "..", "a..b", " ", "\n", `"`, "10.0.0.1%eth0", "1970", "null", "{}", strings.Repeat("k", 40_000), strings.Repeat("é.", 20_000), "a\x00b.c", "\ufeff", "_id", "k.x", strings.Repeat("d.", 60) + "x", "k\u2028"}
	before := n.count("logs-mcpsiem.*", `{"match_all":{}}`)
	for i, s := range texts {
		if dead, err := exporterSend(e, records(fmt.Sprintf("strange-%d-", i), s)); err != nil {
			t.Errorf("%.30q: %d refused: %v (%s)", s, dead, err, streams.Reason(err))
		}
	}
	numbers := plog.NewLogs()
	lrs := numbers.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i, v := range []int64{math.MinInt64, -1, 0, math.MaxInt64} {
		ev := event.Event{Name: event.NameRequest, Time: v, Received: v}
		ev.ID, ev.ExchangeStart, ev.DurationNanos, ev.PID, ev.ServerPort, ev.HTTPStatus, ev.CostAmount = fmt.Sprint("number-", i), v, v, v, v, v, math.Float64frombits(uint64(v))
		ev.Signals = map[string]float64{"a": math.Inf(1), "b": math.NaN(), "c": 1e308}
		ev.Encode(lrs.AppendEmpty())
	}
	if dead, err := exporterSend(e, numbers); err != nil {
		t.Errorf("numbers: %d refused: %v", dead, err)
	}
	n.do("POST", "/logs-mcpsiem.*/_refresh", "", nil)
	if got := n.count("logs-mcpsiem.*", `{"match_all":{}}`) - before; got != 3*len(texts)+4 {
		t.Errorf("%d documents of %d", got, 3*len(texts)+4)
	}
}

// A document that does not fit is a dead letter; the others of its batch are stored.
func refused(t *testing.T, n *node) {
	n.do("PUT", "/_index_template/odd", `{"index_patterns":["logs-mcpsiem.event-odd"],"priority":600,"data_stream":{},"template":{"settings":{"number_of_replicas":0},"mappings":{"dynamic":false,"properties":{"user":{"properties":{"name":{"type":"long"}}}}}}}`, nil)
	e := export(t, config(n.url(), func(c *exporter.Config) { c.Namespace = "odd" }))
	dead, err := exporterSend(e, events(0, 10, func(i int, e *event.Event) {
		if e.PrincipalID = "7"; i == 4 {
			e.PrincipalID = "planted-content"
		}
	}))
	if dead != 1 || streams.Reason(err) != n.misfit || strings.Contains(err.Error(), "planted") {
		t.Errorf("%d refused, %v, %s", dead, err, streams.Reason(err))
	}
	n.do("POST", "/logs-mcpsiem.event-odd/_refresh", "", nil)
	if got := n.count("logs-mcpsiem.event-odd", `{"match_all":{}}`); got != 9 {
		t.Errorf("%d documents", got)
	}
}

// A batch that comes again after its data stream was rolled over is there once.
func rollover(t *testing.T, n *node) {
	e := export(t, config(n.url(), func(c *exporter.Config) { c.Namespace = "roll" }))
	for i := range 3 {
		if _, err := exporterSend(e, events(0, 100), make([]bool, min(i, 1))...); err != nil {
			t.Fatal(err)
		}
		n.do("POST", "/logs-mcpsiem.event-roll/_rollover", "", nil)
	}
	n.do("POST", "/logs-mcpsiem.event-roll/_refresh", "", nil)
	if got := n.count("logs-mcpsiem.event-roll", `{"match_all":{}}`); got != 100 {
		t.Errorf("%d documents of 100", got)
	}
}

// More than a page of documents that agree in time and id, and one of them twice.
func revisions(t *testing.T, n *node) {
	const most = 6000
	e := export(t, config(n.url(), func(c *exporter.Config) { c.Namespace, c.RolloverCheck = "rev", false }))
	batch := func(revisions ...int) plog.Logs {
		ld := plog.NewLogs()
		lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for _, r := range revisions {
			f := finding.Finding{Time: 1_700_000_000_123_456_789}
			f.ID, f.Severity, f.Revision = "one", "high", int64(r)
			f.Encode(lrs.AppendEmpty())
		}
		return ld
	}
	var all []int
	for i := range most {
		all = append(all, i)
	}
	if _, err := exporterSend(e, batch(all...)); err != nil {
		t.Fatal(err)
	}
	n.do("POST", "/logs-mcpsiem.finding-rev/_rollover", "", nil)
	if _, err := exporterSend(e, batch(5)); err != nil {
		t.Fatal(err)
	}
	n.do("POST", "/logs-mcpsiem.finding-rev/_refresh", "", nil)
	got := n.keys("logs-mcpsiem.finding-rev", reconcile.Findings)
	if len(got) != most || got["one"] != 1 || got["one-5999"] != 1 || got["one-5"] != 2 {
		t.Errorf("%d keys of %d; %d of the copy", len(got), most, got["one-5"])
	}
}

func events(first, n int, edit ...func(int, *event.Event)) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		e := event.Event{Name: event.NameRequest, Time: time.Now().UnixNano(), Received: time.Now().UnixNano(), Body: `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`}
		e.ID, e.Tenant, e.Kind, e.Method, e.Tool, e.Server = fmt.Sprintf("%032x", first+i), "acme", event.KindRequest, "tools/call", "read_file", "files"
		for _, f := range edit {
			f(i, &e)
		}
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}

// The judge: EVENTS, receiver and exporter of the product, a real node behind a proxy that loses requests and answers; data streams roll over and the
// node is killed and started again meanwhile, and so is the exporter. At the end every event is there once.
func judge(t *testing.T, n *node) {
	const messages, perBatch = 100, 100
	const total = messages * perBatch
	var faulty atomic.Bool
	faulty.Store(true)
	var dice, faults atomic.Int64
	to, err := url.Parse(n.url())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := rand.New(rand.NewPCG(uint64(dice.Add(1)), 3)).IntN(12)
		if !faulty.Load() || x > 4 {
			proxy.ServeHTTP(w, r)
			return
		}
		faults.Add(1)
		switch x {
		case 0:
			w.WriteHeader(http.StatusTooManyRequests)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2: // lost on the way
			panic(http.ErrAbortHandler)
		case 3: // lost on the way back
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 4: // lost in the middle
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"errors":false,"items":[{"create":{"status":201}}`)
			panic(http.ErrAbortHandler)
		}
	}))
	defer front.Close()

	nats := natsdtest.New(t)
	js := nats.JS()
	for _, s := range []string{streams.Events, streams.Dead} {
		spec, _ := streams.DefaultSpec(s)
		if _, err := streams.Ensure(context.Background(), js, spec); err != nil {
			t.Fatal(err)
		}
	}
	for m := range messages {
		if _, err := streams.Publish(context.Background(), js, streams.Events, fmt.Sprint("m", m), events(m*perBatch, perBatch)); err != nil {
			t.Fatal(err)
		}
	}
	process := func() func() {
		exp, err := exporter.NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(exporter.Type), config(front.URL, func(c *exporter.Config) {
			c.Namespace, c.Timeout = "judge", 10*time.Second
			c.Retry = sink.RetryConfig{Initial: 10 * time.Millisecond, Max: 100 * time.Millisecond, MaxElapsed: 300 * time.Millisecond}
		}))
		if err != nil {
			t.Fatal(err)
		}
		rf := jetstreamreceiver.NewFactory()
		rc := rf.CreateDefaultConfig().(*jetstreamreceiver.Config)
		rc.NATS, rc.Stream, rc.Durable, rc.Workers = nats.NATS(), streams.Events, "elastic", 2
		rc.Combine.MaxMessages, rc.Combine.MaxWait = 4, 5*time.Millisecond
		rc.MaxAckPending = 8
		rc.AckWait = 3 * time.Second
		rc.Retry.Initial, rc.Retry.Max = 10*time.Millisecond, 100*time.Millisecond
		rc.Circuit.Pause, rc.Circuit.MaxPause = 10*time.Millisecond, 100*time.Millisecond
		rc.ShutdownTimeout = 10 * time.Millisecond
		rcv, err := rf.CreateLogs(context.Background(), receivertest.NewNopSettings(jetstreamreceiver.Type), rc, exp)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []component.Component{exp, rcv} {
			if err := c.Start(context.Background(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
		}
		return func() {
			_ = rcv.Shutdown(context.Background()) // an error says that work was under way
			if err := exp.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	rnd := rand.New(rand.NewPCG(5, 5))
	var rolled int
	for i := range 5 {
		stop := process()
		time.Sleep(time.Duration(300+rnd.IntN(700)) * time.Millisecond)
		if i == 2 {
			n.kill()
			n.start()
		} else if resp, err := http.Post(n.url()+"/logs-mcpsiem.event-judge/_rollover", "application/json", nil); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				rolled++
			}
		}
		stop()
	}
	faulty.Store(false)
	stop := process()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		c, err := js.Consumer(context.Background(), streams.Events, "elastic")
		if err != nil {
			t.Fatal(err)
		}
		if i := c.CachedInfo(); i.NumPending == 0 && i.NumAckPending == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not everything is settled after two minutes without faults")
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	n.do("POST", "/logs-mcpsiem.event-judge/_refresh", "", nil)
	got := n.count("logs-mcpsiem.event-judge", `{"match_all":{}}`)
	seen := n.keys("logs-mcpsiem.event-judge", reconcile.Events)
	if got != total || len(seen) != total {
		t.Errorf("%d documents, %d different; want %d", got, len(seen), total)
	}
	dead := 0
	for _, err := range streams.DeadLetters(context.Background(), js, 0) {
		if err != nil {
			t.Fatal(err)
		}
		dead++
	}
	if dead > 0 {
		t.Errorf("%d dead letters", dead)
	}
	if faults.Load() < 10 || rolled < 2 {
		t.Errorf("only %d faults and %d rollovers: this proves little", faults.Load(), rolled)
	}
	t.Logf("%d events, %d requests, %d faults, %d rollovers, one kill -9 of the node: %d documents", total, dice.Load(), faults.Load(), rolled, got)
}
