package engine

import (
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Context is what a detector knows beside the event and its state, and how it answers. It is valid during the call only.
type Context struct {
	Now       int64  // event time, ns: the event's, held back to a little after its receipt; in Timer the time that was set
	Watermark int64  // event time up to which the tenant's events are taken to be complete, ns
	Since     int64  // event time of the first event that the detector saw of the tenant, ns: what came before, it cannot know
	Late      bool   // the event is older than the watermark
	Tenant    string // never empty

	e     *event.Event // nil in Timer
	entry *entryMeta   // nil for KeyMessage
	core  *core
	eng   *Engine
}

// SetTimer asks for a call of Timer once the watermark has passed at. Only the earliest time that is set and has not passed counts.
func (c *Context) SetTimer(at int64) {
	if c.entry == nil || c.entry.timer != 0 && c.entry.timer <= at {
		return
	}
	at = max(at, 1)
	c.entry.timer = at
	c.eng.clockOf(c.entry.tenant).setTimer(timer{at: at, det: c.core.index, key: c.entry.key})
}

// Emit raises a finding. Its id is made of the rule, tenant, key, scope and window, so that the same events always raise the
// same findings; one that was raised before is counted as a repeat and not raised again.
func (c *Context) Emit(a Alert) {
	spec := &c.core.spec
	now := c.Now
	parts := make([]string, 0, 8)
	parts = append(parts, spec.ID, c.Tenant)
	switch {
	case c.entry != nil:
		parts = append(parts, c.entry.key)
	case len(a.Scope) == 0 && c.e != nil:
		parts = append(parts, c.e.ID)
	}
	parts = append(parts, a.Scope...)
	group := parts
	if a.Window > 0 {
		parts = append(parts, strconv.FormatInt(now-mod(now, int64(a.Window)), 10))
	}
	id := event.SourceID(parts...)
	if !c.core.emitted.add(id) {
		c.core.counts.Repeats++
		return
	}
	f := finding.Finding{Time: now}
	f.ID, f.Group = id, event.SourceID(group...)
	f.RuleID, f.RuleVersion = spec.ID, spec.Version
	f.Title = or(a.Title, spec.Title)
	f.Severity = or(a.Severity, spec.Severity)
	f.Confidence = a.Confidence
	if f.Confidence == 0 {
		f.Confidence = spec.Confidence
	}
	f.Summary = a.Summary
	f.Status = "open"
	f.FirstSeen, f.LastSeen, f.Count = a.FirstSeen, a.LastSeen, max(a.Count, 1)
	if f.FirstSeen == 0 {
		f.FirstSeen = now
	}
	if f.LastSeen == 0 {
		f.LastSeen = now
	}
	f.Time = f.LastSeen
	f.Tenant = c.Tenant
	f.EventIDs, f.Evidence, f.Why = a.EventIDs, a.Evidence, a.Why
	f.Remediation, f.FalsePositives, f.References = spec.Remediation, spec.FalsePositives, spec.References
	f.Tool = a.Tool
	if e := c.e; e != nil {
		if f.Key = keyText(spec.Key, e); spec.Key == KeyFields && c.entry != nil {
			f.Key = c.entry.text
		}
		f.PrincipalID, f.PrincipalVerified = e.PrincipalID, e.PrincipalVerified
		f.ClientName, f.Server, f.ConversationID = e.ClientName, e.Server, e.ConversationID
		f.Tool = or(a.Tool, e.Tool)
		if f.EventIDs == nil && e.ID != "" {
			f.EventIDs = []string{e.ID}
		}
	} else if c.entry != nil {
		f.Key = c.entry.text
		f.Server = or(a.Server, c.entry.server)
		f.PrincipalID, f.ClientName, f.ConversationID = a.PrincipalID, a.ClientName, a.ConversationID
	}
	c.core.counts.Findings[f.Severity]++
	c.eng.emit(&f)
}

// Window is the start of the window of length d that the event falls into, ns.
func (c *Context) Window(d time.Duration) int64 { return c.Now - mod(c.Now, int64(d)) }

// mod is a modulo that is never negative; n is positive.
func mod(a, n int64) int64 { return ((a % n) + n) % n }

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
