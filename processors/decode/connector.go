package decode

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/time/rate"

	"github.com/mcpsiem/mcpsiem/internal/event"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// decoder holds no lock of its own; the pairing table and the limiter lock themselves. It may decode batches concurrently.
type decoder struct {
	cfg     *Config
	next    consumer.Logs
	tel     *telemetry
	key     atomic.Pointer[ident.Key] // nil unless key_file is set
	senders *lru.Cache[[sha256.Size]byte, string]
	pairs   *pairing
	unknown *rate.Limiter
	now     func() time.Time
}

func newDecoder(cfg *Config, set component.TelemetrySettings, next consumer.Logs) (*decoder, error) {
	d := &decoder{cfg: cfg, next: next, now: time.Now, unknown: rate.NewLimiter(rate.Limit(cfg.Unknown.PerSecond), cfg.Unknown.Burst)}
	var err error
	if d.tel, err = newTelemetry(set); err != nil {
		return nil, err
	}
	if d.pairs, err = newPairing(cfg.Pairing.Size); err != nil {
		return nil, err
	}
	d.senders, err = lru.New[[sha256.Size]byte, string](1024)
	return d, err
}

// Start reads the key, if one is configured.
func (d *decoder) Start(context.Context, component.Host) error {
	if d.cfg.KeyFile == "" {
		return nil
	}
	k, err := ident.LoadKey(d.cfg.KeyFile)
	if err != nil {
		return err
	}
	d.key.Store(k)
	return nil
}

// Shutdown has nothing to do.
func (d *decoder) Shutdown(context.Context) error { return nil }

// Capabilities says that batches are changed in place.
func (d *decoder) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// ConsumeLogs decodes a batch and passes its events on. An error is the next component's, unchanged.
func (d *decoder) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	in := &input{received: d.now().UnixNano(), sender: d.sender(ctx), prefix: &prefixCache{}}
	out := &output{d: d, logs: plog.NewLogs()}
	ld.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		d.clean(rl.Resource().Attributes(), in.sender)
		in.res, out.res, out.open = rl.Resource(), rl.Resource(), false
		rl.ScopeLogs().RemoveIf(func(sl plog.ScopeLogs) bool {
			sl.LogRecords().RemoveIf(func(lr plog.LogRecord) bool {
				in.lr, out.kept, out.events = lr, false, 0
				d.one(ctx, sl.Scope(), in, out)
				return !out.kept
			})
			return sl.LogRecords().Len() == 0
		})
		return rl.ScopeLogs().Len() == 0
	})
	if out.skipped > 0 {
		out.open = false
		out.res = pcommon.NewResource()
		d.clean(out.res.Attributes(), in.sender)
		out.add(skippedEvent(out, in))
	}
	out.logs.ResourceLogs().MoveAndAppendTo(ld.ResourceLogs())
	d.tel.flush(ctx)
	if ld.ResourceLogs().Len() == 0 {
		return nil
	}
	return d.next.ConsumeLogs(ctx, ld)
}

func (d *decoder) one(_ context.Context, scope pcommon.InstrumentationScope, in *input, out *output) {
	for i, f := range formats {
		if f.Claims(in.res, scope, in.lr) {
			f.Decode(d, in, out)
			d.tel.count(i, out.events)
			return
		}
	}
}

// ConsumeTraces makes events of MCP spans and passes them on. An error is the next component's, unchanged.
func (d *decoder) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	in := &input{received: d.now().UnixNano(), sender: d.sender(ctx)}
	out := &output{d: d, logs: plog.NewLogs()}
	for i := range td.ResourceSpans().Len() {
		rs := td.ResourceSpans().At(i)
		d.clean(rs.Resource().Attributes(), in.sender)
		in.res, out.res, out.open = rs.Resource(), rs.Resource(), false
		for j := range rs.ScopeSpans().Len() {
			spans := rs.ScopeSpans().At(j).Spans()
			for k := range spans.Len() {
				out.events = 0
				d.span(in, spans.At(k), out)
				d.tel.countSpan(out.events)
			}
		}
	}
	d.tel.flush(ctx)
	if out.logs.ResourceLogs().Len() == 0 {
		return nil
	}
	return d.next.ConsumeLogs(ctx, out.logs)
}

// sender is the fingerprint of the credential that the batch came with.
func (d *decoder) sender(ctx context.Context) string {
	k := d.key.Load()
	if k == nil {
		return ""
	}
	vals := client.FromContext(ctx).Metadata.Get("authorization")
	if len(vals) == 0 {
		return ""
	}
	cred := vals[0]
	if _, c, ok := strings.Cut(cred, " "); ok {
		cred = strings.TrimSpace(c)
	}
	if cred == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(cred))
	fp, ok := d.senders.Get(sum)
	if !ok {
		fp = k.Fingerprint(cred)
		d.senders.Add(sum, fp)
	}
	return fp
}

// clean makes the attributes of a resource fit for events.
func (d *decoder) clean(m pcommon.Map, sender string) {
	m.RemoveIf(func(k string, v pcommon.Value) bool {
		return d.forbidden(k) || k == event.AttrID || !shallow(v, maxAttrDepth)
	})
	if sender != "" {
		m.PutStr(event.AttrSourceCredential, sender)
	}
}

// finish puts an event in order that was made here.
func (d *decoder) finish(e *event.Event) {
	if len(e.Body) > d.cfg.MaxMessageBytes {
		e.Body = cut(e.Body, d.cfg.MaxMessageBytes)
		e.Capture = event.CaptureTruncated
	}
	if e.Name == "" {
		e.Name = nameOf(e.Kind)
	}
}

// cut shortens s to n bytes or a few less, at the end of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := 0; i < 3 && n > 0 && !utf8.RuneStart(s[n]); i++ {
		n--
	}
	return s[:n]
}

func nameOf(kind string) string {
	switch kind {
	case event.KindRequest:
		return event.NameRequest
	case event.KindResponse, event.KindError:
		return event.NameResponse
	case event.KindNotification:
		return event.NameNotification
	}
	return event.NameInvalid
}
