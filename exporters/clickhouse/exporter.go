// Package clickhouse is the exporter that stores events and findings in ClickHouse, each of them once.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// chExporter stores batches. Its slots bound how many inserts are under way and how much memory they hold.
type chExporter struct {
	cfg       *Config
	log       *zap.Logger
	telemetry *telemetry
	slots     chan *slot
	say       *sink.Complaints
}

func newExporter(set exporter.Settings, cfg *Config) (*chExporter, error) {
	t, err := newTelemetry(set.MeterProvider)
	if err != nil {
		return nil, err
	}
	e := &chExporter{cfg: cfg, log: set.Logger, telemetry: t, slots: make(chan *slot, cfg.Connections)}
	for range cfg.Connections {
		e.slots <- newSlot()
	}
	return e, nil
}

// start connects once. A wrong schema or account is an error now, since waiting does not mend it; a server that is away is waited for by the
// sender, who keeps what it could not store.
func (e *chExporter) start(ctx context.Context, host component.Host) error {
	e.say = sink.NewComplaints(e.log, host, "ClickHouse")
	s := <-e.slots
	defer func() { e.slots <- s }()
	err := e.connect(ctx, s)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errSchema) || errors.Is(err, errMisconfigured) || consumererror.IsPermanent(err):
		return fmt.Errorf("cannot start the clickhouse exporter: %w", err)
	}
	e.log.Warn("ClickHouse does not answer yet; batches wait", zap.Error(err))
	return nil
}

func (e *chExporter) shutdown(context.Context) error {
	for range e.cfg.Connections {
		s := <-e.slots
		s.close()
	}
	return nil
}

// consume stores a batch and returns when it is durable. An error that is not permanent means that the batch waits in the stream.
func (e *chExporter) consume(ctx context.Context, ld plog.Logs) error {
	err := e.take(ctx, ld)
	switch {
	case err == nil:
		e.say.Works()
	case ctx.Err() == nil && !consumererror.IsPermanent(err):
		e.say.Fails(err)
	}
	return err
}

func (e *chExporter) take(ctx context.Context, ld plog.Logs) error {
	var s *slot
	select {
	case s = <-e.slots:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		s.reset()
		e.slots <- s
	}()
	o, ok := streams.OriginFrom(ctx)
	if !ok || !o.Redelivered {
		return e.store(ctx, s, ld, stored{}, modes{once, once})
	}
	// An earlier try may have stored any part of the batch.
	had, err := e.lookUp(ctx, s, ld)
	if err != nil {
		return err
	}
	if err := e.store(ctx, s, ld, had, modes{events: once, findings: again}); err != nil {
		return err
	}
	// A server that was killed while it took a block may remember the block's token and not the block, and so take none of it now. What is
	// still not there is sent without a token.
	s.reset()
	if had, err = e.lookUp(ctx, s, ld); err != nil || had.all {
		return err
	}
	return e.store(ctx, s, ld, had, modes{again, again})
}

// mode says whether the server may recognise a block that it has had before.
type mode bool

const (
	once  mode = false // with a token: a repetition changes nothing
	again mode = true  // without: every row is stored, two of the same become one in a merge
)

// modes of a batch's records. Findings are few and their table keeps one of two that are the same.
type modes struct{ events, findings mode }

// store sends what of the batch is not stored already.
func (e *chExporter) store(ctx context.Context, s *slot, ld plog.Logs, stored stored, m modes) error {
	var ev event.Event
	var fi finding.Finding
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if lr.EventName() == finding.EventName {
					finding.Decode(rl.Resource(), lr, &fi)
					normaliseFinding(&fi)
					// Changes of state are few, and the table keeps one of two equal ones.
					if fi.Revision == 0 && stored.findings[s.findings.id(fi.ID)] {
						e.telemetry.skip(ctx, "findings")
						continue
					}
					s.findings.append(&fi)
				} else {
					event.Decode(rl.Resource(), lr, &ev)
					badTime := normalise(&ev)
					if len(ev.ToolDefs) > 0 {
						s.tools.append(&ev)
					}
					if stored.events[s.events.id(ev.ID)] {
						e.telemetry.skip(ctx, "events")
						continue
					}
					s.events.append(&ev, badTime)
				}
				for _, b := range []block{s.events, s.findings} {
					if b.rows() >= e.cfg.MaxInsertRows {
						if err := e.flush(ctx, s, b, m); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	for _, b := range []block{s.events, s.findings} {
		if err := e.flush(ctx, s, b, m); err != nil {
			return err
		}
	}
	if s.tools.rows() > 0 { // rows of one definition add up to one, so that a repetition changes nothing
		return e.insert(ctx, s, "tool_catalogue", "", s.tools.in)
	}
	return nil
}

func (e *chExporter) flush(ctx context.Context, s *slot, b block, m modes) error {
	if b.rows() == 0 {
		return nil
	}
	t, how := "", m.events
	if b == block(s.findings) {
		how = m.findings
	}
	if how == once {
		t = token(b)
	}
	err := e.insert(ctx, s, b.table(), t, b.input())
	b.reset()
	return err
}

// stored are the ids of a batch that are in the store already.
type stored struct {
	events, findings map[uuid.UUID]bool
	all              bool // nothing is missing
}

// lookUp asks for a batch that was delivered before: an earlier try may have stored any part of it.
func (e *chExporter) lookUp(ctx context.Context, s *slot, ld plog.Logs) (out stored, err error) {
	var events, findings []uuid.UUID
	var ev event.Event
	var fi finding.Finding
	from, to := int64(math.MaxInt64), int64(0)
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if lr.EventName() == finding.EventName {
					finding.Decode(rl.Resource(), lr, &fi)
					normaliseFinding(&fi)
					findings = append(findings, s.findings.id(fi.ID))
					continue
				}
				event.Decode(rl.Resource(), lr, &ev)
				normalise(&ev)
				events = append(events, s.events.id(ev.ID))
				from, to = min(from, ev.Time), max(to, ev.Time)
			}
		}
	}
	if len(events) > 0 {
		window := fmt.Sprintf("ts >= fromUnixTimestamp64Nano(%d, 'UTC') AND ts <= fromUnixTimestamp64Nano(%d, 'UTC')", from, to)
		if out.events, err = e.present(ctx, s, "events", "event_id", window, events); err != nil {
			return out, err
		}
	}
	if len(findings) > 0 {
		if out.findings, err = e.present(ctx, s, "finding_history", "finding_id", "revision = 0", findings); err != nil {
			return out, err
		}
	}
	missing := func(id uuid.UUID, in map[uuid.UUID]bool) bool { return !in[id] }
	out.all = !slices.ContainsFunc(events, func(id uuid.UUID) bool { return missing(id, out.events) }) &&
		!slices.ContainsFunc(findings, func(id uuid.UUID) bool { return missing(id, out.findings) })
	return out, nil
}
