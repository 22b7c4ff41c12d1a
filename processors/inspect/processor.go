package inspect

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/event"
	engine "github.com/mcpsiem/mcpsiem/internal/inspect"
	"github.com/mcpsiem/mcpsiem/internal/inspect/capability"
	"github.com/mcpsiem/mcpsiem/internal/inspect/policy"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
)

type inspector struct {
	cfg     *Config
	set     processor.Settings
	engine  *engine.Engine
	tenants *pseudonym.Tenants
	told    atomic.Int64 // when a missing key was last logged, ns since 1970
	metrics metrics
}

func newProcessor(set processor.Settings, cfg *Config) (*inspector, error) {
	m, err := newMetrics(set.TelemetrySettings)
	if err != nil {
		return nil, fmt.Errorf("cannot make the metrics of inspect: %w", err)
	}
	return &inspector{cfg: cfg, set: set, metrics: m}, nil
}

// start reads key and policy, so that a bad one stops the collector instead of letting content pass.
func (p *inspector) start(context.Context, component.Host) error {
	master, err := pseudonym.Load(p.cfg.KeyFile)
	if err != nil {
		return err
	}
	if p.tenants, err = pseudonym.EnsureTenants(p.cfg.keysDir()); err != nil {
		return err
	}
	cfg := engine.Config{Master: master, Tenants: p.tenants, Epoch: p.cfg.KeyEpoch, MaxBytes: p.cfg.MaxBytes, MaxDepth: p.cfg.MaxDepth, Timeout: p.cfg.Timeout,
		Rotation: p.cfg.FingerprintRotation, DryRun: p.cfg.DryRun}
	if p.cfg.PolicyFile != "" {
		if cfg.Policy, err = policy.Load(p.cfg.PolicyFile, engine.PolicyClasses()); err != nil {
			return err
		}
	}
	if p.cfg.CapabilitiesFile != "" {
		if cfg.Tools, err = capability.Load(p.cfg.CapabilitiesFile); err != nil {
			return err
		}
	}
	if p.engine, err = engine.New(cfg); err != nil {
		return err
	}
	if p.cfg.DryRun {
		p.set.Logger.Warn("inspect runs dry: nothing is redacted, raw content is stored")
	}
	return nil
}

func (p *inspector) process(ctx context.Context, logs plog.Logs) (plog.Logs, error) {
	s := p.engine.Session()
	defer s.Close()
	redactions := map[string]int64{}
	withheld := map[string]int64{}
	var events, bytes int64
	resources := logs.ResourceLogs()
	for i := range resources.Len() {
		rl := resources.At(i)
		scopes := rl.ScopeLogs()
		for j := range scopes.Len() {
			records := scopes.At(j).LogRecords()
			for k := range records.Len() {
				lr := records.At(k)
				events++
				out, n := p.one(s, rl.Resource(), lr)
				bytes += int64(n)
				if out.Withheld != "" {
					withheld[out.Withheld]++
				}
				for c, n := range out.Redactions {
					redactions[c] += int64(n)
				}
			}
		}
	}
	// Resource and scope are shared by records: after the records, under the tenant of the resource.
	for i := range resources.Len() {
		rl := resources.At(i)
		in := engine.Input{Tenant: tenantOf(rl)}
		s.Begin(&in)
		r := rewriter{s: s, dry: p.cfg.DryRun}
		r.resource(rl)
	}
	p.tellMissingKey()
	p.metrics.events.Add(ctx, events)
	p.metrics.bytes.Add(ctx, bytes)
	for c, n := range redactions {
		p.metrics.redactions.Add(ctx, n, metric.WithAttributes(attribute.String("class", c)))
	}
	for c, n := range withheld {
		p.metrics.withheld.Add(ctx, n, metric.WithAttributes(attribute.String("reason", c)))
	}
	return logs, nil
}

// tellMissingKey logs, now and then, why the key of a tenant could not be had.
func (p *inspector) tellMissingKey() {
	err := p.tenants.LastError()
	if err == nil {
		return
	}
	now := time.Now().UnixNano()
	if last := p.told.Load(); now-last < int64(10*time.Second) || !p.told.CompareAndSwap(last, now) {
		return
	}
	p.set.Logger.Error("content of a tenant is withheld, because its key is not available", zap.Error(err))
}

// input reads what inspection needs from a record; attributes of the record win over those of its resource.
func (p *inspector) input(res resource, lr plog.LogRecord) engine.Input {
	get := func(k string) string {
		if v, ok := lr.Attributes().Get(k); ok {
			return v.AsString()
		}
		if v, ok := res.Attributes().Get(k); ok {
			return v.AsString()
		}
		return ""
	}
	in := engine.Input{
		Tenant: get(event.AttrTenant), Server: get(event.AttrServer), Tool: get(event.AttrTool), Method: get(event.AttrMethod),
		Kind: get(event.AttrKind), Direction: get(event.AttrDirection), Time: int64(lr.Timestamp()),
		Body: bodyOf(lr), BodySHA256: get(event.AttrBodySHA256), Truncated: get(event.AttrCapture) == event.CaptureTruncated,
	}
	if in.Tenant == "" {
		in.Tenant = event.DefaultTenant
	}
	return in
}

// tenantOf is the tenant that a resource belongs to: its own, or that of its first record that has one.
func tenantOf(rl plog.ResourceLogs) string {
	if v, ok := rl.Resource().Attributes().Get(event.AttrTenant); ok && v.AsString() != "" {
		return v.AsString()
	}
	for i := range rl.ScopeLogs().Len() {
		records := rl.ScopeLogs().At(i).LogRecords()
		for k := range records.Len() {
			if v, ok := records.At(k).Attributes().Get(event.AttrTenant); ok && v.AsString() != "" {
				return v.AsString()
			}
		}
	}
	return event.DefaultTenant
}

// one inspects and rewrites a record. Whatever goes wrong, the record does not leave with its content.
func (p *inspector) one(s *engine.Session, res resource, lr plog.LogRecord) (out engine.Output, size int) {
	defer func() {
		if recover() != nil {
			wipe(lr)
			out = engine.Output{Withheld: engine.ReasonFailed}
		}
	}()
	in := p.input(res, lr)
	out = s.Inspect(&in)
	r := rewriter{s: s, dry: p.cfg.DryRun}
	r.record(lr, &out)
	return out, len(in.Body)
}

// wipe leaves of a record only what says that there was one.
func wipe(lr plog.LogRecord) {
	pcommon.NewValueEmpty().CopyTo(lr.Body())
	lr.SetSeverityText("")
	lr.SetEventName("")
	keep := map[string]bool{event.AttrID: true, event.AttrTenant: true, event.AttrTapID: true, event.AttrTapEpoch: true, event.AttrTapSeq: true, event.AttrKind: true, event.AttrBodySize: true}
	lr.Attributes().RemoveIf(func(k string, _ pcommon.Value) bool { return !keep[k] })
	lr.Attributes().PutStr(event.AttrCapture, event.CaptureWithheld)
	lr.Attributes().PutStr(event.AttrWithheldReason, engine.ReasonFailed)
}
