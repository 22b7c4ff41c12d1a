// Package otlp is the exporter that gives records as OTLP logs, and metrics of them, to any backend of OpenTelemetry, and answers for each of them.
package otlp

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type otlpExporter struct {
	cfg    *Config
	log    *zap.Logger
	tel    *sink.Telemetry
	filter *sink.Filter
	done   *sink.Confirmed
	gate   sink.Gate
	client client
	say    *sink.Complaints
	totals *totals // nil: no metrics
	logs   bool
}

func newExporter(set exporter.Settings, cfg *Config) (*otlpExporter, error) {
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	e := &otlpExporter{cfg: cfg, log: set.Logger, tel: tel, filter: filter, done: sink.NewConfirmed(0), logs: slices.Contains(cfg.Signals, signalLogs)}
	if slices.Contains(cfg.Signals, signalMetrics) {
		e.totals = newTotals(cfg.MaxSeries, time.Now())
	}
	return e, nil
}

func (e *otlpExporter) start(ctx context.Context, host component.Host) (err error) {
	e.say = sink.NewComplaints(e.log, host, "The OTLP backend")
	if e.client, err = newClient(ctx, e.cfg); err != nil {
		return fmt.Errorf("cannot start the otlp exporter: %w", err)
	}
	return nil
}

// resource says whose metrics they are. The instance tells the series of this process from those of others, and of its own earlier life.
func (e *otlpExporter) resource(to pcommon.Map) {
	to.PutStr("service.name", e.cfg.Service)
	to.PutStr("service.instance.id", e.totals.instance)
}

func (e *otlpExporter) shutdown(context.Context) error {
	if e.client != nil {
		e.client.close()
	}
	return nil
}

// request is one request in the making.
type request struct {
	ld      plog.Logs
	records plog.LogRecordSlice
	index   []int    // in the batch, of each record
	keys    []string // of each record
	size    int
}

func (e *otlpExporter) newRequest() *request {
	r := &request{ld: plog.NewLogs()}
	rl := r.ld.ResourceLogs().AppendEmpty()
	rl.SetSchemaUrl(schemaURL)
	rl.Resource().Attributes().PutStr("service.name", e.cfg.Service)
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(scopeName)
	sl.SetSchemaUrl(schemaURL)
	r.records = sl.LogRecords()
	return r
}

// half makes two requests of one.
func (e *otlpExporter) half(r *request) (a, b *request) {
	a, b = e.newRequest(), e.newRequest()
	for i := range r.records.Len() {
		to := a
		if i >= r.records.Len()/2 {
			to = b
		}
		r.records.At(i).CopyTo(to.records.AppendEmpty())
		to.index, to.keys = append(to.index, r.index[i]), append(to.keys, r.keys[i])
	}
	return a, b
}

// consume returns nil when the backend has taken every record of the batch.
func (e *otlpExporter) consume(ctx context.Context, ld plog.Logs) error {
	batch := e.done.Batch(ctx)
	var refusals sink.Refusals
	var sizer plog.ProtoMarshaler
	var requests []*request
	var messages []message
	skipped := 0
	origin, _ := streams.OriginFrom(ctx)
	for rec := range sink.NewReader(e.filter, e.tel).Read(ctx, ld) {
		if e.totals != nil {
			messages = measured(messages, origin.Stream, rec)
		}
		if !e.logs {
			continue
		}
		if batch.Has(rec) {
			skipped++
			continue
		}
		lr := plog.NewLogRecord()
		put(rec, lr, e.cfg.Message)
		size := sizer.LogRecordSize(lr)
		if n := len(requests); n == 0 || requests[n-1].records.Len() >= e.cfg.MaxRecords || requests[n-1].size+size > e.cfg.MaxBytes {
			requests = append(requests, e.newRequest())
		}
		r := requests[len(requests)-1]
		lr.MoveTo(r.records.AppendEmpty())
		r.index, r.keys, r.size = append(r.index, rec.Index), append(r.keys, rec.Key()), r.size+size+8
	}
	var err error
	for len(requests) > 0 && err == nil {
		r := requests[0]
		requests = requests[1:]
		var v verdict
		var reason string
		if v, reason, err = e.send(ctx, r); err != nil {
			break
		}
		switch {
		case v == accepted:
			e.tel.Delivered(ctx, len(r.keys), true)
			for _, k := range r.keys {
				batch.Add(k)
			}
		case v == operators:
			err = e.operators(reason)
		case v == partly || len(r.keys) == 1:
			for _, i := range r.index {
				refusals.Add(i, reason)
			}
		default:
			a, b := e.half(r)
			requests = append([]*request{a, b}, requests...)
		}
	}
	e.tel.Skipped(ctx, skipped)
	if e.totals != nil && err == nil {
		if err = e.count(ctx, messages); err == nil && !e.logs {
			e.tel.Delivered(ctx, records(messages), true)
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			e.say.Fails(err)
		}
		return batch.Failed(err)
	}
	e.say.Works()
	batch.Done()
	refusals.Count(ctx, e.tel)
	return refusals.Err(ld)
}

// measured adds what a record counts to the messages of its batch.
func measured(messages []message, stream string, rec *sink.Record) []message {
	var seq uint64
	if v, ok := rec.Resource.Attributes().Get(event.AttrStreamSeq); ok && stream != "" {
		seq = uint64(max(v.Int(), 0))
	}
	if n := len(messages); n == 0 || messages[n-1].seq != seq || seq == 0 {
		messages = append(messages, message{stream: stream, seq: seq})
	}
	m := &messages[len(messages)-1]
	m.records++
	m.adds = append(m.adds, measure(rec)...)
	return messages
}

func records(messages []message) (n int) {
	for _, m := range messages {
		n += m.records
	}
	return n
}

// count returns nil when the backend has the metrics of the messages, or has said that it takes no such points.
func (e *otlpExporter) count(ctx context.Context, messages []message) error {
	generation := e.totals.add(messages)
	return e.totals.deliver(ctx, generation, e.resource, func(md pmetric.Metrics) error {
		return sink.Retry(ctx, e.cfg.Retry, &e.gate, e.tel, func(ctx context.Context) error {
			begin := time.Now()
			v, reason, sent, err := e.client.measure(ctx, md)
			e.tel.Request(ctx, sent, sent, time.Since(begin), reason)
			switch {
			case err != nil:
				return err
			case v == operators:
				return e.operators(reason)
			case v != accepted && time.Since(e.totals.warned) > time.Minute: // no loss: the next points of a series say all that these said
				e.totals.warned = time.Now()
				e.log.Warn("Metrics were refused; their next points say the same", zap.String("reason", reason))
			}
			return nil
		})
	})
}

// operators is the error for what only the operator can mend.
func (e *otlpExporter) operators(reason string) error {
	return streams.WithReason(fmt.Errorf("%s does not take records (%s): check endpoint, protocol and headers", e.cfg.Endpoint, reason), reason)
}

func (e *otlpExporter) send(ctx context.Context, r *request) (v verdict, reason string, err error) {
	err = sink.Retry(ctx, e.cfg.Retry, &e.gate, e.tel, func(ctx context.Context) error {
		begin := time.Now()
		var sent int
		var err error
		v, reason, sent, err = e.client.send(ctx, r.ld)
		e.tel.Request(ctx, sent, r.size, time.Since(begin), reason)
		return err
	})
	return v, reason, err
}
