package decode

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/mcpsiem/mcpsiem/internal/event"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// decoder holds no lock of its own; the pairing table and the limiter lock themselves. It may decode batches concurrently.
type decoder struct {
	cfg     *Config
	next    consumer.Logs
	tel     *telemetry
	key     *ident.Keys // nil unless key_file is set
	senders *lru.Cache[[sha256.Size]byte, sender]
	pairs   *pairing
	unknown *rate.Limiter
	now     func() time.Time
	stop    context.CancelFunc // of the watch on key
	done    sync.WaitGroup
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
	d.senders, err = lru.New[[sha256.Size]byte, sender](1024)
	return d, err
}

// Start reads the key, if one is configured.
func (d *decoder) Start(context.Context, component.Host) error {
	if d.cfg.KeyFile == "" {
		return nil
	}
	k, err := ident.OpenKeys(d.cfg.KeyFile)
	if err != nil {
		return err
	}
	d.key = k
	ctx, cancel := context.WithCancel(context.Background())
	d.stop = cancel
	d.done.Go(func() {
		k.Run(ctx, func(err error) {
			if err != nil {
				d.tel.log.Error("The key of fingerprints stays as it was", zap.Error(err))
			}
		})
	})
	return nil
}

// Shutdown ends the watch on the key.
func (d *decoder) Shutdown(context.Context) error {
	if d.stop != nil {
		d.stop()
	}
	d.done.Wait()
	return nil
}

// sender is the credential with which a batch came, by its fingerprints. Immutable.
type sender struct {
	keys        *ident.Epoch
	fingerprint string // empty if it came with none
	former      string // under the keys before, with commas
}

// Capabilities says that batches are changed in place.
func (d *decoder) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// ConsumeLogs decodes a batch and passes its events on. An error is the next component's, unchanged.
func (d *decoder) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	from := d.sender(ctx)
	in := &input{received: d.now().UnixNano(), from: from, sender: from.fingerprint, prefix: &prefixCache{}}
	out := &output{d: d, logs: plog.NewLogs()}
	ld.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		d.clean(rl.Resource().Attributes(), in.from)
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
		d.clean(out.res.Attributes(), in.from)
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
	from := d.sender(ctx)
	in := &input{received: d.now().UnixNano(), from: from, sender: from.fingerprint}
	out := &output{d: d, logs: plog.NewLogs()}
	for i := range td.ResourceSpans().Len() {
		rs := td.ResourceSpans().At(i)
		d.clean(rs.Resource().Attributes(), in.from)
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

// sender is the credential that the batch came with.
func (d *decoder) sender(ctx context.Context) (s sender) {
	if d.key == nil {
		return s
	}
	vals := client.FromContext(ctx).Metadata.Get("authorization")
	if len(vals) == 0 {
		return s
	}
	cred := vals[0]
	if _, c, ok := strings.Cut(cred, " "); ok {
		cred = strings.TrimSpace(c)
	}
	if cred == "" {
		return s
	}
	keys, sum := d.key.Current(), sha256.Sum256([]byte(cred))
	s, ok := d.senders.Get(sum)
	if !ok || s.keys != keys {
		s = sender{keys, keys.Key.Fingerprint(cred), strings.Join(keys.Former(cred), ",")}
		d.senders.Add(sum, s)
	}
	return s
}

// clean makes the attributes of a resource fit for events.
func (d *decoder) clean(m pcommon.Map, from sender) {
	m.RemoveIf(func(k string, v pcommon.Value) bool {
		return d.forbidden(k) || k == event.AttrID || !shallow(v, maxAttrDepth)
	})
	if from.fingerprint != "" {
		m.PutStr(event.AttrSourceCredential, from.fingerprint)
	}
	if from.former != "" {
		m.PutStr(ident.SourceFormer, from.former)
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
