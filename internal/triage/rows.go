package triage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Row is a finding as it stands: a row of the view mcp_findings. Its JSON form is stable.
type Row struct {
	ID                string            `ch:"finding_id" json:"finding_id"`
	Tenant            string            `ch:"tenant" json:"tenant"`
	RuleID            string            `ch:"rule_id" json:"rule_id"`
	RuleVersion       string            `ch:"rule_version" json:"rule_version"`
	Title             string            `ch:"title" json:"title"`
	Summary           string            `ch:"summary" json:"summary"`
	Severity          string            `ch:"severity" json:"severity"`
	SeverityRank      uint8             `ch:"severity_rank" json:"severity_rank"`
	Confidence        float32           `ch:"confidence" json:"confidence"`
	Status            string            `ch:"status" json:"status"`
	IsOpen            bool              `ch:"is_open" json:"is_open"`
	AcceptanceEnded   bool              `ch:"acceptance_ended" json:"acceptance_ended"`
	Suppressed        bool              `ch:"suppressed" json:"suppressed"`
	Revision          uint64            `ch:"revision" json:"revision"`
	TriagedBy         string            `ch:"triaged_by" json:"triaged_by"`
	Note              string            `ch:"note" json:"note"`
	AcceptedUntil     time.Time         `ch:"accepted_until" json:"accepted_until,omitzero"`
	Raised            time.Time         `ch:"raised" json:"raised"`
	FirstSeen         time.Time         `ch:"first_seen" json:"first_seen,omitzero"`
	LastSeen          time.Time         `ch:"last_seen" json:"last_seen,omitzero"`
	Count             uint32            `ch:"count" json:"count"`
	AckAt             *time.Time        `ch:"ack_at" json:"ack_at,omitempty"`
	MTTA              *float64          `ch:"mtta" json:"mtta,omitempty"` // seconds
	ResolvedAt        *time.Time        `ch:"resolved_at" json:"resolved_at,omitempty"`
	MTTR              *float64          `ch:"mttr" json:"mttr,omitempty"` // seconds
	Group             string            `ch:"group_id" json:"group_id"`
	GroupFindings     uint64            `ch:"group_findings" json:"group_findings"`
	GroupOpen         uint64            `ch:"group_open" json:"group_open"`
	Key               string            `ch:"key" json:"key"`
	PrincipalID       string            `ch:"principal_id" json:"principal_id"`
	PrincipalVerified bool              `ch:"principal_verified" json:"principal_verified"`
	ClientName        string            `ch:"client_name" json:"client_name"`
	Server            string            `ch:"server" json:"server"`
	Tool              string            `ch:"tool" json:"tool"`
	ConversationID    string            `ch:"conversation_id" json:"conversation_id"`
	EventIDs          []string          `ch:"event_ids" json:"event_ids"`
	Evidence          []string          `ch:"evidence" json:"evidence"`
	Why               map[string]string `ch:"why" json:"why"`
	Remediation       string            `ch:"remediation" json:"remediation"`
	FalsePositives    string            `ch:"false_positives" json:"false_positives"`
	References        []string          `ch:"references" json:"references"`
}

// Finding is the row as a finding, from which a next revision is made.
func (r *Row) Finding() *finding.Finding {
	return &finding.Finding{Time: r.Raised.UnixNano(), Fields: finding.Fields{
		ID: r.ID, RuleID: r.RuleID, RuleVersion: r.RuleVersion, Title: r.Title, Summary: r.Summary, Severity: r.Severity, Confidence: float64(r.Confidence),
		Status: r.Status, Revision: int64(r.Revision), TriagedBy: r.TriagedBy, TriageNote: r.Note, AcceptedUntil: nanos(r.AcceptedUntil),
		FirstSeen: nanos(r.FirstSeen), LastSeen: nanos(r.LastSeen), Count: int64(r.Count), Key: r.Key, Group: r.Group, Tenant: r.Tenant,
		PrincipalID: r.PrincipalID, PrincipalVerified: r.PrincipalVerified, ClientName: r.ClientName, Server: r.Server, Tool: r.Tool,
		ConversationID: r.ConversationID, EventIDs: r.EventIDs, Evidence: r.Evidence, Why: r.Why, Remediation: r.Remediation,
		FalsePositives: r.FalsePositives, References: r.References,
	}}
}

// known is t, or no time where the store has none: its dates begin in 1970.
func known(t time.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{}
	}
	return t
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// columns of T for a SELECT, with ids as finding.ID writes them.
func columns[T any]() string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		c := f.Tag.Get("ch")
		switch c {
		case "":
		case "finding_id", "group_id", "event_id":
			out = append(out, "lower(hex("+c+")) AS "+c)
		case "event_ids":
			out = append(out, "arrayMap(x -> lower(hex(x)), event_ids) AS event_ids")
		default:
			out = append(out, "`"+c+"`")
		}
	}
	return strings.Join(out, ", ")
}

// Query selects findings; what is zero selects all.
type Query struct {
	ID          string // or a prefix of it, hex digits
	Status      []Status
	MinSeverity string // this one and worse
	Since       time.Time
	Rule        string
	Tenant      string
	Principal   string
	Server      string
	Tool        string
	Group       string
	// Each gives every finding; otherwise of each group the one to look at, the newest.
	Each  bool
	Limit int // 0: 100
}

// List reads findings, worst and newest first. more says that there are others than the Limit.
func List(ctx context.Context, c *store.Conn, q Query) (rows []Row, more bool, err error) {
	var where []string
	var args []any
	add := func(cond string, v ...any) { where = append(where, cond); args = append(args, v...) }
	for col, v := range map[string]string{"rule_id": q.Rule, "tenant": q.Tenant, "principal_id": q.Principal, "server": q.Server, "tool": q.Tool} {
		if v != "" {
			add("v."+col+" = ?", v)
		}
	}
	switch {
	case q.ID == "":
	case !hexDigits(q.ID) || len(q.ID) > 32:
		return nil, false, errors.New("a finding's id has up to 32 hex digits (see `mcpsiem findings list`)")
	case len(q.ID) == 32:
		add("v.finding_id = toUUID(?)", dashed(q.ID))
	default:
		add("startsWith(lower(hex(v.finding_id)), ?)", strings.ToLower(q.ID))
	}
	if q.Group != "" {
		if len(q.Group) != 32 || !hexDigits(q.Group) {
			return nil, false, errors.New("a group has 32 hex digits")
		}
		add("v.group_id = toUUID(?)", dashed(q.Group))
	}
	if len(q.Status) > 0 {
		list := make([]string, len(q.Status))
		for i, s := range q.Status {
			list[i] = string(s)
		}
		add("v.status IN (?)", list)
	}
	if q.MinSeverity != "" {
		n := Rank(q.MinSeverity)
		if n == 0 {
			return nil, false, fmt.Errorf("unknown severity: choose %s", join(Severities))
		}
		add("v.severity_rank >= ?", n)
	}
	if !q.Since.IsZero() {
		add("v.last_seen >= fromUnixTimestamp64Nano(?)", q.Since.UnixNano())
	}
	sql := "SELECT * FROM " + c.Database + ".mcp_findings AS v"
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	if !q.Each && q.ID == "" {
		sql += " ORDER BY raised DESC, finding_id LIMIT 1 BY tenant, group_id"
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	sql = fmt.Sprintf("SELECT %s FROM (%s) AS r ORDER BY r.severity_rank DESC, r.last_seen DESC, r.finding_id LIMIT %d", columns[Row](), sql, limit+1)
	if err := c.Select(ctx, &rows, sql, args...); err != nil {
		return nil, false, fmt.Errorf("cannot read findings: %w", err)
	}
	for i := range rows {
		rows[i].AcceptedUntil = known(rows[i].AcceptedUntil)
	}
	if len(rows) > limit {
		return rows[:limit], true, nil
	}
	return rows, false, nil
}

// ErrUnknown says that there is no such finding.
var ErrUnknown = errors.New("there is no such finding")

// Get reads the one finding whose id begins with the prefix.
func Get(ctx context.Context, c *store.Conn, prefix string) (*Row, error) {
	if prefix == "" {
		return nil, fmt.Errorf("%w: the id is empty", ErrUnknown)
	}
	rows, _, err := List(ctx, c, Query{ID: prefix, Limit: 4})
	switch {
	case err != nil:
		return nil, err
	case len(rows) == 0:
		return nil, fmt.Errorf("%w: no id begins with %s (see `mcpsiem findings list --status all --each`)", ErrUnknown, prefix)
	case len(rows) > 1:
		var ids []string
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		return nil, fmt.Errorf("%s is the beginning of several ids: give more of it, as in %s", prefix, strings.Join(ids, ", "))
	}
	return &rows[0], nil
}

// Past is one revision of a finding.
type Past struct {
	Revision      uint64    `ch:"revision" json:"revision"`
	Changed       time.Time `ch:"changed" json:"changed"`
	Status        string    `ch:"status" json:"status"`
	TriagedBy     string    `ch:"triaged_by" json:"triaged_by"`
	Note          string    `ch:"triage_note" json:"note"`
	AcceptedUntil time.Time `ch:"accepted_until" json:"accepted_until,omitzero"`
}

// History is every revision of a finding, oldest first.
func History(ctx context.Context, c *store.Conn, tenant, id string) (out []Past, err error) {
	err = c.Select(ctx, &out, "SELECT "+columns[Past]()+" FROM "+c.Database+".finding_history FINAL WHERE tenant = ? AND finding_id = toUUID(?) ORDER BY revision", tenant, dashed(id))
	if err != nil {
		return nil, fmt.Errorf("cannot read the history of a finding: %w", err)
	}
	for i := range out {
		out[i].AcceptedUntil = known(out[i].AcceptedUntil)
	}
	return out, nil
}

// Step is an event that is evidence, redacted.
type Step struct {
	ID          string             `ch:"event_id" json:"event_id"`
	Time        time.Time          `ch:"ts" json:"time"`
	Name        string             `ch:"event_name" json:"event_name"`
	PrincipalID string             `ch:"principal_id" json:"principal_id"`
	ClientName  string             `ch:"client_name" json:"client_name"`
	Server      string             `ch:"server" json:"server"`
	Direction   string             `ch:"direction" json:"direction"`
	Method      string             `ch:"method" json:"method"`
	Tool        string             `ch:"tool" json:"tool"`
	ResourceURI string             `ch:"resource_uri" json:"resource_uri"`
	Outcome     string             `ch:"outcome" json:"outcome"`
	DataClasses []string           `ch:"data_classes" json:"data_classes"`
	Signals     map[string]float64 `ch:"signals" json:"signals"`
	Body        string             `ch:"body" json:"body"`
}

// evidenceMargin is how far outside a finding's times its evidence is looked for: times of late events, and of findings that name the
// event before the first.
const evidenceMargin = 24 * time.Hour

// Steps reads the events that are a finding's evidence, by id; those that the store does not hold any more are missing.
func Steps(ctx context.Context, c *store.Conn, r *Row) (map[string]Step, error) {
	if len(r.EventIDs) == 0 {
		return nil, nil
	}
	ids := make([]string, len(r.EventIDs))
	for i, id := range r.EventIDs {
		ids[i] = dashed(id)
	}
	from, to := r.FirstSeen, r.LastSeen
	if nanos(from) <= 0 {
		from = r.Raised
	}
	if to.Before(r.Raised) {
		to = r.Raised
	}
	var list []Step
	err := c.Select(ctx, &list, "SELECT "+columns[Step]()+" FROM "+c.Database+".events AS e FINAL WHERE e.tenant = ? AND e.ts BETWEEN fromUnixTimestamp64Nano(?) AND fromUnixTimestamp64Nano(?) AND e.event_id IN (SELECT toUUID(arrayJoin(?)))",
		r.Tenant, from.Add(-evidenceMargin).UnixNano(), to.Add(evidenceMargin).UnixNano(), ids)
	if err != nil {
		return nil, fmt.Errorf("cannot read a finding's events: %w", err)
	}
	out := map[string]Step{}
	for _, s := range list {
		out[s.ID] = s
	}
	return out, nil
}

// Stored reports whether the store shows the revision of the finding.
func Stored(ctx context.Context, c *store.Conn, f *finding.Finding) (bool, error) {
	var n uint64
	err := c.QueryRow(ctx, "SELECT count() FROM "+c.Database+".finding_history WHERE tenant = ? AND finding_id = toUUID(?) AND revision >= ?", f.Tenant, dashed(f.ID), uint64(f.Revision)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("cannot read the history of a finding: %w", err)
	}
	return n > 0, nil
}

func hexDigits(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
}

// dashed is an id of 32 hex digits as ClickHouse reads a UUID.
func dashed(id string) string {
	if len(id) != 32 {
		return "00000000-0000-0000-0000-000000000000"
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}
