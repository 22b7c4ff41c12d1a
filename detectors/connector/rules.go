package connector

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/detectors"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/rule"
	"github.com/mcpsiem/mcpsiem/detectors/rules"
	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// reserved are the ids of detectors, which rules cannot have.
func reserved() []string {
	out := make([]string, len(detectors.All))
	for i := range detectors.All {
		out[i] = detectors.All[i].Spec.ID
	}
	return out
}

// loadRules compiles the rules that the configuration names.
func (c *Config) loadRules() (*rule.Set, rule.Problems, error) {
	return rules.Load(c.Rules.Builtin, c.Rules.Dirs, reserved()...)
}

// useRules makes the rules those in force. d.mu is held.
func (d *detect) useRules(s *rule.Set) {
	d.rules, d.off = s, map[string]bool{}
	d.tel.rules(len(s.Rules))
}

// startWork watches the folders of rules and writes audit records, until Shutdown.
func (d *detect) startWork() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.work.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case r := <-d.records:
				d.write(ctx, r)
			}
		}
	})
	if len(d.cfg.Rules.Dirs) == 0 || d.cfg.Rules.Poll == 0 {
		return
	}
	// Known is what was read at the start as far as a second reading tells; if a file changed between, it is read once more than need be.
	known := ""
	if docs, err := rule.ReadDirs(d.cfg.Rules.Dirs); err == nil {
		if s, _, err := rules.With(d.cfg.Rules.Builtin, docs, reserved()...); err == nil && s.Hash == d.rules.Hash {
			known = rule.HashOf(docs)
		}
	}
	d.work.Go(func() {
		rule.Watch(ctx, d.cfg.Rules.Dirs, d.cfg.Rules.Poll, known, d.reload, func(err error) {
			d.tel.reload("unreadable")
			d.set.Logger.Error("Rules cannot be read; those in force stay.", zap.Error(err))
		})
	})
}

// reload puts changed rules in force, all or none.
func (d *detect) reload(docs []rule.Document) {
	set, problems, err := rules.With(d.cfg.Rules.Builtin, docs, reserved()...)
	var in []engine.Instance
	var sel engine.Selector
	if err == nil && len(problems) == 0 {
		in, sel, err = set.Instances()
	}
	if err != nil {
		problems = append(problems, rule.Problem{File: "rules", Text: err.Error()})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.rules
	if len(problems) == 0 {
		if err := d.host.SetRules(in, sel); err != nil {
			problems = append(problems, rule.Problem{File: "rules", Text: err.Error()})
		}
	}
	if len(problems) > 0 {
		for _, p := range problems {
			d.set.Logger.Error("A rule file has a fault; the rules in force stay.", zap.String("file", p.File), zap.Int("line", p.Line), zap.String("fault", p.Text), zap.String("hint", p.Hint))
		}
		d.tel.reload("refused")
		d.record(refused(problems, before))
		return
	}
	d.useRules(set)
	d.tel.reload("changed")
	d.set.Logger.Info("Rules were changed.", zap.Int("rules", len(set.Rules)), zap.Int("rules_before", len(before.Rules)), zap.String("hash", set.Hash))
	d.record(audit.Record{Action: audit.RulesChange, Target: "rules", Details: map[string]string{
		"rules_before": strconv.Itoa(len(before.Rules)), "rules_after": strconv.Itoa(len(set.Rules)), "hash_before": before.Hash, "hash_after": set.Hash,
	}})
}

// refused is the record of rules that were not put in force.
func refused(p rule.Problems, inForce *rule.Set) audit.Record {
	return audit.Record{Action: audit.RulesRefused, Target: p[0].File, Outcome: "refused", Details: map[string]string{
		"faults": strconv.Itoa(len(p)), "line": strconv.Itoa(p[0].Line), "fault": clip(p[0].Text), "rules": strconv.Itoa(len(inForce.Rules)), "hash": inForce.Hash,
	}}
}

func clip(s string) string {
	if len(s) > 300 {
		return s[:300]
	}
	return s
}

// observe brings metrics up to date and reports rules that were turned off because of what they cost. d.mu is held, by whoever
// called the host.
func (d *detect) observe(h *engine.Host) {
	d.tel.observe(h)
	if d.rules == nil {
		return
	}
	for _, r := range d.rules.Rules {
		health := r.Health()
		n := health.OverBudget.Load()
		if n == 0 {
			continue
		}
		d.tel.count(series{name: "rules_over_budget", rule: r.ID}, n)
		if health.Disabled.Load() && !d.off[r.ID] {
			d.off[r.ID] = true
			d.tel.count(series{name: "rules_disabled", rule: r.ID}, 1)
			d.set.Logger.Error("A rule costs too much for the events that come and is off until rules are loaded again.", zap.String("rule", r.ID), zap.Int64("events_over_budget", n))
			d.record(audit.Record{Action: audit.RulesRefused, Target: r.ID, Outcome: "refused", Details: map[string]string{"reason": "over_budget", "events_over_budget": strconv.FormatInt(n, 10)}})
		}
	}
}

// record queues an audit record; what does not fit has been logged.
func (d *detect) record(r audit.Record) {
	if d.js == nil {
		return
	}
	r.Time = time.Now()
	r.Actor = audit.Me()
	r.Actor.Kind = "service"
	// Every partition's engine reads the same files: what they all say within a few minutes is one record.
	parts := []string{"rules", r.Actor.Issuer, string(r.Action), r.Target, r.Time.Truncate(5 * time.Minute).Format(time.RFC3339)}
	for _, k := range slices.Sorted(maps.Keys(r.Details)) {
		parts = append(parts, k, r.Details[k])
	}
	r.ID = event.SourceID(parts...)
	select {
	case d.records <- r:
	default:
		d.set.Logger.Error("A record of the audit trail is lost: too many at once.", zap.String("action", string(r.Action)))
	}
}

// write puts a record into the trail, again and again until it is there.
func (d *detect) write(ctx context.Context, r audit.Record) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		once, cancel := context.WithTimeout(ctx, requestTimeout)
		err := audit.Write(once, d.js, r)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		d.set.Logger.Warn("A record of the audit trail cannot be written; it is tried again.", zap.String("action", string(r.Action)), zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
