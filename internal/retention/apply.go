// Plan and application of a policy.

package retention

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Line of a plan: rows of a tenant and kind that one class decides about.
type Line struct {
	Tenant   string    `json:"tenant"`
	Kind     string    `json:"kind"` // event or finding
	Class    string    `json:"class"`
	Rows     uint64    `json:"rows"`
	Due      uint64    `json:"due"`        // old enough, held or not
	Held     uint64    `json:"held"`       // of the due, covered by a hold
	Kept     uint64    `json:"kept"`       // of the due, records of removal, which stay
	Unsealed uint64    `json:"not_sealed"` // of the due, not sealed yet: another time
	Go       uint64    `json:"go"`         // of the due, what an application removes
	Oldest   time.Time `json:"oldest"`
	Store    uint32    `json:"store_days"`
	Total    uint32    `json:"total_days"`
}

// Report is a plan with what there is to know beside it.
type Report struct {
	At       time.Time `json:"at"`
	Policy   *Policy   `json:"policy"`
	Lines    []Line    `json:"lines"`
	Holds    []Hold    `json:"holds"`    // in force and released
	Removals []Removal `json:"removals"` // newest first
}

// recordsOfRemoval stay as long as the log: without them a missing row would be a missing row.
const recordsOfRemoval = "(event_name = 'mcpsiem.audit' AND audit_action IN ('retention.apply', 'subject.erase'))"

// age of a row: a finding's begins with its last change.
func ageOf(kind string) string {
	if kind == kindFinding {
		return "greatest(ts, fromUnixTimestamp64Nano(toInt64(least(revision, 9000000000000000000)), 'UTC'))"
	}
	return "ts"
}

// due is the condition that a row is old enough.
func (p *Policy) due(kind string, now time.Time) string {
	r := p.rule(kind == kindFinding)
	age := ageOf(kind)
	return fmt.Sprintf("ts < %[1]s - toIntervalDay(%[2]d) AND %[3]s > 0 AND %[4]s < %[1]s - toIntervalDay(%[3]s)", nano(now), r.shortest, r.store, age)
}

// Plan counts what an application would do now.
func (r *Remover) Plan(ctx context.Context, p *Policy, tenant string) (*Report, error) {
	holds, err := Holds(ctx, r.Conn)
	if err != nil {
		return nil, err
	}
	out := &Report{At: r.now().UTC(), Policy: p, Holds: holds, Lines: []Line{}}
	if out.Removals, err = r.Removals(ctx, false); err != nil {
		return nil, err
	}
	for _, kind := range []string{kindEvent, kindFinding} {
		name, id := tableOf(kind)
		ru := p.rule(kind == kindFinding)
		kept := recordsOfRemoval
		if kind == kindFinding {
			kept = "0"
		}
		only := "1"
		if tenant != "" {
			only = "tenant = " + quote(tenant)
		}
		// Rows of tenants that nothing seals are due only with --unsealed; they count as not sealed.
		q := fmt.Sprintf(`SELECT tenant, class, count(), countIf(due), countIf(due AND held), countIf(due AND NOT held AND kept), countIf(due AND NOT held AND NOT kept AND NOT sealed),
countIf(due AND NOT held AND NOT kept AND sealed), min(ts), toUInt32(max(store)), toUInt32(max(total)) FROM (
SELECT tenant, ts, %[1]s AS class, %[2]s AS store, %[3]s AS total, (%[4]s) AS due, %[5]s AS held, %[6]s AS kept,
if(due, (tenant, %[7]s) IN (SELECT tenant, id FROM %[8]s WHERE kind = '%[9]s'), 0) AS sealed FROM %[10]s FINAL WHERE %[11]s) GROUP BY tenant, class ORDER BY tenant, class`,
			ru.class, ru.store, ru.total, p.due(kind, r.now()), held(holds, r.Conn.Database, kind), kept, id, r.table("seal_leaves"), kind, r.table(name), only)
		rows, err := r.Conn.Query(ctx, q)
		if err != nil {
			return nil, storeError("plan retention", err)
		}
		for rows.Next() {
			l := Line{Kind: kind}
			if err := rows.Scan(&l.Tenant, &l.Class, &l.Rows, &l.Due, &l.Held, &l.Kept, &l.Unsealed, &l.Go, &l.Oldest, &l.Store, &l.Total); err != nil {
				rows.Close()
				return nil, storeError("plan retention", err)
			}
			out.Lines = append(out.Lines, l)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, storeError("plan retention", err)
		}
	}
	return out, nil
}

// Options of an application.
type Options struct {
	Tenant   string // only this one; empty: all
	Unsealed bool   // rows of tenants that nothing seals go, too
}

// Apply removes what is due: first it finishes what an earlier application left, then it puts everything on record, then it carries that out, and at last it
// removes archives that have had their time.
func (r *Remover) Apply(ctx context.Context, p *Policy, o Options) ([]Removal, error) {
	done, err := r.Carry(ctx)
	if err != nil {
		return done, err
	}
	if err := r.Lock(ctx); err != nil {
		return done, err
	}
	err = r.recordDue(ctx, p, o)
	r.Unlock()
	// What is on record is carried out even where not all could be recorded.
	more, err2 := r.Carry(ctx)
	done = append(done, more...)
	if err = errors.Join(err, err2); err != nil {
		return done, err
	}
	return done, r.expireArchives(ctx)
}

func (r *Remover) recordDue(ctx context.Context, p *Policy, o Options) error {
	plan, err := r.Plan(ctx, p, o.Tenant)
	if err != nil {
		return err
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	for _, l := range plan.Lines {
		if l.Class == "" || l.Go == 0 && (!o.Unsealed || l.Unsealed == 0) {
			continue
		}
		ru := p.rule(l.Kind == kindFinding)
		where := fmt.Sprintf("%s AND %s = %s AND NOT %s", p.due(l.Kind, r.now()), ru.class, quote(l.Class), held(plan.Holds, r.Conn.Database, l.Kind))
		if l.Kind == kindEvent {
			where += " AND NOT " + recordsOfRemoval
		}
		q := request{
			tenant: l.Tenant, kind: l.Kind, where: where, action: audit.RetentionApply, target: l.Kind + "s", class: l.Class, unsealed: o.Unsealed,
			reason:  fmt.Sprintf("older than %d days", l.Store),
			details: map[string]string{"policy_sha256": hex.EncodeToString(sum[:]), "policy_version": p.Version},
		}
		if l.Total > l.Store {
			q.archiveDays = int(l.Total - l.Store)
		}
		if _, err := r.begin(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// expireArchives removes archives whose time is over, but while a hold in force could be about them.
func (r *Remover) expireArchives(ctx context.Context) error {
	all, err := r.Removals(ctx, false)
	if err != nil {
		return err
	}
	holds, err := Holds(ctx, r.Conn)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Archive == "" || m.ArchiveUntil.IsZero() || m.ArchiveUntil.After(r.now()) || archiveHeld(m, holds) {
			continue
		}
		if _, err := os.Stat(m.Archive); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := r.Record(ctx, audit.Record{Action: audit.RetentionApply, Target: "archive: " + m.Record.String(), Tenant: m.Tenant, Actor: r.Actor, Time: r.now(),
			ID: event.SourceID("archive expired", m.Tenant, m.Record.String()), Details: map[string]string{"phase": "archive_expired", "record": m.Record.String(), "class": m.Class,
				"rows": strconv.FormatUint(m.Rows, 10), "archive_sha256": m.ArchiveSHA256}}); err != nil {
			return err
		}
		if key := r.Archive.keyOf(m.Tenant, m.Archive); key != "" {
			if err := destroyKey(key); err != nil {
				return err
			}
		}
		if err := os.Remove(m.Archive); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot remove an archive whose time is over: %w", err)
		}
	}
	return nil
}

// HeldArchives says whether a hold in force could be about an archive of a tenant.
func (r *Remover) HeldArchives(ctx context.Context, tenant string) (bool, error) {
	all, err := r.Removals(ctx, false)
	if err != nil {
		return false, err
	}
	holds, err := Holds(ctx, r.Conn)
	if err != nil {
		return false, err
	}
	for _, m := range all {
		if m.Tenant == tenant && m.Archive != "" && archiveHeld(m, holds) {
			return true, nil
		}
	}
	return false, nil
}

// archiveHeld says whether a hold could be about rows of an archive. It is not opened: a doubt keeps it.
func archiveHeld(m Removal, holds []Hold) bool {
	for _, h := range holds {
		if h.Active() && (h.Tenant == "" || h.Tenant == m.Tenant) && (h.From.IsZero() || !m.Last.Before(h.From)) && (h.To.IsZero() || m.First.Before(h.To)) {
			return true
		}
	}
	return false
}
