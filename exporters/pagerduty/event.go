// What PagerDuty is told: names, counts and links, never content.

package pagerduty

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	pd "github.com/PagerDuty/go-pagerduty"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Limits of the Events API v2.
const (
	maxSummary = 1024
	maxDedup   = 255
	maxPayload = 512 << 10
)

const (
	maxName   = 128 // characters of a name
	maxDetail = 1024
	maxList   = 20
)

const (
	trigger     = "trigger"
	acknowledge = "acknowledge"
	resolve     = "resolve"
)

// severities of PagerDuty by ours.
var severities = map[string]string{"critical": "critical", "high": "error", "medium": "warning", "low": "info", "informational": "info"}

func severityOf(s string) string {
	if v, ok := severities[s]; ok {
		return v
	}
	return "critical" // one that is not known is not one to miss
}

// dedupKey is the incident's key: tenant, rule and group. One that would be too long, or would hold what is not printable, is hashed.
func dedupKey(f *finding.Finding) string {
	group := f.Group
	if group == "" {
		group = f.ID
	}
	tenant := f.Tenant
	if tenant == "" {
		tenant = event.DefaultTenant
	}
	key := "mcp/" + tenant + "/" + f.RuleID + "/" + group
	if len(key) > maxDedup || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "mcp/" + event.SourceID(tenant, f.RuleID, group)
	}
	return key
}

func name(s string) string { return sink.Plain(s, maxName) }

func stamp(ns int64) string {
	if ns <= 0 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z")
}

func (e *pagerExporter) summary(f *finding.Finding) string {
	if e.cfg.Summary == summarySentence && f.Summary != "" {
		return sink.Plain(f.Summary, maxSummary)
	}
	s := sink.Plain(f.Title, 256)
	if s == "" {
		s = name(f.RuleID)
	}
	switch {
	case f.Tool != "" && f.Server != "":
		s += ": " + name(f.Tool) + " of " + name(f.Server)
	case f.Tool != "":
		s += ": " + name(f.Tool)
	case f.Server != "":
		s += ": " + name(f.Server)
	}
	if f.Tenant != "" && f.Tenant != event.DefaultTenant {
		s += " (" + name(f.Tenant) + ")"
	}
	if s == "" {
		s = "finding"
	}
	return sink.Plain(s, maxSummary)
}

func (e *pagerExporter) findingURL(id string) string {
	if e.cfg.Links.GrafanaURL == "" {
		return ""
	}
	return strings.TrimRight(e.cfg.Links.GrafanaURL, "/") + "/d/mcpsiem-finding?var-finding=" + url.QueryEscape(sink.Plain(id, 64))
}

func links(href, text string) []any {
	if href == "" {
		return nil
	}
	return []any{map[string]string{"href": href, "text": text}}
}

// event makes what is told of a finding.
func (e *pagerExporter) event(action, dedup string, f *finding.Finding) *pd.V2Event {
	ev := &pd.V2Event{Action: action, DedupKey: dedup}
	if action != trigger {
		return ev
	}
	ev.Client, ev.ClientURL = "mcpsiem", e.findingURL(f.ID)
	ev.Links = links(ev.ClientURL, "Investigate in Grafana")
	d := map[string]any{}
	put := func(k, v string) {
		if v != "" {
			d[k] = sink.Plain(v, maxDetail)
		}
	}
	put("finding", f.ID)
	put("rule", f.RuleID)
	put("severity", f.Severity)
	put("tenant", f.Tenant)
	put("principal", f.PrincipalID)
	if f.PrincipalID != "" {
		d["principal_verified"] = f.PrincipalVerified
	}
	put("client", f.ClientName)
	put("server", f.Server)
	put("tool", f.Tool)
	put("conversation", f.ConversationID)
	put("first_seen", stamp(f.FirstSeen))
	put("last_seen", stamp(f.LastSeen))
	put("what_to_do", f.Remediation)
	put("when_harmless", f.FalsePositives)
	if f.Count > 0 {
		d["events"] = f.Count
	}
	if f.Confidence > 0 {
		d["confidence"] = f.Confidence
	}
	if len(f.References) > 0 {
		d["references"] = list(f.References)
	}
	if f.ID != "" {
		d["command"] = "mcpsiem findings show " + sink.Plain(f.ID, 64)
	}
	if e.cfg.Details == detailEvidence {
		put("summary", f.Summary)
		if len(f.Evidence) > 0 {
			d["evidence"] = list(f.Evidence)
		}
		why := map[string]string{}
		for _, k := range sortedKeys(f.Why) {
			if len(why) < maxList {
				why[name(k)] = sink.Plain(f.Why[k], maxDetail)
			}
		}
		if len(why) > 0 {
			d["why"] = why
		}
	}
	source := f.Server
	if source == "" {
		source = f.ClientName
	}
	if source == "" {
		source = "mcpsiem"
	}
	ev.Payload = &pd.V2Payload{
		Summary: e.summary(f), Source: name(source), Severity: severityOf(f.Severity), Timestamp: stamp(f.Time),
		Component: name(f.Tool), Group: name(f.Tenant), Class: name(f.RuleID), Details: d,
	}
	return ev
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// list shows the first of a list, and how many more there are.
func list(in []string) []string {
	out := make([]string, 0, min(len(in), maxList+1))
	for i, s := range in {
		if i == maxList {
			return append(out, fmt.Sprintf("and %d more", len(in)-maxList))
		}
		out = append(out, sink.Plain(s, maxDetail))
	}
	return out
}

// digest is the one incident of a window for what did not get one of its own.
func (e *pagerExporter) digest(dedup, severity string, from time.Time, w *sink.Window) *pd.V2Event {
	to := from.Add(e.cfg.Throttle.Window)
	more := ""
	if w.Withheld >= 5 {
		more = "+"
	}
	rules := map[string]int{}
	for k, n := range w.Rules {
		if k == "" {
			k = "others"
		}
		rules[name(k)] += n
	}
	ev := &pd.V2Event{Action: trigger, DedupKey: dedup, Client: "mcpsiem"}
	if base := strings.TrimRight(e.cfg.Links.GrafanaURL, "/"); base != "" {
		ev.ClientURL = base + "/d/mcpsiem-soc?from=" + strconv.FormatInt(from.UnixMilli(), 10) + "&to=" + strconv.FormatInt(to.UnixMilli(), 10)
		ev.Links = links(ev.ClientURL, "All findings of the window in Grafana")
	}
	ev.Payload = &pd.V2Payload{
		Summary: fmt.Sprintf("%d%s more findings of this severity within %s, from %d rules", w.Withheld, more, e.cfg.Throttle.Window, len(w.Rules)),
		Source:  "mcpsiem", Severity: severity, Timestamp: stamp(from.UnixNano()), Class: "digest",
		Details: map[string]any{
			"findings": w.Withheld, "rules": rules, "window_from": stamp(from.UnixNano()), "window_to": stamp(to.UnixNano()),
			"on_their_own": len(w.Admitted), "command": "mcpsiem findings list --each --status open",
			"note": "each is a finding of its own in the store; the number is repeated whenever it grew by a fifth",
		},
	}
	return ev
}

// change is what is told of an audit record.
func (e *pagerExporter) change(ev *event.Event) pd.ChangeEvent {
	out := pd.ChangeEvent{Payload: pd.ChangeEventPayload{Source: "mcpsiem", Timestamp: stamp(ev.Time)}}
	s := name(ev.AuditAction)
	if ev.AuditTarget != "" {
		s += ": " + name(ev.AuditTarget)
	}
	if ev.PrincipalID != "" && e.cfg.Summary == summarySentence {
		s += " by " + name(ev.PrincipalID)
	}
	out.Payload.Summary = sink.Plain(s, maxSummary)
	d := map[string]any{}
	for k, v := range map[string]string{"action": ev.AuditAction, "target": ev.AuditTarget, "tenant": ev.Tenant, "by": ev.PrincipalID, "server": ev.Server, "tool": ev.Tool, "outcome": ev.Outcome, "record": ev.ID} {
		if v != "" {
			d[k] = sink.Plain(v, maxDetail)
		}
	}
	out.Payload.CustomDetails = d
	return out
}

// fits drops the details of an event that would be larger than PagerDuty takes.
func fits(ev *pd.V2Event) {
	if b, err := json.Marshal(ev); err == nil && len(b) <= maxPayload-64 {
		return
	}
	if ev.Payload != nil {
		ev.Payload.Details = map[string]any{"note": "the details were larger than PagerDuty takes"}
	}
}
