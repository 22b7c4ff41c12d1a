// Package ocsf is the exporter that writes records as events of the Open Cybersecurity Schema Framework: into files, to a URL, or to Kafka.
package ocsf

import (
	"context"
	"fmt"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/schemas/mappings"
)

// output is one event ready to go.
type output struct {
	index int
	key   string // of the record
	route string // events of one exchange or finding have the same: Kafka's key
	kind  sink.Kind
	class string
	body  []byte // JSON, one line, without its end
}

// target is where events go. Deliver calls done for each event that is durable there and refuse for each that will never be; its error is
// about all the others, which come again.
type target interface {
	start(ctx context.Context, host component.Host) error
	deliver(ctx context.Context, events []output, done func(*output), refuse func(*output, string)) error
	stop() error
}

type ocsfExporter struct {
	cfg     *Config
	log     *zap.Logger
	tel     *sink.Telemetry
	filter  *sink.Filter
	done    *sink.Confirmed
	mapping *mapping
	target  target
	workers sync.Pool // of *worker
	say     *sink.Complaints

	mu        sync.Mutex
	recovered map[string]struct{} // records that are in files since before this process, until they come again
}

type worker struct {
	reader *sink.Reader
	buf    []byte
	events []output
}

func newExporter(set exporter.Settings, cfg *Config) (*ocsfExporter, error) {
	cfg.defaults()
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	text := mappings.OCSF
	if cfg.Mapping != "" {
		if text, err = os.ReadFile(cfg.Mapping); err != nil {
			return nil, fmt.Errorf("cannot read the OCSF mapping: %w", err)
		}
	}
	e := &ocsfExporter{cfg: cfg, log: set.Logger, tel: tel, filter: filter, done: sink.NewConfirmed(0)}
	if e.mapping, err = parseMapping(text); err != nil {
		return nil, err
	}
	e.workers.New = func() any { return &worker{reader: sink.NewReader(filter, tel)} }
	switch {
	case cfg.File != nil:
		e.target = newFiles(cfg.File, e.known, set.Logger)
	case cfg.HTTP != nil:
		e.target = newPoster(cfg, tel)
	default:
		e.target = newProducer(cfg.Kafka, tel, set.TelemetrySettings)
	}
	return e, nil
}

func (e *ocsfExporter) start(ctx context.Context, host component.Host) error {
	e.say = sink.NewComplaints(e.log, host, "The target of OCSF events")
	if err := e.target.start(ctx, host); err != nil {
		return fmt.Errorf("cannot start the ocsf exporter: %w", err)
	}
	return nil
}

func (e *ocsfExporter) shutdown(context.Context) error { return e.target.stop() }

// known notes records that are in files already, from before this process. Their messages may come again, and not always as redelivered ones:
// how often a message was delivered is not what a server writes down first.
func (e *ocsfExporter) known(keys []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.recovered == nil {
		e.recovered = make(map[string]struct{}, len(keys))
	}
	for _, k := range keys {
		e.recovered[k] = struct{}{}
	}
}

// has reports whether an earlier process delivered the record. It says so once.
func (e *ocsfExporter) has(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.recovered[key]
	delete(e.recovered, key)
	return ok
}

// consume returns nil when every record of the batch is durable on the other side.
func (e *ocsfExporter) consume(ctx context.Context, ld plog.Logs) error {
	w := e.workers.Get().(*worker)
	defer e.workers.Put(w)
	w.buf, w.events = w.buf[:0], w.events[:0]
	batch := e.done.Batch(ctx)
	var refused sink.Refusals
	skipped, small := 0, e.cfg.MaxEventBytes
	var spans [][2]int
	for rec := range w.reader.Read(ctx, ld) {
		if batch.Has(rec) {
			skipped++
			continue
		}
		if e.has(rec.Key()) {
			skipped++
			batch.Add(rec.Key())
			continue
		}
		c := e.mapping.classOf(rec)
		if c == nil {
			refused.Add(rec.Index, "ocsf_no_class")
			continue
		}
		at := len(w.buf)
		w.buf = c.encode(w.buf, rec, e.cfg.Message)
		if len(w.buf)-at > small && e.cfg.Message {
			w.buf = c.encode(w.buf[:at], rec, false)
		}
		if len(w.buf)-at > small {
			w.buf = w.buf[:at]
			refused.Add(rec.Index, "event_too_large")
			continue
		}
		ev := output{index: rec.Index, key: rec.Key(), kind: rec.Kind(), class: c.name}
		if ev.route = ev.key; rec.Finding != nil {
			ev.route = rec.Finding.ID
		} else if rec.Event.ExchangeID != "" {
			ev.route = rec.Event.ExchangeID
		}
		w.events = append(w.events, ev)
		spans = append(spans, [2]int{at, len(w.buf)})
	}
	for i, s := range spans { // only now: the buffer moved as it grew
		w.events[i].body = w.buf[s[0]:s[1]]
	}
	delivered := 0
	var err error
	if len(w.events) > 0 {
		err = e.target.deliver(ctx, w.events, func(ev *output) {
			delivered++
			batch.Add(ev.key)
		}, func(ev *output, reason string) { refused.Add(ev.index, reason) })
	}
	e.tel.Skipped(ctx, skipped)
	e.tel.Delivered(ctx, delivered, true)
	if err != nil {
		if ctx.Err() == nil {
			e.say.Fails(err)
		}
		return batch.Failed(err)
	}
	e.say.Works()
	batch.Done()
	refused.Count(ctx, e.tel)
	return refused.Err(ld)
}
