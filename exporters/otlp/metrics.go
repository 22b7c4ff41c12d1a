// Metrics of records, as OpenTelemetry's conventions for MCP and GenAI have them.
//
// They are cumulative: a point says what was counted since the exporter started, so that a request that is repeated, because its answer was lost
// say, changes nothing at the backend. A message of the stream is counted once however often it is delivered.

package otlp

import (
	"context"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// instrument is a metric. One with bounds is a histogram, one without a monotonic sum.
type instrument struct {
	name, unit, description string
	bounds                  []float64
}

var (
	seconds = []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300}
	tokens  = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}

	serverDuration = &instrument{"mcp.server.operation.duration", "s", "Duration of an MCP request as its receiver saw it.", seconds}
	clientDuration = &instrument{"mcp.client.operation.duration", "s", "Duration of an MCP request as its sender saw it.", seconds}
	reportedTokens = &instrument{"gen_ai.client.token.usage", "{token}", "Tokens that a provider reported.", tokens}
	countedTokens  = &instrument{"mcpsiem.token.usage", "{token}", "Tokens of a message, counted by mcpsiem.", tokens}
	cost           = &instrument{"mcpsiem.cost", "{currency}", "Cost of tokens in mcpsiem.cost.currency.", nil}
	findings       = &instrument{"mcpsiem.findings", "{finding}", "Findings as raised.", nil}
)

const (
	attrTokenType = "gen_ai.token.type"
	attrOverflow  = "otel.metric.overflow" // of the OpenTelemetry SDK's cardinality limit
	otherName     = "_OTHER"               // a name that anybody could have made up

	// maxPoints bounds a request: a point has some 600 bytes, and a gRPC server takes 4 MiB.
	maxPoints = 1000
	// maxIntervals bounds what is remembered of message numbers.
	maxIntervals = 1 << 16
)

// attributes are pairs of a name and a value; empty values are left out.
type attributes []string

func (a attributes) with(pairs ...string) attributes { return append(slices.Clip(a), pairs...) }

// series is what was counted of one instrument under the same attributes.
type series struct {
	*instrument
	attrs   attributes
	count   uint64
	sum     float64
	buckets []uint64
	changed uint64 // generation of the last change
}

// totals are all series. Safe for concurrent use.
type totals struct {
	start    time.Time
	instance string // of this process
	limit    int    // series of one instrument; what comes then goes to one more

	mu      sync.Mutex // guards what follows
	series  map[string]*series
	number  map[*instrument]int
	counted map[string]*intervals // numbers of messages, by stream
	now     uint64                // generation: grows with each batch

	sending  chan struct{} // held by who sends: points of a series must not overtake each other
	accepted uint64        // generation that the backend has; guarded by sending
	warned   time.Time     // when a refusal was last logged; guarded by sending
}

func newTotals(limit int, start time.Time) *totals {
	return &totals{start: start, instance: uuid.NewString(), limit: limit, series: map[string]*series{}, number: map[*instrument]int{}, counted: map[string]*intervals{}, sending: make(chan struct{}, 1)}
}

// message is one of a batch, with what is to be counted of it.
type message struct {
	stream  string
	seq     uint64 // 0: unknown
	records int
	adds    []measurement
}

type measurement struct {
	*instrument
	attrs attributes
	value float64
}

// add counts the messages that were not counted before, and returns the generation that a backend has to have.
func (t *totals) add(batch []message) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now++
	for _, m := range batch {
		if m.seq != 0 {
			seen := t.counted[m.stream]
			if seen == nil {
				seen = &intervals{}
				t.counted[m.stream] = seen
			}
			if !seen.add(m.seq) {
				continue
			}
		}
		for _, x := range m.adds {
			t.record(x)
		}
	}
	return t.now
}

func (t *totals) record(x measurement) {
	key := x.name + "\x00" + strings.Join(x.attrs, "\x00")
	s := t.series[key]
	if s == nil && t.number[x.instrument] >= t.limit {
		x.attrs = attributes{attrOverflow, "true"}
		key = x.name + "\x00" + attrOverflow
		s = t.series[key]
	}
	if s == nil {
		s = &series{instrument: x.instrument, attrs: x.attrs}
		if x.bounds != nil {
			s.buckets = make([]uint64, len(x.bounds)+1)
		}
		t.series[key] = s
		t.number[x.instrument]++
	}
	s.count++
	s.sum += x.value
	s.changed = t.now
	if s.buckets != nil {
		s.buckets[sort.SearchFloat64s(s.bounds, x.value)]++ // bounds are inclusive above
	}
}

// deliver returns when the backend has everything up to a generation. Batches that wait meanwhile go with the next request.
func (t *totals) deliver(ctx context.Context, generation uint64, resource func(pcommon.Map), send func(pmetric.Metrics) error) error {
	select {
	case t.sending <- struct{}{}:
		defer func() { <-t.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if t.accepted >= generation {
		return nil
	}
	changed, upTo := t.since(t.accepted)
	for part := range slices.Chunk(changed, maxPoints) {
		if err := send(t.points(part, resource)); err != nil {
			return err
		}
	}
	t.accepted = upTo
	return nil
}

// since is the present state of the series that changed after a generation.
func (t *totals) since(generation uint64) (changed []series, upTo uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(t.series)) {
		if s := t.series[key]; s.changed > generation {
			now := *s
			now.buckets = slices.Clone(s.buckets)
			changed = append(changed, now)
		}
	}
	return changed, t.now
}

// points are the points of series, which are in the order of their instruments.
func (t *totals) points(all []series, resource func(pcommon.Map)) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.SetSchemaUrl(schemaURL)
	resource(rm.Resource().Attributes())
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.SetSchemaUrl(schemaURL)
	sm.Scope().SetName(scopeName)
	start, now := pcommon.NewTimestampFromTime(t.start), pcommon.NewTimestampFromTime(time.Now())
	var of *instrument
	var m pmetric.Metric
	for _, s := range all {
		if s.instrument != of {
			of, m = s.instrument, sm.Metrics().AppendEmpty()
			m.SetName(s.name)
			m.SetUnit(s.unit)
			m.SetDescription(s.description)
			if s.bounds != nil {
				m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			} else {
				m.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
				m.Sum().SetIsMonotonic(true)
			}
		}
		if s.bounds == nil {
			p := m.Sum().DataPoints().AppendEmpty()
			p.SetStartTimestamp(start)
			p.SetTimestamp(now)
			p.SetDoubleValue(s.sum)
			s.attrs.put(p.Attributes())
			continue
		}
		p := m.Histogram().DataPoints().AppendEmpty()
		p.SetStartTimestamp(start)
		p.SetTimestamp(now)
		p.SetCount(s.count)
		p.SetSum(s.sum)
		p.ExplicitBounds().FromRaw(s.bounds)
		p.BucketCounts().FromRaw(s.buckets)
		s.attrs.put(p.Attributes())
	}
	return md
}

func (a attributes) put(to pcommon.Map) {
	for i := 0; i+1 < len(a); i += 2 {
		switch {
		case a[i+1] == "":
		case a[i] == attrOverflow:
			to.PutBool(a[i], true)
		default:
			to.PutStr(a[i], a[i+1])
		}
	}
}

// measure is what a record adds.
func measure(rec *sink.Record) []measurement {
	tenant := attributes{event.AttrTenant, rec.Tenant()}
	if f := rec.Finding; f != nil {
		if f.Revision != 0 { // a change of its state
			return nil
		}
		return []measurement{{findings, tenant.with(finding.AttrRuleID, f.RuleID, finding.AttrSeverity, f.Severity), 1}}
	}
	e := rec.Event
	if rec.Kind() == sink.KindAudit || e.Kind == event.KindRecord {
		return nil
	}
	var out []measurement
	what := tenant.with(event.AttrServer, e.Server, event.AttrMethod, method(e), event.AttrTool, named(e, e.Tool), event.AttrPrompt, named(e, e.Prompt))
	if e.Method == mcp.ToolsCall {
		what = what.with(attrOperation, "execute_tool")
	}
	switch e.Outcome {
	case "", event.OutcomeOrphan, event.OutcomeLate: // no exchange, or one that was counted when its time was up
	default:
		in := serverDuration // a tap is beside the server
		if e.Direction == event.ClientToServer {
			in = clientDuration // an answer to what the server asked for
		}
		out = append(out, measurement{in, what.with(event.AttrErrorType, errorType(e), event.AttrRPCCode, e.RPCCode, event.AttrProtocolVersion, e.ProtocolVersion,
			event.AttrNetworkTransport, e.NetworkTransport, event.AttrNetworkProtocol, e.NetworkProtocol, event.AttrNetworkProtocolVersion, e.NetworkProtocolVersion),
			max(float64(e.DurationNanos), 0) / 1e9})
	}
	count := func(kind string, n int64) {
		if n > 0 {
			out = append(out, measurement{countedTokens, what.with(attrTokenType, kind), float64(n)})
		}
	}
	count("output", e.TokensArguments) // a model wrote them
	count("input", e.TokensResult+e.TokensDefinitions)
	for kind, attr := range map[string]string{"input": "gen_ai.usage.input_tokens", "output": "gen_ai.usage.output_tokens"} {
		if n, err := strconv.ParseFloat(e.Extra[attr], 64); err == nil && n > 0 {
			out = append(out, measurement{reportedTokens, tenant.with(attrTokenType, kind, attrOperation, e.Extra[attrOperation], "gen_ai.provider.name", e.Extra["gen_ai.provider.name"],
				"gen_ai.request.model", e.Extra["gen_ai.request.model"], event.AttrModel, e.Model), n})
		}
	}
	if e.CostAmount > 0 {
		out = append(out, measurement{cost, what.with(event.AttrCostCurrency, e.CostCurrency, event.AttrCostModel, e.CostModel, event.AttrCostBasis, e.CostBasis), e.CostAmount})
	}
	return out
}

func method(e *event.Event) string {
	if e.Method == "" || mcp.KnownMethod(e.Method) {
		return e.Method
	}
	return otherName
}

// named is the name of a tool or prompt, unless the other side said that it knows none of that name: who calls could make up any number of them.
func named(e *event.Event, name string) string {
	if name != "" && (e.RPCCode == mcp.CodeInvalidParams || e.RPCCode == mcp.CodeMethodNotFound) {
		return otherName
	}
	return name
}

// errorType is empty for what went well.
func errorType(e *event.Event) string {
	switch {
	case e.ErrorType != "":
		return e.ErrorType
	case e.Outcome == event.OutcomeOK, e.Outcome == event.OutcomeInputRequired:
		return ""
	}
	return e.Outcome
}

// intervals are numbers of messages, as ranges without gaps in ascending order.
type intervals struct{ ranges []interval }

type interval struct{ from, to uint64 }

// add reports whether n is new. What is lower than everything that is remembered counts as new if ranges were forgotten.
func (s *intervals) add(n uint64) bool {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].to >= n })
	if i < len(s.ranges) && s.ranges[i].from <= n {
		return false
	}
	after := i > 0 && s.ranges[i-1].to+1 == n
	before := i < len(s.ranges) && s.ranges[i].from == n+1
	switch {
	case after && before:
		s.ranges[i-1].to = s.ranges[i].to
		s.ranges = slices.Delete(s.ranges, i, i+1)
	case after:
		s.ranges[i-1].to = n
	case before:
		s.ranges[i].from = n
	default:
		s.ranges = slices.Insert(s.ranges, i, interval{n, n})
		if len(s.ranges) > maxIntervals {
			s.ranges = slices.Delete(s.ranges, 0, maxIntervals/2)
		}
	}
	return true
}
