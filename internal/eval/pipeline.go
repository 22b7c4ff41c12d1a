// The stages of the pipeline, put together in memory as a configuration would.
package eval

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/rule"
	"github.com/mcpsiem/mcpsiem/detectors/rules"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	look "github.com/mcpsiem/mcpsiem/internal/inspect"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/processors/decode"
	"github.com/mcpsiem/mcpsiem/processors/identity"
	"github.com/mcpsiem/mcpsiem/processors/inspect"
	"github.com/mcpsiem/mcpsiem/processors/tokens"
)

// key is the key of pseudonyms and fingerprints. It is no secret: nothing made with it leaves this package. That it is always the
// same makes runs the same but for pseudonyms.
const key = "6d63707369656d206576616c756174696f6e206b65792c206e6f736563726574"

// pipeline passes messages through decode, identity, tokens and inspect, and their events to detectors.
type pipeline struct {
	dir        string // of the key files
	first      connector.Logs
	components []component.Component
	defs       []engine.Definition
	rules      *rule.Set   // those that come with the product
	out        []plog.Logs // what came out of the last stage
	texts      *look.Session

	events, withheld, panics int64
}

// message is one JSON-RPC message and what a capture of it would tell beside.
type message struct {
	raw            []byte // JSON
	server, method string // method: of the request that a response answers, where the row says so
	client         string // whose conversation it is in; names the principal
	tenant         string // empty: the default
	session        string // within the row; empty: one for all
	tool, exchange string // of the call that a response answers, where the row says so
	at             time.Duration
}

func newPipeline(ctx context.Context, defs []engine.Definition) (p *pipeline, err error) {
	p = &pipeline{defs: defs}
	reserved := make([]string, len(defs))
	for i := range defs {
		reserved[i] = defs[i].Spec.ID
	}
	var faults rule.Problems
	if p.rules, faults, err = rules.Load(true, nil, reserved...); err != nil {
		return nil, fmt.Errorf("cannot load rules: %w", err)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("cannot load rules: %w", faults)
	}
	if p.dir, err = os.MkdirTemp("", "mcpsiem-eval-"); err != nil {
		return nil, fmt.Errorf("cannot make a folder for keys: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(ctx))
		}
	}()
	keyFile := filepath.Join(p.dir, "key")
	if err := os.WriteFile(keyFile, []byte(key), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write a key: %w", err)
	}
	master, err := pseudonym.Load(keyFile)
	if err != nil {
		return nil, err
	}
	engine, err := look.New(look.Config{Master: master})
	if err != nil {
		return nil, err
	}
	p.texts = engine.Session()
	next, err := consumer.NewLogs(func(_ context.Context, ld plog.Logs) error {
		p.out = append(p.out, ld)
		return nil
	})
	if err != nil {
		return nil, err
	}
	tel := component.TelemetrySettings{Logger: zap.NewNop(), TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), Resource: pcommon.NewResource()}

	stages := []processor.Factory{identity.NewFactory(), tokens.NewFactory(), inspect.NewFactory()}
	for _, f := range slices.Backward(stages) {
		cfg := f.CreateDefaultConfig()
		switch c := cfg.(type) {
		case *identity.Config:
			c.KeyFile = keyFile
		case *inspect.Config:
			c.KeyFile = keyFile
		}
		proc, err := f.CreateLogs(ctx, processor.Settings{ID: component.NewID(f.Type()), TelemetrySettings: tel}, cfg, next)
		if err != nil {
			return nil, fmt.Errorf("cannot make stage %s: %w", f.Type(), err)
		}
		next = proc
		p.components = append(p.components, proc)
	}
	f := decode.NewFactory()
	if p.first, err = f.CreateLogsToLogs(ctx, connector.Settings{ID: component.NewID(f.Type()), TelemetrySettings: tel}, f.CreateDefaultConfig(), next); err != nil {
		return nil, fmt.Errorf("cannot make stage %s: %w", f.Type(), err)
	}
	p.components = append(p.components, p.first)
	for i, c := range p.components {
		if err := c.Start(ctx, noHost{}); err != nil {
			p.components = p.components[:i]
			return nil, fmt.Errorf("cannot start the pipeline: %w", err)
		}
	}
	return p, nil
}

type noHost struct{}

func (noHost) GetExtensions() map[component.ID]component.Component { return nil }

func (p *pipeline) close(ctx context.Context) error {
	var errs []error
	for _, c := range slices.Backward(p.components) {
		errs = append(errs, c.Shutdown(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

// epoch is when every row begins.
var epoch = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// errUnreadable says that the first stage could not read a row's message.
var errUnreadable = errors.New("unreadable message")

// judge passes the messages of a row through the pipeline, one group after the other, and tells what detectors that start empty
// raised in each group. row names the row among all rows.
func (p *pipeline) judge(row string, groups ...[]message) ([]outcome, error) {
	g, err := p.engine()
	if err != nil {
		return nil, err
	}
	out := make([]outcome, 0, len(groups))
	n := 0
	for _, group := range groups {
		events, err := p.enrich(row, n, group)
		if err != nil {
			return nil, err
		}
		n += len(group)
		for _, ld := range events {
			g.Apply(ld)
		}
		out = append(out, raised(g.Findings()))
	}
	_, stats := g.Stats()
	for _, s := range stats {
		p.panics += s.Panics
	}
	return out, nil
}

func (p *pipeline) engine() (*engine.Engine, error) {
	s := engine.Settings{Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew}
	for _, d := range p.defs {
		in, err := d.New(nil)
		if err != nil {
			return nil, err
		}
		s.Detectors = append(s.Detectors, in)
	}
	var err error
	if s.Rules, s.Select, err = p.rules.Instances(); err != nil {
		return nil, err
	}
	return engine.New(s)
}

// enrich makes events of messages. first is how many messages of the row there were before.
func (p *pipeline) enrich(row string, first int, group []message) ([]plog.Logs, error) {
	ld := plog.NewLogs()
	recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range group {
		line, err := group[i].form(row, first+i)
		if err != nil {
			return nil, errUnreadable
		}
		recs.AppendEmpty().Body().SetStr(line)
	}
	p.out = p.out[:0]
	if len(group) > 0 {
		if err := p.first.ConsumeLogs(context.Background(), ld); err != nil {
			return nil, fmt.Errorf("cannot pass a message through the pipeline: %w", err)
		}
	}
	var e event.Event
	for _, ld := range p.out {
		for i := range ld.ResourceLogs().Len() {
			rl := ld.ResourceLogs().At(i)
			for j := range rl.ScopeLogs().Len() {
				recs := rl.ScopeLogs().At(j).LogRecords()
				for k := range recs.Len() {
					event.Decode(rl.Resource(), recs.At(k), &e)
					p.events++
					if e.Capture == event.CaptureWithheld {
						p.withheld++
					}
					if slices.Contains(e.Anomalies, "json_form") {
						return nil, errUnreadable
					}
				}
			}
		}
	}
	return p.out, nil
}

// form is the message in the JSON form of an event.
func (m *message) form(row string, n int) (string, error) {
	head := map[string]string{
		"time":                   epoch.Add(m.at).Format(time.RFC3339Nano),
		event.AttrID:             event.SourceID(row, fmt.Sprint(n)),
		event.AttrConversationID: event.SourceID("conversation", row),
		event.AttrClientName:     "eval",
		event.AttrPrincipalID:    m.client,
		event.AttrServer:         m.server,
		event.AttrMethod:         m.method,
	}
	if m.method != "" { // a capture has seen the request
		head[event.AttrExchangeID] = event.SourceID("exchange", row, fmt.Sprint(n))
	}
	if m.session != "" {
		head[event.AttrConversationID] = event.SourceID("conversation", row, m.session)
	}
	if m.exchange != "" {
		head[event.AttrExchangeID] = m.exchange
	}
	head[event.AttrTenant], head[event.AttrTool] = m.tenant, m.tool
	for k, v := range head {
		if v == "" {
			delete(head, k)
		}
	}
	b, err := json.Marshal(head)
	if err != nil {
		return "", err
	}
	var line strings.Builder
	line.Grow(len(b) + len(m.raw) + 16)
	line.Write(b[:len(b)-1])
	line.WriteString(`,"message":`)
	line.Write(m.raw)
	line.WriteByte('}')
	return line.String(), nil
}

// raised is the worst severity that each detector raised.
func raised(ld plog.Logs) outcome {
	o := outcome{}
	var f finding.Finding
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		for j := range rl.ScopeLogs().Len() {
			recs := rl.ScopeLogs().At(j).LogRecords()
			for k := range recs.Len() {
				finding.Decode(rl.Resource(), recs.At(k), &f)
				o[f.RuleID] = engine.WorseSeverity(o[f.RuleID], f.Severity)
			}
		}
	}
	return o
}

// stretch is a part of a text that inspection replaces: bytes Start to End.
type stretch = look.Found

// find lists what inspection replaces in a text that has no name, in order of Start.
func (p *pipeline) find(text string) []stretch {
	found := slices.Clone(p.texts.Find(text))
	slices.SortFunc(found, func(a, b stretch) int { return cmp.Compare(a.Start, b.Start) })
	return found
}
