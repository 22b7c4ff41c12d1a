// Package pagerduty is the exporter that lets findings page people: incidents that open, are acknowledged and resolved as findings are.
package pagerduty

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	pd "github.com/PagerDuty/go-pagerduty"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	"github.com/mcpsiem/mcpsiem/internal/triage"
)

// Reasons for which a record is kept back on purpose.
const (
	byStale      sink.Reason = "stale"      // older than max_age
	bySuppressed sink.Reason = "suppressed" // closed as it was raised: allow-list, maintenance window
	byNobody     sink.Reason = "nobody"     // no route takes it
	byGroup      sink.Reason = "group_open" // closed, but the incident has other findings that are not
	byQuiet      sink.Reason = "not_paged"  // a change of what never paged on its own
	byAction     sink.Reason = "action"     // audit record of an action that is no change event
	byRecord     sink.Reason = "record"     // an event of traffic
)

type pagerExporter struct {
	cfg     *Config
	log     *zap.Logger
	tel     *sink.Telemetry
	filter  *sink.Filter
	done    *sink.Confirmed // audit records; findings are known by the store
	routes  []*route
	store   store
	client  *client
	say     *sink.Complaints
	readers chan *sink.Reader
	// A stripe is held while anything is done to its keys: findings of one incident go one after the other, whichever worker has them.
	incidents, windows [64]chan struct{}
	now                func() time.Time
}

func newExporter(set exporter.Settings, cfg *Config) (*pagerExporter, error) {
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	e := &pagerExporter{cfg: cfg, log: set.Logger, tel: tel, filter: filter, done: sink.NewConfirmed(0), readers: make(chan *sink.Reader, cfg.Connections), now: time.Now}
	if e.routes, err = newRoutes(cfg); err != nil {
		return nil, err
	}
	for i := range e.incidents {
		e.incidents[i], e.windows[i] = make(chan struct{}, 1), make(chan struct{}, 1)
	}
	for range cfg.Connections {
		e.readers <- sink.NewReader(filter, tel)
	}
	return e, nil
}

func (e *pagerExporter) start(ctx context.Context, host component.Host) error {
	for _, r := range e.routes {
		if r.nobody {
			continue
		}
		key, err := r.key.Read()
		if err == nil && len(key) != 32 {
			err = errors.New("an integration key has 32 characters")
		}
		if err != nil {
			return fmt.Errorf("cannot start the pagerduty exporter: key of route %s: %w", r.name, err)
		}
	}
	h, err := sink.NewHTTPClient(ctx, e.cfg.TLS, sink.Networks{}, e.cfg.Connections)
	if err != nil {
		return fmt.Errorf("cannot start the pagerduty exporter: %w", err)
	}
	e.client = newClient(e.cfg, h, e.tel)
	e.say = sink.NewComplaints(e.log, host, "PagerDuty")
	if e.store != nil { // a test's
		return nil
	}
	if e.cfg.State.Bucket == "" {
		e.store = newMemory(50_000)
		return nil
	}
	b, err := newBucket(ctx, e.cfg.State)
	if err != nil {
		return fmt.Errorf("cannot start the pagerduty exporter: %w", err)
	}
	e.store = b
	return nil
}

func (e *pagerExporter) shutdown(context.Context) error {
	if e.client != nil {
		e.client.close()
	}
	if e.store != nil {
		e.store.close()
	}
	return nil
}

// consume returns nil when PagerDuty took what the batch has to tell.
func (e *pagerExporter) consume(ctx context.Context, ld plog.Logs) error {
	var r *sink.Reader
	select {
	case r = <-e.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { e.readers <- r }()
	var (
		batch   = e.done.Batch(ctx)
		refused sink.Refusals
		failed  = map[string]error{} // by incident and by route: what comes later of them must not overtake
		errs    []error
		counts  = map[sink.Reason]int{}
		skipped int
	)
	for rec := range r.Read(ctx, ld) {
		if ctx.Err() != nil {
			return batch.Failed(ctx.Err())
		}
		var err error
		var why sink.Reason
		key := rec.Key()
		switch {
		case rec.Finding != nil:
			key = dedupKey(rec.Finding)
			if err = failed[key]; err != nil {
				continue
			}
			var again bool
			why, again, err = e.finding(ctx, rec.Finding, failed)
			if again {
				skipped++
				continue
			}
		case rec.Event.Name == event.NameAudit:
			if batch.Has(rec) {
				skipped++
				continue
			}
			why, err = e.audit(ctx, rec.Event, failed)
			if err == nil {
				batch.Add(key)
			}
		default:
			why = byRecord
		}
		var no *refusal
		switch {
		case errors.As(err, &no):
			if refused.Add(rec.Index, no.reason); refused.Len() == 1 {
				e.log.Error("PagerDuty refuses a record; it becomes a dead letter", zap.String("reason", no.reason))
			}
		case err != nil:
			failed[key] = err
			errs = append(errs, err)
		case why != "":
			counts[why]++
		default:
			e.tel.Delivered(ctx, 1, false)
		}
	}
	e.tel.Skipped(ctx, skipped)
	for why, n := range counts {
		e.tel.Filtered(ctx, why, n)
	}
	if len(errs) > 0 {
		if ctx.Err() == nil {
			e.say.Fails(errs[0])
		}
		return batch.Failed(errors.Join(errs...))
	}
	e.say.Works()
	batch.Done()
	refused.Count(ctx, e.tel)
	return refused.Err(ld)
}

// hold takes the stripe of a key.
func hold(ctx context.Context, stripes *[64]chan struct{}, key string) (release func(), err error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	c := stripes[h.Sum32()%uint32(len(stripes))]
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// conflicts bounds how often a value that others change at the same time is tried.
const conflicts = 8

var errContended = sink.Again(streams.WithReason(errors.New("several processes work on the same incident"), "state"), "state", 0, false)

// finding brings PagerDuty to where the finding stands. again says that this revision, or a later one, was told before. Whatever was sent is
// sent before it is remembered: after a crash it is repeated, which PagerDuty recognises by the key.
func (e *pagerExporter) finding(ctx context.Context, f *finding.Finding, failed map[string]error) (why sink.Reason, again bool, err error) {
	dedup := dedupKey(f)
	release, err := hold(ctx, &e.incidents, dedup)
	if err != nil {
		return "", false, err
	}
	defer release()
	key := storeKey("incident", dedup)
	overtaken := false // another process may have sent something in between: what holds is sent once more
	// So it is after a delivery that did not end: what it sent may have arrived later than what was sent of a later revision.
	o, _ := streams.OriginFrom(ctx)
	redelivered := o.Redelivered
	for range conflicts {
		var in incident
		version, err := e.store.load(ctx, key, &in)
		if err != nil {
			return "", false, err
		}
		had, ok := in.Findings[f.ID]
		old := ok && had.Revision >= f.Revision
		if old && !overtaken && (!redelivered || had.Revision == f.Revision) {
			return "", true, nil
		}
		if !old {
			if why, err = e.apply(ctx, f, dedup, &in, failed); err != nil {
				return "", false, err
			}
		}
		told := why == "" || why == byGroup
		if old || told && (overtaken || redelivered) && triage.Status(f.Status) != triage.Open {
			if _, err = e.restate(ctx, f, dedup, &in, failed); err != nil {
				return "", false, err
			}
		}
		err = e.store.save(ctx, key, version, &in)
		if !errors.Is(err, errConflict) {
			return why, false, err
		}
		overtaken = true
	}
	return "", false, errContended
}

// apply sends what a new revision changes and notes it in the incident.
func (e *pagerExporter) apply(ctx context.Context, f *finding.Finding, dedup string, in *incident, failed map[string]error) (why sink.Reason, err error) {
	status := triage.Status(f.Status)
	had, known := in.Findings[f.ID]
	next := standing{Revision: f.Revision, Status: status}
	defer func() {
		if err == nil {
			in.set(f.ID, next)
		}
	}()
	switch {
	case status.Closed() && f.Revision == 0:
		next.Quiet = true
		return bySuppressed, nil
	case status.Closed():
		if known && had.Quiet && len(in.Routes) == 0 {
			next.Quiet = true
			return byQuiet, nil
		}
		if in.others(f.ID) {
			return byGroup, nil
		}
		why, err = e.tell(ctx, resolve, f, dedup, in, failed)
		if err == nil {
			in.Routes = nil
		}
		return why, err
	case status == triage.Acknowledged:
		if known && had.Quiet && len(in.Routes) == 0 {
			next.Quiet = true
			return byQuiet, nil
		}
		// It came before the finding as raised, or that is forgotten, or was resolved: the incident has to be there first.
		if r := choose(e.routes, targetOf(f)); len(in.Routes) == 0 && r != nil && !e.stale(max(f.Time, f.Revision)) {
			if err := e.send(ctx, r, e.event(trigger, dedup, f), failed); err != nil {
				return "", err
			}
			in.addRoute(r.name)
		}
		return e.tell(ctx, acknowledge, f, dedup, in, failed)
	}
	at := f.Time
	if f.Revision > 0 {
		at = f.Revision // reopened
	}
	if e.stale(at) {
		next.Quiet = true
		return byStale, nil
	}
	r := choose(e.routes, targetOf(f))
	if r == nil {
		next.Quiet = true
		return byNobody, nil
	}
	open := slices.Contains(in.Routes, r.name)
	if e.cfg.Throttle.Limit > 0 && !open {
		digest, err := e.throttle(ctx, f, dedup, at, r, failed)
		if err != nil || digest {
			next.Quiet = true
			return "", err
		}
	}
	if err := e.send(ctx, r, e.event(trigger, dedup, f), failed); err != nil {
		return "", err
	}
	in.addRoute(r.name)
	return "", nil
}

func (e *pagerExporter) stale(ns int64) bool {
	return e.cfg.MaxAge > 0 && e.now().Sub(time.Unix(0, ns)) > e.cfg.MaxAge
}

// tell sends an acknowledgement or a resolution with the keys that the incident was triggered with; if that is not known, with the one that
// the finding would be triggered with. PagerDuty ignores it where there is no such incident.
func (e *pagerExporter) tell(ctx context.Context, action string, f *finding.Finding, dedup string, in *incident, failed map[string]error) (sink.Reason, error) {
	var to []*route
	for _, n := range in.Routes {
		if r := byName(e.routes, n); r != nil {
			to = append(to, r)
		}
	}
	if len(in.Routes) == 0 {
		if r := choose(e.routes, targetOf(f)); r != nil {
			to = append(to, r)
		}
	}
	if len(to) == 0 {
		return byNobody, nil
	}
	for _, r := range to {
		if err := e.send(ctx, r, e.event(action, dedup, f), failed); err != nil {
			return "", err
		}
	}
	return "", nil
}

// restate sends where an incident stands as a whole.
func (e *pagerExporter) restate(ctx context.Context, f *finding.Finding, dedup string, in *incident, failed map[string]error) (sink.Reason, error) {
	action := resolve
	for _, x := range in.Findings {
		if x.Quiet || x.Status.Closed() {
			continue
		}
		if x.Status == triage.Acknowledged {
			if action == resolve {
				action = acknowledge
			}
			continue
		}
		action = trigger
	}
	if action == acknowledge { // what overtook may have resolved it
		if why, err := e.tell(ctx, trigger, f, dedup, in, failed); why != "" || err != nil {
			return why, err
		}
	}
	return e.tell(ctx, action, f, dedup, in, failed)
}

// throttle reports whether the finding is in a digest instead of paging on its own. A window is of the finding's time, so that the same findings
// make the same digests whenever they come.
func (e *pagerExporter) throttle(ctx context.Context, f *finding.Finding, dedup string, at int64, r *route, failed map[string]error) (bool, error) {
	severity := severityOf(f.Severity)
	from := time.Unix(0, at).Truncate(e.cfg.Throttle.Window)
	digest := "mcp/digest/" + event.SourceID(r.name, severity, strconv.FormatInt(from.Unix(), 10), e.cfg.Throttle.Window.String())
	key := storeKey("window", digest)
	release, err := hold(ctx, &e.windows, key)
	if err != nil {
		return false, err
	}
	defer release()
	for range conflicts {
		var w sink.Window
		version, err := e.store.load(ctx, key, &w)
		if err != nil {
			return false, err
		}
		admitted := w.Admit(dedup, e.cfg.Throttle.Limit)
		if !admitted && w.Withhold(f.ID, f.RuleID) {
			w.Said = w.Withheld
			if err := e.send(ctx, r, e.digest(digest, severity, from, &w), failed); err != nil {
				return false, err
			}
		}
		if err = e.store.save(ctx, key, version, &w); !errors.Is(err, errConflict) {
			return !admitted, err
		}
	}
	return false, errContended
}

// send sends an event until PagerDuty took or refused it, or time is up. What came later of a route that failed in this batch is not tried.
func (e *pagerExporter) send(ctx context.Context, r *route, ev *pd.V2Event, failed map[string]error) error {
	return e.request(ctx, r, failed, func(ctx context.Context, key string) error {
		ev.RoutingKey = key
		fits(ev)
		return e.client.enqueue(ctx, ev)
	})
}

func (e *pagerExporter) request(ctx context.Context, r *route, failed map[string]error, send func(context.Context, string) error) error {
	if err := failed["route\x00"+r.name]; err != nil {
		return err
	}
	key, err := r.key.Read()
	if err != nil {
		err = streams.WithReason(fmt.Errorf("key of route %s: %w", r.name, err), "key_unreadable")
	} else {
		err = sink.Retry(ctx, e.cfg.Retry, &r.gate, e.tel, func(ctx context.Context) error { return send(ctx, key) })
	}
	if err != nil && !errors.As(err, new(*refusal)) {
		failed["route\x00"+r.name] = err
	}
	return err
}

// audit sends a change event.
func (e *pagerExporter) audit(ctx context.Context, ev *event.Event, failed map[string]error) (sink.Reason, error) {
	if !slices.Contains(e.cfg.Changes, ev.AuditAction) {
		return byAction, nil
	}
	if e.stale(ev.Time) {
		return byStale, nil
	}
	t := target{tenant: ev.Tenant, server: ev.Server, severity: len(sink.Severities) - 1, time: ev.Time}
	if t.tenant == "" {
		t.tenant = event.DefaultTenant
	}
	r := choose(e.routes, t)
	if r == nil {
		return byNobody, nil
	}
	c := e.change(ev)
	return "", e.request(ctx, r, failed, func(ctx context.Context, key string) error {
		c.RoutingKey = key
		return e.client.enqueueChange(ctx, c)
	})
}
