package otlp

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// collector is a real OTLP receiver; point holds what came last of each series.
type collector struct {
	http, grpc string
	metrics    *consumertest.MetricsSink
	logs       *consumertest.LogsSink
}

func newCollector(t *testing.T) *collector {
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	c := &collector{http: free(), grpc: free(), metrics: new(consumertest.MetricsSink), logs: new(consumertest.LogsSink)}
	f := otlpreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{"http": map[string]any{"endpoint": c.http}, "grpc": map[string]any{"endpoint": c.grpc}}}).Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	set := receivertest.NewNopSettings(f.Type())
	m, err := f.CreateMetrics(context.Background(), set, cfg, c.metrics)
	if err != nil {
		t.Fatal(err)
	}
	l, err := f.CreateLogs(context.Background(), set, cfg, c.logs) // shares the listeners of m
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []interface {
		Start(context.Context, component.Host) error
		Shutdown(context.Context) error
	}{m, l} {
		if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	return c
}

// ServeHTTP passes a request on to the receiver.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to, _ := url.Parse("http://" + c.http)
	httputil.NewSingleHostReverseProxy(to).ServeHTTP(w, r)
}

// state is what a backend makes of all that came: of each series the last point, as text without times. It checks that no series goes backwards.
func (c *collector) state(t *testing.T) map[string]string {
	t.Helper()
	out, counts := map[string]string{}, map[string]float64{}
	see := func(key string, count float64, text string) {
		if count < counts[key] {
			t.Errorf("%s goes back from %v to %v", key, counts[key], count)
		}
		counts[key], out[key] = count, text
	}
	for _, md := range c.metrics.AllMetrics() {
		for _, rm := range md.ResourceMetrics().All() {
			if v, ok := rm.Resource().Attributes().Get("service.instance.id"); !ok || v.Str() == "" || rm.SchemaUrl() != schemaURL {
				t.Errorf("resource %v, schema %s", rm.Resource().Attributes().AsRaw(), rm.SchemaUrl())
			}
			for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
				name := m.Name() + " " + m.Unit() + " "
				switch m.Type() {
				case pmetric.MetricTypeHistogram:
					if m.Histogram().AggregationTemporality() != pmetric.AggregationTemporalityCumulative {
						t.Errorf("%s is not cumulative", name)
					}
					for _, p := range m.Histogram().DataPoints().All() {
						n := uint64(0)
						for _, b := range p.BucketCounts().All() {
							n += b
						}
						if n != p.Count() || p.StartTimestamp() == 0 || p.Timestamp() < p.StartTimestamp() {
							t.Errorf("%s: %d in buckets of %d, from %v to %v", name, n, p.Count(), p.StartTimestamp(), p.Timestamp())
						}
						see(name+fmt.Sprint(p.Attributes().AsRaw()), float64(p.Count()), fmt.Sprintf("%d, %.4g, %v", p.Count(), p.Sum(), p.BucketCounts().AsRaw()))
					}
				case pmetric.MetricTypeSum:
					if !m.Sum().IsMonotonic() || m.Sum().AggregationTemporality() != pmetric.AggregationTemporalityCumulative {
						t.Errorf("%s is not a cumulative counter", name)
					}
					for _, p := range m.Sum().DataPoints().All() {
						see(name+fmt.Sprint(p.Attributes().AsRaw()), p.DoubleValue(), fmt.Sprintf("%.4g", p.DoubleValue()))
					}
				}
			}
		}
	}
	return out
}

func openMetrics(t *testing.T, c *collector, edit ...func(*Config)) *otlpExporter {
	t.Helper()
	cfg := newDefaultConfig()
	cfg.Endpoint, cfg.Signals = "http://"+c.http, []string{signalMetrics}
	cfg.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 5 * time.Millisecond, MaxElapsed: 50 * time.Millisecond}
	for _, f := range edit {
		f(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	e, err := newExporter(exportertest.NewNopSettings(Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.shutdown(context.Background()) })
	return e
}

// messageOf is message seq of the stream, as the receiver gives it.
func messageOf(ld plog.Logs, seq int) plog.Logs {
	for _, rl := range ld.ResourceLogs().All() {
		rl.Resource().Attributes().PutInt(event.AttrStreamSeq, int64(seq))
	}
	return ld
}

func sendSeq(e *otlpExporter, ld plog.Logs, redelivered bool) error {
	return e.consume(streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "o", Redelivered: redelivered}), ld)
}

func logsOf(all ...event.Event) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i, e := range all {
		if e.ID == "" {
			e.ID = id(i)
		}
		if e.Name == "" {
			e.Name = event.NameResponse
		}
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}

// The names, units, boundaries and attributes are those of the conventions (1.41.1).
func TestMetricsFollowTheConventions(t *testing.T) {
	for _, protocol := range []string{protocolHTTP, protocolGRPC} {
		t.Run(protocol, func(t *testing.T) {
			c := newCollector(t)
			e := openMetrics(t, c, func(cfg *Config) {
				if protocol == protocolGRPC {
					cfg.Protocol, cfg.Endpoint, cfg.TLS.Insecure = protocolGRPC, c.grpc, true
				}
			})
			call := event.Event{}
			call.Server, call.Direction, call.Method, call.Tool, call.Kind = "files", event.ServerToClient, "tools/call", "read", event.KindResponse
			call.ProtocolVersion, call.NetworkTransport, call.Outcome, call.DurationNanos, call.TokensResult = "2025-11-25", "pipe", event.OutcomeOK, 20e6, 17
			call.SessionID, call.RequestID = "s", "7" // of too many values
			failed := call
			failed.Outcome, failed.ErrorType, failed.DurationNanos, failed.TokensResult = event.OutcomeToolError, "tool_error", 400e9, 0
			unknown := failed
			unknown.Tool, unknown.Outcome, unknown.ErrorType, unknown.RPCCode = "made-up", event.OutcomeRPCError, "-32602", "-32602"
			late := call
			late.Outcome = event.OutcomeLate
			gone := call
			gone.Method, gone.Tool, gone.Outcome, gone.TokensResult = "made/up", "", event.OutcomeTimeout, 0
			sampling := event.Event{}
			sampling.Direction, sampling.Method, sampling.Outcome, sampling.Kind, sampling.Model = event.ClientToServer, "sampling/createMessage", event.OutcomeOK, event.KindResponse, "m-1"
			sampling.DurationNanos, sampling.CostAmount, sampling.CostCurrency, sampling.CostBasis = 1e9, .25, "EUR", "reported"
			sampling.Extra = map[string]string{"gen_ai.usage.input_tokens": "1000", "gen_ai.usage.output_tokens": "9", "gen_ai.provider.name": "anthropic", "gen_ai.operation.name": "chat"}
			request := event.Event{Name: event.NameRequest}
			request.Direction, request.Method, request.Tool, request.Server, request.Kind, request.TokensArguments = event.ClientToServer, "tools/call", "read", "files", event.KindRequest, 5
			if err := sendSeq(e, messageOf(logsOf(call, failed, unknown, late, gone, sampling, request), 1), false); err != nil {
				t.Fatal(err)
			}
			ld := plog.NewLogs()
			for i := range int64(2) {
				f := finding.Finding{Time: 1}
				f.ID, f.RuleID, f.Severity, f.Revision = "f", "rug_pull", "high", i
				f.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
			}
			if err := sendSeq(e, messageOf(ld, 2), false); err != nil {
				t.Fatal(err)
			}
			const files = "mcp.method.name:tools/call mcp.protocol.version:2025-11-25 mcpsiem.server.name:files mcpsiem.tenant.id:default network.transport:pipe"
			want := map[string]string{
				"mcp.server.operation.duration s map[gen_ai.operation.name:execute_tool gen_ai.tool.name:read " + files + "]":                                                                                       "1, 0.02, [0 1 0 0 0 0 0 0 0 0 0 0 0 0 0]",
				"mcp.server.operation.duration s map[error.type:tool_error gen_ai.operation.name:execute_tool gen_ai.tool.name:read " + files + "]":                                                                 "1, 400, [0 0 0 0 0 0 0 0 0 0 0 0 0 0 1]",
				"mcp.server.operation.duration s map[error.type:-32602 gen_ai.operation.name:execute_tool gen_ai.tool.name:_OTHER " + files + " rpc.response.status_code:-32602]":                                   "1, 400, [0 0 0 0 0 0 0 0 0 0 0 0 0 0 1]",
				"mcp.server.operation.duration s map[error.type:timeout " + strings.Replace(files, "tools/call", "_OTHER", 1) + "]":                                                                                 "1, 0.02, [0 1 0 0 0 0 0 0 0 0 0 0 0 0 0]",
				"mcp.client.operation.duration s map[mcp.method.name:sampling/createMessage mcpsiem.tenant.id:default]":                                                                                             "1, 1, [0 0 0 0 0 0 1 0 0 0 0 0 0 0 0]",
				"mcpsiem.token.usage {token} map[gen_ai.operation.name:execute_tool gen_ai.token.type:input gen_ai.tool.name:read mcp.method.name:tools/call mcpsiem.server.name:files mcpsiem.tenant.id:default]":  "2, 34, [0 0 0 2 0 0 0 0 0 0 0 0 0 0 0]",
				"mcpsiem.token.usage {token} map[gen_ai.operation.name:execute_tool gen_ai.token.type:output gen_ai.tool.name:read mcp.method.name:tools/call mcpsiem.server.name:files mcpsiem.tenant.id:default]": "1, 5, [0 0 1 0 0 0 0 0 0 0 0 0 0 0 0]",
				"gen_ai.client.token.usage {token} map[gen_ai.operation.name:chat gen_ai.provider.name:anthropic gen_ai.response.model:m-1 gen_ai.token.type:input mcpsiem.tenant.id:default]":                      "1, 1000, [0 0 0 0 0 1 0 0 0 0 0 0 0 0 0]",
				"gen_ai.client.token.usage {token} map[gen_ai.operation.name:chat gen_ai.provider.name:anthropic gen_ai.response.model:m-1 gen_ai.token.type:output mcpsiem.tenant.id:default]":                     "1, 9, [0 0 1 0 0 0 0 0 0 0 0 0 0 0 0]",
				"mcpsiem.cost {currency} map[mcp.method.name:sampling/createMessage mcpsiem.cost.basis:reported mcpsiem.cost.currency:EUR mcpsiem.tenant.id:default]":                                               "0.25",
				"mcpsiem.findings {finding} map[mcpsiem.finding.severity:high mcpsiem.rule.id:rug_pull mcpsiem.tenant.id:default]":                                                                                  "1",
			}
			got := c.state(t)
			for _, k := range slices.Sorted(maps.Keys(got)) {
				if got[k] != want[k] {
					t.Errorf("%s\n got %s\nwant %s", k, got[k], want[k])
				}
			}
			for k := range want {
				if _, ok := got[k]; !ok {
					t.Errorf("%s is not there", k)
				}
			}
		})
	}
}

// Requests and answers are lost, batches come again and again, also to several workers at once: each message counts once.
func TestMetricsCountOnce(t *testing.T) {
	c := newCollector(t)
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(1, 2))
	faults := 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		x := rnd.IntN(6)
		if x < 3 {
			faults++
		}
		mu.Unlock()
		switch x {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1: // lost on the way
			panic(http.ErrAbortHandler)
		case 2: // lost on the way back
			c.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			c.ServeHTTP(w, r)
		}
	}))
	defer front.Close()
	e := openMetrics(t, c, func(cfg *Config) {
		cfg.Endpoint, cfg.Signals, cfg.Retry.MaxElapsed = front.URL, []string{signalLogs, signalMetrics}, 0
	})
	const messages, each, workers = 60, 5, 3
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for seq := w + 1; seq <= messages; seq += workers {
				var all []event.Event
				for i := range each {
					ev := event.Event{}
					ev.ID, ev.Direction, ev.Method, ev.Tool, ev.Outcome, ev.DurationNanos = id(seq*each+i), event.ServerToClient, "tools/call", fmt.Sprint("t", i), event.OutcomeOK, 20e6
					all = append(all, ev)
				}
				ld := messageOf(logsOf(all...), seq)
				for tries := 0; sendSeq(e, ld, tries > 0) != nil; tries++ {
					if tries > 200 {
						t.Error("a message is never taken")
						return
					}
				}
				for again := 0; seq%7 == 0 && again < 100; again++ { // its acknowledgement was lost
					if sendSeq(e, ld, true) == nil {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	got := c.state(t)
	if len(got) != each {
		t.Errorf("%d series", len(got))
	}
	for k, v := range got {
		if !strings.HasPrefix(v, fmt.Sprintf("%d, ", messages)) {
			t.Errorf("%s: %s, want %d", k, v, messages)
		}
	}
	if faults < 20 {
		t.Errorf("only %d faults: this proves little", faults)
	}
}

// Metrics that a backend refuses for good hold nothing up, and the next ones say the same; what only the operator can mend does.
func TestMetricsRefused(t *testing.T) {
	status := http.StatusBadRequest
	var bodies [][]byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, b)
		w.WriteHeader(status)
	}))
	defer s.Close()
	e := openMetrics(t, &collector{}, func(c *Config) { c.Endpoint, c.Compression = s.URL, none })
	ev := event.Event{}
	ev.Direction, ev.Method, ev.Outcome = event.ServerToClient, "ping", event.OutcomeOK
	for seq := 1; seq <= 3; seq++ {
		if err := sendSeq(e, messageOf(logsOf(ev), seq), false); err != nil {
			t.Fatal(err)
		}
	}
	status = http.StatusNotFound
	ld := messageOf(logsOf(ev), 4)
	if err := sendSeq(e, ld, false); err == nil || streams.Permanent(err) || streams.Reason(err) != "http_404" {
		t.Errorf("404: %v", err)
	}
	status = http.StatusOK
	if err := sendSeq(e, ld, true); err != nil {
		t.Fatal(err)
	}
	md, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(bodies[len(bodies)-1])
	if err != nil {
		t.Fatal(err)
	}
	if n := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Histogram().DataPoints().At(0).Count(); n != 4 {
		t.Errorf("the last point says %d of 4", n)
	}
}

func TestMetricsAreBounded(t *testing.T) {
	c := newCollector(t)
	e := openMetrics(t, c, func(c *Config) { c.MaxSeries = 10 })
	var all []event.Event
	for i := range 1000 {
		ev := event.Event{}
		ev.Direction, ev.Method, ev.Tool, ev.Outcome = event.ServerToClient, "tools/call", fmt.Sprint("t", i), event.OutcomeOK
		all = append(all, ev)
	}
	if err := sendSeq(e, messageOf(logsOf(all...), 1), false); err != nil {
		t.Fatal(err)
	}
	got := c.state(t)
	if len(got) != 11 || !strings.HasPrefix(got["mcp.server.operation.duration s map[otel.metric.overflow:true]"], "990, ") {
		t.Errorf("%d series: %v", len(got), got)
	}
}

func TestIntervals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s intervals
		seen := map[uint64]bool{}
		for _, n := range rapid.SliceOfN(rapid.Uint64Range(1, 60), 0, 100).Draw(t, "numbers") {
			if s.add(n) == seen[n] {
				t.Fatalf("%d of %v", n, s.ranges)
			}
			seen[n] = true
			for i, r := range s.ranges {
				if r.from > r.to || i > 0 && s.ranges[i-1].to+1 >= r.from {
					t.Fatalf("ranges %v", s.ranges)
				}
			}
		}
	})
}
