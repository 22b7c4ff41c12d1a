// Package slack is the exporter that posts findings to Slack's incoming webhooks, and to those that imitate them.
package slack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	"github.com/mcpsiem/mcpsiem/internal/triage"
)

const (
	byStale      sink.Reason = "stale"
	bySuppressed sink.Reason = "suppressed"
	byChange     sink.Reason = "change"
	byRecord     sink.Reason = "record"
)

// slackExporter works on one batch at a time: a channel takes one message a second.
type slackExporter struct {
	cfg    *Config
	log    *zap.Logger
	tel    *sink.Telemetry
	filter *sink.Filter
	done   *sink.Confirmed
	gate   sink.Gate
	http   *http.Client
	say    *sink.Complaints
	now    func() time.Time

	busy    chan struct{} // held by the batch in work, guards what follows
	reader  *sink.Reader
	windows map[int64]*sink.Window // by beginning, the last few

	mu   sync.Mutex // guards gone
	gone string     // the URL that answered 410
}

func newExporter(set exporter.Settings, cfg *Config) (*slackExporter, error) {
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	return &slackExporter{
		cfg: cfg, log: set.Logger, tel: tel, filter: filter, done: sink.NewConfirmed(0), now: time.Now, busy: make(chan struct{}, 1),
		reader: sink.NewReader(filter, tel), windows: map[int64]*sink.Window{},
	}, nil
}

func (e *slackExporter) start(ctx context.Context, host component.Host) (err error) {
	if _, err := e.url(); err != nil {
		return fmt.Errorf("cannot start the slack exporter: %w", err)
	}
	if e.http, err = sink.NewHTTPClient(ctx, e.cfg.TLS, e.cfg.Networks, 1); err != nil {
		return fmt.Errorf("cannot start the slack exporter: %w", err)
	}
	e.say = sink.NewComplaints(e.log, host, "Slack")
	return nil
}

func (e *slackExporter) shutdown(context.Context) error {
	if e.http != nil {
		e.http.CloseIdleConnections()
	}
	return nil
}

func (e *slackExporter) url() (string, error) {
	u, err := e.cfg.URL.Read()
	if err != nil {
		return "", err
	}
	if r, err := http.NewRequest(http.MethodPost, u, nil); err != nil || r.URL.Host == "" {
		return "", errors.New("url: the secret is no URL")
	}
	return u, nil
}

func (e *slackExporter) consume(ctx context.Context, ld plog.Logs) error {
	select {
	case e.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.busy }()
	var refused sink.Refusals
	batch := e.done.Batch(ctx)
	counts := map[sink.Reason]int{}
	skipped := 0
	var failed error
	for rec := range e.reader.Read(ctx, ld) {
		if failed != nil {
			continue // counted as received
		}
		if batch.Has(rec) {
			skipped++
			continue
		}
		why, err := e.post(ctx, rec)
		var no *refusal
		switch {
		case errors.As(err, &no):
			refused.Add(rec.Index, no.reason)
		case err != nil:
			failed = err
		case why != "":
			counts[why]++
		default:
			e.tel.Delivered(ctx, 1, false)
			batch.Add(rec.Key())
		}
	}
	e.tel.Skipped(ctx, skipped)
	if failed != nil {
		if ctx.Err() == nil {
			e.say.Fails(failed)
		}
		return batch.Failed(failed)
	}
	for why, n := range counts {
		e.tel.Filtered(ctx, why, n)
	}
	e.say.Works()
	batch.Done()
	refused.Count(ctx, e.tel)
	return refused.Err(ld)
}

func (e *slackExporter) post(ctx context.Context, rec *sink.Record) (sink.Reason, error) {
	stale := func(ns int64) bool { return e.cfg.MaxAge > 0 && e.now().Sub(time.Unix(0, ns)) > e.cfg.MaxAge }
	switch rec.Kind() {
	case sink.KindEvent:
		return byRecord, nil
	case sink.KindAudit:
		if stale(rec.Event.Time) {
			return byStale, nil
		}
		return "", e.send(ctx, e.audit(rec.Event))
	}
	f := rec.Finding
	at := f.Time
	if f.Revision > 0 {
		at = f.Revision
	}
	switch {
	case f.Revision == 0 && triage.Status(f.Status).Closed():
		return bySuppressed, nil
	case f.Revision > 0 && !e.cfg.Changes:
		return byChange, nil
	case stale(at):
		return byStale, nil
	case e.cfg.Limit == 0:
		return "", e.send(ctx, e.finding(f))
	}
	return "", e.throttled(ctx, f, at)
}

// keptWindows bounds how many windows are remembered: findings are about as old as each other.
const keptWindows = 16

// throttled posts a finding on its own, or the number of those that are not.
func (e *slackExporter) throttled(ctx context.Context, f *finding.Finding, at int64) error {
	from := time.Unix(0, at).Truncate(e.cfg.Window)
	w := e.windows[from.Unix()]
	if w == nil {
		w = &sink.Window{}
		if len(e.windows) >= keptWindows {
			oldest := from.Unix()
			for k := range e.windows {
				oldest = min(oldest, k)
			}
			delete(e.windows, oldest)
		}
		e.windows[from.Unix()] = w
	}
	key := sink.FindingKey(f)
	if w.Admit(key, e.cfg.Limit) {
		return e.send(ctx, e.finding(f))
	}
	if !w.Withhold(key, f.RuleID) {
		return nil
	}
	if err := e.send(ctx, e.digest(from, w)); err != nil {
		return err
	}
	w.Said = w.Withheld
	return nil
}

type refusal struct{ reason string }

func (r *refusal) Error() string { return "Slack refused a message: " + r.reason }

func (e *slackExporter) send(ctx context.Context, m *message) error {
	u, err := e.url()
	if err != nil {
		return streams.WithReason(err, "secret_unreadable")
	}
	body := m.json()
	return sink.Retry(ctx, e.cfg.Retry, &e.gate, e.tel, func(ctx context.Context) error {
		e.mu.Lock()
		gone := e.gone == u
		e.mu.Unlock()
		if gone {
			return errGone
		}
		e.gate.Pause(e.cfg.Interval)
		ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(body))
		if err != nil {
			return errors.New("cannot make a request")
		}
		req.Header.Set("Content-Type", "application/json")
		start := time.Now()
		a, err := sink.Send(e.http, req)
		outcome := "unanswered"
		if err == nil {
			outcome, err = e.judge(a, u)
		}
		e.tel.Request(ctx, len(body), len(body), time.Since(start), outcome)
		return err
	})
}

var errGone = streams.WithReason(errors.New("the channel is archived (410): nothing is posted until the URL is another, or mcpsiem starts again"), "http_410")

func (e *slackExporter) judge(a sink.Answer, u string) (outcome string, err error) {
	reason := "http_" + strconv.Itoa(a.Status)
	says := streams.WithReason(fmt.Errorf("the answer of Slack is HTTP %d", a.Status), reason)
	switch {
	case a.Status >= 200 && a.Status < 300 && !sink.IsPage(a.Body):
		return "ok", nil
	case a.Status == http.StatusTooManyRequests:
		return reason, sink.Again(says, reason, max(a.After, e.cfg.Interval), true)
	case a.Status >= 500, a.Status == http.StatusRequestTimeout:
		return reason, sink.Again(says, reason, a.After, false)
	case a.Status == http.StatusGone:
		e.mu.Lock()
		e.gone = u
		e.mu.Unlock()
		return reason, errGone
	case (a.Status == http.StatusBadRequest || a.Status == http.StatusRequestEntityTooLarge || a.Status == http.StatusUnprocessableEntity) && !sink.IsPage(a.Body):
		return reason, &refusal{"slack_" + strconv.Itoa(a.Status)}
	}
	return reason, says // the URL is not Slack's, or no longer: the operator has to look, the findings wait
}
