// Legal holds: what must outlive retention and erasure until it is released.

package retention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Hold is a legal hold. What is empty holds everything in that respect; at least one thing must be given.
type Hold struct {
	ID        string    `json:"hold_id"`
	Matter    string    `json:"matter"`
	Tenant    string    `json:"tenant,omitempty"`
	Principal string    `json:"principal,omitempty"`
	Server    string    `json:"server,omitempty"`
	From      time.Time `json:"from,omitzero"`
	To        time.Time `json:"to,omitzero"`
	Query     string    `json:"query,omitempty"` // condition on columns of events, in SQL

	CreatedAt  time.Time `json:"created_at"`
	CreatedBy  string    `json:"created_by"`
	ReleasedAt time.Time `json:"released_at,omitzero"`
	ReleasedBy string    `json:"released_by,omitempty"`
	Reason     string    `json:"release_reason,omitempty"`
}

// Active says whether the hold is in force.
func (h Hold) Active() bool { return h.ReleasedAt.IsZero() }

// Validate checks what can be known without the store.
func (h Hold) Validate() error {
	if strings.TrimSpace(h.Matter) == "" {
		return errors.New("a hold needs a matter: the case that it is for")
	}
	if h.Tenant == "" && h.Principal == "" && h.Server == "" && h.Query == "" && h.From.IsZero() && h.To.IsZero() {
		return errors.New("a hold must say what it holds: a tenant, principal, server, period or query")
	}
	if len(h.Query) > 10_000 || len(h.Matter) > 1000 {
		return errors.New("a hold's query has at most 10,000 bytes, its matter 1,000")
	}
	return closed(h.Query)
}

// closed refuses text that would not stay inside the parentheses it is put in.
func closed(s string) error {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'', '"', '`':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			if i >= len(s) {
				return errors.New("the query has a quote that does not end")
			}
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth < 0 {
				return errors.New("the query has a closing parenthesis without an opening one")
			}
		case ';', '#', '$':
			return fmt.Errorf("the query must be one condition, without %c", c)
		case '-', '/':
			if i+1 < len(s) && (c == '-' && s[i+1] == '-' || c == '/' && (s[i+1] == '*' || s[i+1] == '/')) {
				return errors.New("the query must have no comments")
			}
		}
	}
	if depth != 0 {
		return errors.New("the query has a parenthesis that does not close")
	}
	return nil
}

func nano(t time.Time) string { return fmt.Sprintf("fromUnixTimestamp64Nano(%d, 'UTC')", t.UnixNano()) }

// events is the hold as a condition on rows of events.
func (h Hold) events() string {
	cond := []string{"1"}
	add := func(s string) { cond = append(cond, s) }
	if h.Tenant != "" {
		add("tenant = " + quote(h.Tenant))
	}
	if h.Principal != "" {
		add("(principal_id = " + quote(h.Principal) + " OR has(on_behalf_of, " + quote(h.Principal) + "))")
	}
	if h.Server != "" {
		add("server = " + quote(h.Server))
	}
	if !h.From.IsZero() {
		add("ts >= " + nano(h.From))
	}
	if !h.To.IsZero() {
		add("ts < " + nano(h.To))
	}
	if h.Query != "" {
		// What is neither true nor false is held.
		add("ifNull((" + h.Query + ") != 0, 1)")
	}
	return "(" + strings.Join(cond, " AND ") + ")"
}

// findings is the hold as a condition on rows of findings: those that it names, and those whose evidence it holds.
func (h Hold) findings(database string) string {
	evidence := fmt.Sprintf("finding_id IN (SELECT finding_id FROM `%[1]s`.findings ARRAY JOIN event_ids AS e WHERE e IN (SELECT event_id FROM `%[1]s`.events WHERE %[2]s))", database, h.events())
	if h.Query != "" {
		return "(" + evidence + ")"
	}
	cond := []string{"1"}
	add := func(s string) { cond = append(cond, s) }
	if h.Tenant != "" {
		add("tenant = " + quote(h.Tenant))
	}
	if h.Principal != "" {
		add("principal_id = " + quote(h.Principal))
	}
	if h.Server != "" {
		add("server = " + quote(h.Server))
	}
	if !h.From.IsZero() {
		add("last_seen >= " + nano(h.From))
	}
	if !h.To.IsZero() {
		add("first_seen < " + nano(h.To))
	}
	return "(" + strings.Join(cond, " AND ") + " OR " + evidence + ")"
}

// held is every hold in force as one condition.
func held(holds []Hold, database, kind string) string {
	var any []string
	for _, h := range holds {
		switch {
		case !h.Active():
		case kind == kindFinding:
			any = append(any, h.findings(database))
		default:
			any = append(any, h.events())
		}
	}
	if len(any) == 0 {
		return "0"
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

func table(c *store.Conn, name string) string { return "`" + c.Database + "`." + name }

// Holds reads all holds, those in force first, the newest first.
func Holds(ctx context.Context, c *store.Conn) ([]Hold, error) {
	rows, err := c.Query(ctx, "SELECT tenant, hold_id, matter, principal, server, from_ts, to_ts, query, created_at, created_by, released_at, released_by, release_reason FROM "+
		table(c, "holds")+" FINAL ORDER BY released_at > fromUnixTimestamp64Milli(0, 'UTC'), created_at DESC")
	if err != nil {
		return nil, storeError("read legal holds", err)
	}
	defer rows.Close()
	var out []Hold
	for rows.Next() {
		var h Hold
		if err := rows.Scan(&h.Tenant, &h.ID, &h.Matter, &h.Principal, &h.Server, &h.From, &h.To, &h.Query, &h.CreatedAt, &h.CreatedBy, &h.ReleasedAt, &h.ReleasedBy, &h.Reason); err != nil {
			return nil, storeError("read legal holds", err)
		}
		for _, t := range []*time.Time{&h.From, &h.To, &h.ReleasedAt} {
			if t.UnixNano() == 0 {
				*t = time.Time{}
			}
		}
		out = append(out, h)
	}
	return out, storeError("read legal holds", rows.Err())
}

// Check says whether the store takes the hold's query.
func (h Hold) Check(ctx context.Context, c *store.Conn) error {
	if err := h.Validate(); err != nil {
		return err
	}
	var n uint64
	if err := c.QueryRow(ctx, "SELECT count() FROM "+table(c, "events")+" WHERE "+h.events()+" AND ts < fromUnixTimestamp64Nano(0, 'UTC')").Scan(&n); err != nil {
		return storeError("use the hold's query as a condition on events", err)
	}
	return nil
}

// Covers counts what is stored and held.
func (h Hold) Covers(ctx context.Context, c *store.Conn) (events, findings uint64, err error) {
	if err = c.QueryRow(ctx, "SELECT uniqExact(event_id) FROM "+table(c, "events")+" WHERE "+h.events()).Scan(&events); err != nil {
		return 0, 0, storeError("count what is held", err)
	}
	if err = c.QueryRow(ctx, "SELECT uniqExact(finding_id) FROM "+table(c, "findings")+" WHERE "+h.findings(c.Database)).Scan(&findings); err != nil {
		return 0, 0, storeError("count what is held", err)
	}
	return events, findings, nil
}

// Save stores a hold, or its release.
func (h Hold) Save(ctx context.Context, c *store.Conn) error {
	zero := func(t time.Time) time.Time {
		if t.IsZero() {
			return time.Unix(0, 0)
		}
		return t
	}
	revision := uint8(0)
	if !h.Active() {
		revision = 1
	}
	b, err := c.PrepareBatch(ctx, "INSERT INTO "+table(c, "holds")+" (tenant, hold_id, revision, matter, principal, server, from_ts, to_ts, query, created_at, created_by, released_at, released_by, release_reason)")
	if err == nil {
		err = b.Append(h.Tenant, h.ID, revision, h.Matter, h.Principal, h.Server, zero(h.From), zero(h.To), h.Query, h.CreatedAt, h.CreatedBy, zero(h.ReleasedAt), h.ReleasedBy, h.Reason)
	}
	if err == nil {
		err = b.Send()
	}
	return storeError("store the legal hold", err)
}
