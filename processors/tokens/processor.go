package tokens

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/attr"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
	bpe "github.com/mcpsiem/mcpsiem/internal/tokens"
)

// What a provider reports of a model's use (OpenTelemetry GenAI conventions); input includes cached.
const (
	attrUsageInput   = "gen_ai.usage.input_tokens"
	attrUsageOutput  = "gen_ai.usage.output_tokens"
	attrUsageCached  = "gen_ai.usage.cache_read.input_tokens"
	attrRequestModel = "gen_ai.request.model"
)

// Values of event.AttrCostBasis.
const (
	basisCounted  = "counted"
	basisReported = "reported"
)

// anomalyTools marks a list with more tools than are recorded.
const anomalyTools = "too_many_tools"

// tokensProcessor sets the token and cost attributes of every event. It fails no batch: what it cannot read has no counts.
type tokensProcessor struct {
	cfg       *Config
	tel       *telemetry
	encodings map[string]*bpe.Encoding // by name; complete after start
	choose    []encodingChoice
	models    []modelChoice
	prices    *priceList
}

// rule is a Match made ready.
type rule struct{ tenant, server, client glob }

type modelChoice struct {
	rule
	model string
}

type encodingChoice struct {
	rule
	model    glob
	encoding string
}

func newRule(m Match) rule { return rule{newGlob(m.Tenant), newGlob(m.Server), newGlob(m.Client)} }

func newProcessor(cfg *Config, set component.TelemetrySettings) (*tokensProcessor, error) {
	tel, err := newTelemetry(set)
	if err != nil {
		return nil, err
	}
	p := &tokensProcessor{cfg: cfg, tel: tel, encodings: make(map[string]*bpe.Encoding)}
	for _, m := range cfg.Models {
		p.models = append(p.models, modelChoice{newRule(m.Match), m.Model})
	}
	for _, e := range cfg.Encodings {
		p.choose = append(p.choose, encodingChoice{newRule(e.Match), newGlob(e.Model), e.Encoding})
	}
	return p, nil
}

// start loads what is configured, so that a wrong path stops the collector and the first event does not wait.
func (p *tokensProcessor) start(context.Context, component.Host) error {
	files := make(map[string]EncodingFile)
	for _, f := range p.cfg.EncodingFiles {
		files[f.Name] = f
	}
	names := []string{p.cfg.Encoding}
	for _, c := range p.choose {
		names = append(names, c.encoding)
	}
	for _, name := range names {
		if p.encodings[name] != nil {
			continue
		}
		var (
			e   *bpe.Encoding
			err error
		)
		if f, ok := files[name]; ok {
			split, _ := bpe.ParseSplit(f.Split)
			e, err = bpe.LoadFile(name, f.Path, split)
		} else {
			e, err = bpe.Get(name)
		}
		if err != nil {
			return fmt.Errorf("cannot start tokens processor: %w", err)
		}
		p.encodings[name] = e
	}
	var err error
	p.prices, err = newPriceList(p.cfg, p.tel)
	if err != nil {
		return fmt.Errorf("cannot start tokens processor: %w", err)
	}
	return nil
}

func (p *tokensProcessor) process(ctx context.Context, ld plog.Logs) (plog.Logs, error) {
	now := time.Now()
	table := p.prices.table(now)
	c := counters.Get().(*counter)
	var b batch
	for _, rl := range ld.ResourceLogs().All() {
		res := rl.Resource().Attributes()
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				r := record{res: res, attrs: lr.Attributes()}
				if r.at = int64(lr.Timestamp()); r.at == 0 {
					r.at = now.UnixNano()
				}
				b.outcomes[p.event(&r, lr, table, c, &b)]++
			}
		}
	}
	c.release()
	p.tel.flush(ctx, &b)
	return ld, nil
}

// record is a log record's attributes with those of its resource behind them.
type record struct {
	res, attrs pcommon.Map
	at         int64 // ns since 1970
}

func (r *record) get(key string) (pcommon.Value, bool) {
	if v, ok := r.attrs.Get(key); ok {
		return v, true
	}
	return r.res.Get(key)
}

func (r *record) str(key string) string {
	if v, ok := r.get(key); ok {
		return v.AsString()
	}
	return ""
}

func (r *record) number(key string) int64 {
	if v, ok := r.get(key); ok {
		return max(0, attr.Int(v))
	}
	return 0
}

// usage is what a model is charged for.
type usage struct {
	input, cached, output int64
	basis                 string
}

func (p *tokensProcessor) event(r *record, lr plog.LogRecord, table *table, c *counter, b *batch) int {
	outcome := outcomeNone
	var m mcp.Message
	switch raw := body(lr.Body()); {
	case len(raw) == 0:
	case p.cfg.MaxBytes > 0 && len(raw) > p.cfg.MaxBytes:
		outcome = outcomeTooLarge
	default:
		m = mcp.Parse(raw, mcp.Limits{})
		if m.Anomalies.Has(mcp.ParseError) || m.Kind == mcp.KindInvalid {
			outcome, m = outcomeUnparseable, mcp.Message{}
		}
	}
	method := r.str(event.AttrMethod)
	if method == "" {
		method = m.Method
	}
	model := p.model(r, &m)
	u := p.count(r, &m, method, model, c, b)
	if reported := r.reported(); reported.basis != "" {
		u = reported
	}
	switch {
	case u.input+u.output > 0:
		if p.charge(r, table, u, model) {
			return outcomeCounted
		}
		return outcomeUnpriced
	case u.basis != "":
		return outcomeUncosted
	}
	return outcome
}

// body returns the record's body without a copy where pdata allows it. It is only read, and only during this event.
func body(v pcommon.Value) []byte {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		s := v.Str()
		return unsafe.Slice(unsafe.StringData(s), len(s))
	case pcommon.ValueTypeBytes:
		return v.Bytes().AsRaw()
	}
	return nil
}

// count sets the token attributes and returns what of them a model is charged for.
func (p *tokensProcessor) count(r *record, m *mcp.Message, method, model string, c *counter, b *batch) (u usage) {
	var arguments, result, definitions int64
	c.enc = p.encoding(r, model)
	switch m.Kind {
	case mcp.KindRequest:
		arguments = c.arguments(m.Params, method)
	case mcp.KindError:
		result = c.message(m.Error)
	case mcp.KindResponse:
		tools, ok := mcp.Get(m.Result, "tools")
		if ok = ok && isKind(tools, '[') && (method == mcp.ToolsList || method == ""); !ok {
			result = c.result(m.Result, 0)
			break
		}
		defs, total, more := c.definitions(tools, p.cfg.MaxTools)
		definitions = total
		if len(defs) > 0 {
			event.PutToolDefs(r.attrs, defs)
		}
		if more {
			r.anomaly(anomalyTools)
		}
	}
	put := func(key string, n int64, sum *int64) {
		if n > 0 {
			r.attrs.PutInt(key, n)
			*sum += n
		}
	}
	put(event.AttrTokensArguments, arguments, &b.arguments)
	put(event.AttrTokensResult, result, &b.result)
	put(event.AttrTokensDefinitions, definitions, &b.definitions)
	if arguments+result+definitions == 0 {
		return usage{}
	}
	r.attrs.PutStr(event.AttrTokensEncoding, c.enc.Name())
	u.basis = basisCounted
	switch method {
	case mcp.ToolsCall: // the model wrote the arguments and reads the result
		u.output, u.input = arguments, result
	case mcp.SamplingCreateMessage: // the client's model reads the request and writes the result
		u.input, u.output = arguments, result
		if m.Kind == mcp.KindError {
			u.output = 0
		}
	case mcp.ResourcesRead, mcp.PromptsGet, mcp.TasksResult:
		u.input = result
	case mcp.ToolsList:
		u.input = definitions
	}
	return u
}

// reported is the use that the record's source reports.
func (r *record) reported() usage {
	in, out := r.number(attrUsageInput), r.number(attrUsageOutput)
	if in+out == 0 {
		return usage{}
	}
	return usage{input: in, output: out, cached: r.number(attrUsageCached), basis: basisReported}
}

// charge sets the cost attributes, if there is a price.
func (p *tokensProcessor) charge(r *record, table *table, u usage, model string) bool {
	if model == "" {
		return false
	}
	row := table.find(strings.ToLower(model), r.at)
	if row == nil {
		return false
	}
	r.attrs.PutDouble(event.AttrCostAmount, row.amount(u.input, u.cached, u.output))
	r.attrs.PutStr(event.AttrCostCurrency, row.currencyCode)
	r.attrs.PutStr(event.AttrCostPriceVersion, table.version)
	r.attrs.PutStr(event.AttrCostModel, model)
	r.attrs.PutStr(event.AttrCostBasis, u.basis)
	return true
}

// model finds the event's model, and records it where the message itself names it.
func (p *tokensProcessor) model(r *record, m *mcp.Message) string {
	if name := r.str(event.AttrModel); name != "" {
		return name
	}
	if m.Kind == mcp.KindResponse && r.str(event.AttrMethod) == mcp.SamplingCreateMessage {
		if name := mcp.GetText(m.Result, "model"); plausibleModel(name) {
			r.attrs.PutStr(event.AttrModel, name)
			return name
		}
	}
	if name := r.str(attrRequestModel); name != "" {
		return name
	}
	if len(p.models) > 0 {
		k := r.key()
		for _, c := range p.models {
			if c.matches(&k) {
				return c.model
			}
		}
	}
	return p.cfg.DefaultModel
}

// plausibleModel keeps a message from putting any text it likes into an attribute.
func plausibleModel(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._:/@+", c) >= 0) {
			return false
		}
	}
	return true
}

func (p *tokensProcessor) encoding(r *record, model string) *bpe.Encoding {
	if len(p.choose) > 0 {
		k, model := r.key(), strings.ToLower(model)
		for _, c := range p.choose {
			if c.matches(&k) && c.model.matches(model) {
				return p.encodings[c.encoding]
			}
		}
	}
	return p.encodings[p.cfg.Encoding]
}

// key is what rules look at, in lower case.
type key struct{ tenant, server, client string }

func (r *record) key() key {
	k := key{strings.ToLower(r.str(event.AttrTenant)), strings.ToLower(r.str(event.AttrServer)), strings.ToLower(r.str(event.AttrClientName))}
	if k.tenant == "" {
		k.tenant = event.DefaultTenant
	}
	return k
}

func (u *rule) matches(k *key) bool {
	return u.tenant.matches(k.tenant) && u.server.matches(k.server) && u.client.matches(k.client)
}

func (r *record) anomaly(name string) {
	v, ok := r.attrs.Get(event.AttrAnomalies)
	if !ok || v.Type() != pcommon.ValueTypeSlice {
		r.attrs.PutEmptySlice(event.AttrAnomalies).AppendEmpty().SetStr(name)
		return
	}
	for _, x := range v.Slice().All() {
		if x.AsString() == name { // a redelivered record
			return
		}
	}
	v.Slice().AppendEmpty().SetStr(name)
}
