// Removal: rows go only after a sealed record says so, and what was begun is finished by whoever comes next.
//
// In this order, each step repeatable:
//
//  1. ids and leaves of the rows are read; rows that are not sealed yet are left for another time
//  2. an audit event says that they go, and is sealed
//  3. removals gets a row (state 0), seal_deletions the leaves, removed the rows' ids and places
//  4. where the class has an archive, the rows are written to a file with their proofs (state 1)
//  5. the rows are deleted, but those that a hold in force covers then; then the salts of those that are gone (state 2)
//  6. an audit event says what became of it

package retention

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Kinds of rows, as the seal has them.
const (
	kindEvent   = seal.KindEvent
	kindFinding = seal.KindFinding
)

// storeError says what failed, with ClickHouse's name and code of the error and never its text, which can quote values.
func storeError(what string, err error) error {
	var ex *clickhouse.Exception
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ex):
		return fmt.Errorf("cannot %s: ClickHouse says %s (%d)", what, ex.Name, ex.Code)
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}

// Remover removes rows on record. Not for concurrent use.
type Remover struct {
	Conn       *store.Conn                               // an account that may select, insert and delete
	Record     func(context.Context, audit.Record) error // into the audit trail
	Archive    Archive                                   // where rows go before they are deleted
	LockDir    string                                    // a folder; one removes at a time
	SealWait   time.Duration                             // how long a record may take until it is sealed; 0 is one minute
	BatchSize  int                                       // rows under one record; 0 is 100,000
	Actor      audit.Actor                               // zero: audit.Me
	Now        func() time.Time                          // nil is time.Now
	Crash      func(point string)                        // for tests
	lockHeld   *os.File
	sealedOnce map[string]bool
}

// Removal is a record of removal and what became of it, as table removals has it.
type Removal struct {
	Tenant        string    `json:"tenant"`
	Record        uuid.UUID `json:"record_id"`
	State         uint8     `json:"state"` // 0 recorded, 1 archived, 2 done
	Action        string    `json:"action"`
	Kind          string    `json:"kind"`
	Class         string    `json:"class,omitempty"`
	Reason        string    `json:"reason"`
	Rows          uint64    `json:"rows"`
	Leaves        uint64    `json:"leaves"`
	First         time.Time `json:"first"`
	Last          time.Time `json:"last"`
	RecordedAt    time.Time `json:"recorded_at"`
	DoneAt        time.Time `json:"done_at,omitzero"`
	PartsDropped  uint64    `json:"parts_dropped"`
	RowsHeld      uint64    `json:"rows_held"` // covered by a hold that came after the record
	Archive       string    `json:"archive,omitempty"`
	ArchiveSHA256 string    `json:"archive_sha256,omitempty"`
	ArchiveUntil  time.Time `json:"archive_until,omitzero"`

	withdrawn bool
}

// States of a removal.
const (
	StateRecorded = 0
	StateArchived = 1
	StateDone     = 2
)

// request is what to remove.
type request struct {
	tenant, kind  string
	where         string // of the table's rows, without the tenant
	action        audit.Action
	target        string
	class, reason string
	details       map[string]string
	archiveDays   int  // 0: no archive
	unsealed      bool // rows that nothing seals go, too
}

func (r *Remover) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Remover) crash(point string) {
	if r.Crash != nil {
		r.Crash(point)
	}
}

// Lock keeps others from removing, and new holds from coming into force halfway, until Unlock.
func (r *Remover) Lock(ctx context.Context) error {
	if r.LockDir == "" || r.lockHeld != nil {
		return nil
	}
	if err := os.MkdirAll(r.LockDir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of the retention lock: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(r.LockDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the retention lock: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			r.lockHeld = f
			return nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return fmt.Errorf("cannot take the retention lock, another removal is under way: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Unlock ends Lock.
func (r *Remover) Unlock() {
	if r.lockHeld != nil {
		r.lockHeld.Close()
		r.lockHeld = nil
	}
}

func (r *Remover) table(name string) string { return table(r.Conn, name) }

// rowOf is what is kept of a removed row.
type rowOf struct {
	id               uuid.UUID
	revision         uint64
	ts               time.Time
	tapID            string
	tapEpoch, tapSeq uint64
	lostFrom, lostTo uint64
	stopped          bool
}

// begin records removals of everything that matches, batch by batch, and returns the records. Nothing is deleted yet.
func (r *Remover) begin(ctx context.Context, q request) (records []uuid.UUID, err error) {
	size := cmp.Or(r.BatchSize, 100_000)
	sealed, err := r.isSealed(ctx, q.tenant)
	if err != nil {
		return nil, err
	}
	if !sealed && !q.unsealed {
		return nil, nil
	}
	for {
		ids, err := r.due(ctx, q, sealed, size)
		if err != nil || len(ids) == 0 {
			return records, err
		}
		id, err := r.record(ctx, q, ids, sealed)
		if err != nil {
			return records, err
		}
		records = append(records, id)
		if len(ids) < size {
			return records, nil
		}
	}
}

// isSealed says whether the tenant has a log.
func (r *Remover) isSealed(ctx context.Context, tenant string) (bool, error) {
	if r.sealedOnce[tenant] {
		return true, nil
	}
	var n uint64
	err := r.Conn.QueryRow(ctx, "SELECT count() FROM (SELECT 1 FROM "+r.table("seal_leaves")+" WHERE tenant = ? LIMIT 1)", tenant).Scan(&n)
	if n > 0 {
		if r.sealedOnce == nil {
			r.sealedOnce = map[string]bool{}
		}
		r.sealedOnce[tenant] = true
	}
	return n > 0, storeError("ask whether the tenant is sealed", err)
}

func tableOf(kind string) (name, id string) {
	if kind == kindFinding {
		return "findings", "finding_id"
	}
	return "events", "event_id"
}

// due lists ids of rows that match, are sealed, and are on no record yet.
func (r *Remover) due(ctx context.Context, q request, sealed bool, limit int) ([]uuid.UUID, error) {
	name, id := tableOf(q.kind)
	cond := ""
	if sealed {
		// Every copy of the row must be sealed: one that is stored and not sealed yet is not gone by accident.
		cond = fmt.Sprintf(" AND %s IN (SELECT id FROM %s WHERE tenant = %s AND kind = '%s')", id, r.table("seal_leaves"), quote(q.tenant), q.kind)
	}
	rows, err := r.Conn.Query(ctx, fmt.Sprintf(
		"SELECT DISTINCT %[1]s FROM %[2]s WHERE tenant = %[3]s AND (%[4]s)%[5]s AND %[1]s NOT IN (SELECT id FROM %[6]s WHERE tenant = %[3]s AND kind = '%[7]s' AND record_id IN (SELECT record_id FROM %[9]s FINAL WHERE state < 2)) LIMIT %[8]d",
		id, r.table(name), quote(q.tenant), q.where, cond, r.table("removed"), q.kind, limit, r.table("removals")))
	if err != nil {
		return nil, storeError("look for rows to remove", err)
	}
	defer rows.Close()
	var out []uuid.UUID
	for rows.Next() {
		var u uuid.UUID
		if err := rows.Scan(&u); err != nil {
			return nil, storeError("look for rows to remove", err)
		}
		out = append(out, u)
	}
	return out, storeError("look for rows to remove", rows.Err())
}

// places reads what is kept of the rows, all revisions of findings.
func (r *Remover) places(ctx context.Context, q request, ids []uuid.UUID) (out []rowOf, err error) {
	body := "SELECT event_id, toUInt64(0), ts, tap_id, tap_epoch, tap_seq, lost_from, lost_to, event_name = 'mcpsiem.tap.stop' FROM " + r.table("events") + " WHERE tenant = ? AND event_id IN (SELECT id FROM asked)"
	if q.kind == kindFinding {
		body = "SELECT finding_id, revision, changed, '', toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), 0 = 1 FROM " + r.table("finding_history") + " WHERE tenant = ? AND finding_id IN (SELECT id FROM asked)" +
			" UNION DISTINCT SELECT finding_id, revision, ts, '', toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), 0 = 1 FROM " + r.table("findings") + " WHERE tenant = ? AND finding_id IN (SELECT id FROM asked)"
	}
	ext, err := asked(ids)
	if err != nil {
		return nil, err
	}
	args := []any{q.tenant}
	if q.kind == kindFinding {
		args = append(args, q.tenant)
	}
	rows, err := r.Conn.Query(clickhouse.Context(ctx, clickhouse.WithExternalTable(ext)), body, args...)
	if err != nil {
		return nil, storeError("read the places of rows to remove", err)
	}
	defer rows.Close()
	for rows.Next() {
		var x rowOf
		var stopped uint8
		if err := rows.Scan(&x.id, &x.revision, &x.ts, &x.tapID, &x.tapEpoch, &x.tapSeq, &x.lostFrom, &x.lostTo, &stopped); err != nil {
			return nil, storeError("read the places of rows to remove", err)
		}
		x.stopped = stopped != 0
		out = append(out, x)
	}
	return out, storeError("read the places of rows to remove", rows.Err())
}

// leavesOf lists every leaf of the ids, superseded ones too.
func (r *Remover) leavesOf(ctx context.Context, q request, ids []uuid.UUID) (out []uint64, err error) {
	ext, err := asked(ids)
	if err != nil {
		return nil, err
	}
	rows, err := r.Conn.Query(clickhouse.Context(ctx, clickhouse.WithExternalTable(ext)),
		"SELECT DISTINCT leaf_index FROM "+r.table("seal_leaves")+" WHERE tenant = ? AND kind = ? AND id IN (SELECT id FROM asked) ORDER BY leaf_index", q.tenant, q.kind)
	if err != nil {
		return nil, storeError("read the leaves of rows to remove", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n uint64
		if err := rows.Scan(&n); err != nil {
			return nil, storeError("read the leaves of rows to remove", err)
		}
		out = append(out, n)
	}
	return out, storeError("read the leaves of rows to remove", rows.Err())
}

// record is steps 2 and 3.
func (r *Remover) record(ctx context.Context, q request, ids []uuid.UUID, sealed bool) (uuid.UUID, error) {
	places, err := r.places(ctx, q, ids)
	if err != nil {
		return uuid.Nil, err
	}
	var leaves []uint64
	if sealed {
		if leaves, err = r.leavesOf(ctx, q, ids); err != nil {
			return uuid.Nil, err
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	h := sha256.New()
	for _, id := range ids {
		h.Write(id[:])
	}
	// The record of the same rows is the same record: one that was written before something broke off is taken up again.
	d := seal.DeletionDetails(leaves)
	recordID := event.SourceID("removal", q.tenant, string(q.action), q.target, q.class, d[seal.DetailLeavesSHA256], fmt.Sprintf("%x", h.Sum(nil)))
	id, err := uuid.Parse(recordID)
	if err != nil {
		return uuid.Nil, fmt.Errorf("BUG: %w", err)
	}
	m := Removal{Tenant: q.tenant, Record: id, Action: string(q.action), Kind: q.kind, Class: q.class, Reason: q.reason, Rows: uint64(len(ids)), Leaves: uint64(len(leaves)), RecordedAt: r.now()}
	for i, p := range places {
		if i == 0 || p.ts.Before(m.First) {
			m.First = p.ts
		}
		if i == 0 || p.ts.After(m.Last) {
			m.Last = p.ts
		}
	}
	if q.archiveDays > 0 {
		m.ArchiveUntil = r.now().AddDate(0, 0, q.archiveDays)
	}
	size, root, err := r.checkpoint(ctx, q.tenant)
	if err != nil {
		return uuid.Nil, err
	}
	for k, v := range map[string]string{
		"phase": "recorded", "kind": q.kind, "class": q.class, "reason": q.reason, "rows": strconv.Itoa(len(ids)), "first": m.First.UTC().Format(time.RFC3339Nano),
		"last": m.Last.UTC().Format(time.RFC3339Nano), "checkpoint_size": strconv.FormatUint(size, 10), "checkpoint_root": root,
	} {
		if v != "" {
			d[k] = v
		}
	}
	for k, v := range q.details {
		d[k] = v
	}
	there, err := r.recorded(ctx, q.tenant, id)
	if err != nil {
		return uuid.Nil, err
	}
	if !there {
		if err := r.Record(ctx, audit.Record{Action: q.action, Target: q.target, Details: d, Tenant: q.tenant, Actor: r.Actor, Time: r.now(), ID: recordID}); err != nil {
			return uuid.Nil, err
		}
	}
	r.crash("recorded")
	if sealed {
		if err := r.awaitSeal(ctx, q.tenant, id); err != nil {
			return uuid.Nil, err
		}
	}
	if err := r.saveState(ctx, m); err != nil {
		return uuid.Nil, err
	}
	r.crash("state")
	if err := r.saveRemoved(ctx, m, places); err != nil {
		return uuid.Nil, err
	}
	r.crash("removed")
	return id, r.saveLeaves(ctx, m, leaves)
}

func (r *Remover) recorded(ctx context.Context, tenant string, id uuid.UUID) (bool, error) {
	var n uint64
	err := r.Conn.QueryRow(ctx, "SELECT count() FROM "+r.table("events")+" WHERE tenant = ? AND event_id = ?", tenant, id).Scan(&n)
	return n > 0, storeError("look for a record of removal", err)
}

// awaitSeal waits until the record is in the log. Until then a verification would not know of it.
func (r *Remover) awaitSeal(ctx context.Context, tenant string, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.SealWait, time.Minute))
	defer cancel()
	for {
		var n uint64
		if err := r.Conn.QueryRow(ctx, "SELECT count() FROM "+r.table("seal_leaves")+" WHERE tenant = ? AND kind = 'event' AND id = ?", tenant, id).Scan(&n); err != nil && ctx.Err() == nil {
			return storeError("look whether the record is sealed", err)
		}
		if n > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("cannot remove anything: the record of it is written but not sealed yet, and rows go only after that; see `mcpsiem status`, and run this again")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// checkpoint is the newest one of a tenant.
func (r *Remover) checkpoint(ctx context.Context, tenant string) (size uint64, root string, err error) {
	rows, err := r.Conn.Query(ctx, "SELECT size, lower(hex(root)) FROM "+r.table("seal_checkpoints")+" WHERE tenant = ? ORDER BY size DESC LIMIT 1", tenant)
	if err != nil {
		return 0, "", storeError("read the newest checkpoint", err)
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(&size, &root)
	}
	return size, root, storeError("read the newest checkpoint", errors.Join(err, rows.Err()))
}

func (r *Remover) saveState(ctx context.Context, m Removal) error {
	b, err := r.Conn.PrepareBatch(ctx, "INSERT INTO "+r.table("removals")+
		" (tenant, record_id, state, action, kind, class, reason, rows, leaves, first_ts, last_ts, recorded_at, done_at, parts_dropped, rows_held, archive, archive_sha256, archive_until)")
	if err == nil {
		zero := func(t time.Time) time.Time {
			if t.IsZero() {
				return time.Unix(0, 0)
			}
			return t
		}
		err = b.Append(m.Tenant, m.Record, m.State, m.Action, m.Kind, m.Class, m.Reason, m.Rows, m.Leaves, zero(m.First), zero(m.Last), zero(m.RecordedAt), zero(m.DoneAt), m.PartsDropped, m.RowsHeld,
			m.Archive, m.ArchiveSHA256, zero(m.ArchiveUntil))
	}
	if err == nil {
		err = b.Send()
	}
	return storeError("store the record of removal", err)
}

func (r *Remover) saveRemoved(ctx context.Context, m Removal, places []rowOf) error {
	b, err := r.Conn.PrepareBatch(ctx, "INSERT INTO "+r.table("removed")+" (tenant, kind, id, revision, ts, record_id, tap_id, tap_epoch, tap_seq, lost_from, lost_to, stopped)")
	for i := 0; err == nil && i < len(places); i++ {
		p := places[i]
		err = b.Append(m.Tenant, m.Kind, p.id, p.revision, p.ts, m.Record, p.tapID, p.tapEpoch, p.tapSeq, p.lostFrom, p.lostTo, p.stopped)
	}
	if err == nil {
		err = b.Send()
	}
	return storeError("store the places of rows to remove", err)
}

// saveLeaves puts all leaves into one block, which is stored whole or not at all: the record's hash is over all of them.
func (r *Remover) saveLeaves(ctx context.Context, m Removal, leaves []uint64) error {
	if len(leaves) == 0 {
		return nil
	}
	b, err := r.Conn.PrepareBatch(ctx, "INSERT INTO "+r.table("seal_deletions")+" (tenant, leaf_index, record_id, deleted_at)")
	for i := 0; err == nil && i < len(leaves); i++ {
		err = b.Append(m.Tenant, leaves[i], m.Record, m.RecordedAt)
	}
	if err == nil {
		err = b.Send()
	}
	return storeError("store which leaves' rows go", err)
}

// Removals lists records of removal, the newest first; pending only those that are not done.
func (r *Remover) Removals(ctx context.Context, pending bool) ([]Removal, error) {
	where := ""
	if pending {
		where = " WHERE state < 2"
	}
	rows, err := r.Conn.Query(ctx, "SELECT tenant, record_id, state, action, kind, class, reason, rows, leaves, first_ts, last_ts, recorded_at, done_at, parts_dropped, rows_held, archive, archive_sha256, archive_until FROM "+
		r.table("removals")+" FINAL"+where+" ORDER BY recorded_at DESC, record_id")
	if err != nil {
		return nil, storeError("read records of removal", err)
	}
	defer rows.Close()
	var out []Removal
	for rows.Next() {
		var m Removal
		if err := rows.Scan(&m.Tenant, &m.Record, &m.State, &m.Action, &m.Kind, &m.Class, &m.Reason, &m.Rows, &m.Leaves, &m.First, &m.Last, &m.RecordedAt, &m.DoneAt, &m.PartsDropped, &m.RowsHeld,
			&m.Archive, &m.ArchiveSHA256, &m.ArchiveUntil); err != nil {
			return nil, storeError("read records of removal", err)
		}
		for _, t := range []*time.Time{&m.DoneAt, &m.ArchiveUntil} {
			if t.UnixNano() == 0 {
				*t = time.Time{}
			}
		}
		out = append(out, m)
	}
	return out, storeError("read records of removal", rows.Err())
}

// Carry carries out what is on record and not done: archives, deletes, destroys salts, and puts the end on record. It is the recovery, too.
func (r *Remover) Carry(ctx context.Context) ([]Removal, error) {
	if err := r.Lock(ctx); err != nil {
		return nil, err
	}
	defer r.Unlock()
	pending, err := r.Removals(ctx, true)
	if err != nil || len(pending) == 0 {
		return nil, err
	}
	for i := range pending {
		m := &pending[i]
		if err := r.mend(ctx, m); err != nil {
			return nil, err
		}
		if m.State == StateRecorded && !m.withdrawn && !m.ArchiveUntil.IsZero() {
			if err := r.Archive.write(ctx, r, m); err != nil {
				return nil, err
			}
			m.State = StateArchived
			if err := r.saveState(ctx, *m); err != nil {
				return nil, err
			}
			r.crash("archived")
		}
	}
	if pending = slices.DeleteFunc(pending, func(m Removal) bool { return m.withdrawn }); len(pending) == 0 {
		return nil, nil
	}
	holds, err := Holds(ctx, r.Conn)
	if err != nil {
		return nil, err
	}
	if err := r.deleteEvents(ctx, pending, holds); err != nil {
		return nil, err
	}
	r.crash("events")
	if err := r.deleteFindings(ctx, pending, holds); err != nil {
		return nil, err
	}
	r.crash("findings")
	for i := range pending {
		if err := r.deleteSalts(ctx, &pending[i]); err != nil {
			return nil, err
		}
	}
	// A mask hides rows at once; this takes them off the disk.
	for _, t := range []string{"events", "findings", "finding_history", "seal_salts"} {
		if err := r.exec(ctx, "take removed rows off the disk", "ALTER TABLE "+r.table(t)+" APPLY DELETED MASK"); err != nil {
			return nil, err
		}
	}
	r.crash("salts")
	for i := range pending {
		m := &pending[i]
		size, root, err := r.checkpoint(ctx, m.Tenant)
		if err != nil {
			return nil, err
		}
		d := map[string]string{"phase": "done", "record": m.Record.String(), "kind": m.Kind, "rows": strconv.FormatUint(m.Rows-m.RowsHeld, 10), "rows_held": strconv.FormatUint(m.RowsHeld, 10),
			"parts_dropped": strconv.FormatUint(m.PartsDropped, 10), "checkpoint_size": strconv.FormatUint(size, 10), "checkpoint_root": root}
		if m.Class != "" {
			d["class"] = m.Class
		}
		if m.Archive != "" {
			d["archive"], d["archive_sha256"] = filepath.Base(m.Archive), m.ArchiveSHA256
		}
		if err := r.Record(ctx, audit.Record{Action: audit.Action(m.Action), Target: "done: " + m.Record.String(), Details: d, Tenant: m.Tenant, Actor: r.Actor, Time: r.now(),
			ID: event.SourceID("removal done", m.Tenant, m.Record.String())}); err != nil {
			return nil, err
		}
		m.State, m.DoneAt = StateDone, r.now()
		if err := r.saveState(ctx, *m); err != nil {
			return nil, err
		}
	}
	return pending, nil
}

// mend completes step 3 of a removal that broke off in it.
func (r *Remover) mend(ctx context.Context, m *Removal) error {
	if m.State != StateRecorded {
		return nil
	}
	var leaves, rows uint64
	if err := r.Conn.QueryRow(ctx, "SELECT uniqExact(leaf_index) FROM "+r.table("seal_deletions")+" WHERE tenant = ? AND record_id = ?", m.Tenant, m.Record).Scan(&leaves); err != nil {
		return storeError("read records of deletion", err)
	}
	if err := r.Conn.QueryRow(ctx, "SELECT uniqExact(id) FROM "+r.table("removed")+" WHERE tenant = ? AND record_id = ?", m.Tenant, m.Record).Scan(&rows); err != nil {
		return storeError("read records of deletion", err)
	}
	switch {
	case m.Leaves > 0 && leaves == m.Leaves: // the last of step 3
		return nil
	case rows != m.Rows:
		// Nothing was deleted under it yet, and not all of it is known any more: it is withdrawn, and its rows are looked for again.
		m.Rows, m.withdrawn = 0, true
		for _, t := range []string{"removed", "removals"} {
			if err := r.exec(ctx, "withdraw a removal", "DELETE FROM "+r.table(t)+" WHERE tenant = "+quote(m.Tenant)+" AND record_id = '"+m.Record.String()+"'"); err != nil {
				return err
			}
		}
		return nil
	case m.Leaves == 0:
		return nil
	}
	ids := []uuid.UUID{}
	list, err := r.Conn.Query(ctx, "SELECT DISTINCT id FROM "+r.table("removed")+" WHERE tenant = ? AND record_id = ?", m.Tenant, m.Record)
	if err != nil {
		return storeError("read records of deletion", err)
	}
	defer list.Close()
	for list.Next() {
		var id uuid.UUID
		if err := list.Scan(&id); err != nil {
			return storeError("read records of deletion", err)
		}
		ids = append(ids, id)
	}
	if err := list.Err(); err != nil {
		return storeError("read records of deletion", err)
	}
	all, err := r.leavesOf(ctx, request{tenant: m.Tenant, kind: m.Kind}, ids)
	if err != nil {
		return err
	}
	if uint64(len(all)) != m.Leaves {
		return fmt.Errorf("cannot go on with the removal of record %s: its rows were stored again since", m.Record)
	}
	return r.saveLeaves(ctx, *m, all)
}

func (r *Remover) exec(ctx context.Context, what, q string) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"mutations_sync": 2, "lightweight_deletes_sync": 2, "allow_nondeterministic_mutations": 1, "max_execution_time": 0, "final": 0, "max_query_size": 1 << 20,
	}))
	return storeError(what, r.Conn.Exec(ctx, q))
}

// of is a condition on table removed: the removals of a kind.
func of(pending []Removal, kind string) string {
	var ids []string
	for _, m := range pending {
		if m.Kind == kind && m.Rows > 0 {
			ids = append(ids, "('"+strings.ReplaceAll(strings.ReplaceAll(m.Tenant, `\`, `\\`), `'`, `\'`)+"', '"+m.Record.String()+"')")
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return "kind = '" + kind + "' AND (tenant, record_id) IN (" + strings.Join(ids, ", ") + ")"
}

// deleteEvents goes day by day. A part of a day of which every row goes is dropped: a part never changes, so that nothing that arrives meanwhile
// is in it. Of the others the rows are deleted.
func (r *Remover) deleteEvents(ctx context.Context, pending []Removal, holds []Hold) error {
	which := of(pending, kindEvent)
	if which == "" {
		return nil
	}
	keep := held(holds, r.Conn.Database, kindEvent)
	rows, err := r.Conn.Query(ctx, "SELECT DISTINCT toString(toDate(ts)) FROM "+r.table("removed")+" WHERE "+which+" ORDER BY 1")
	if err != nil {
		return storeError("list days of rows to remove", err)
	}
	var days []string
	for rows.Next() {
		var d string
		if err := rows.Scan(&d); err != nil {
			return storeError("list days of rows to remove", err)
		}
		days = append(days, d)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return storeError("list days of rows to remove", err)
	}
	for _, day := range days {
		ids := fmt.Sprintf("(tenant, event_id) IN (SELECT tenant, id FROM %s WHERE %s AND toDate(ts) = '%s') AND NOT %s", r.table("removed"), which, day, keep)
		parts, err := r.Conn.Query(ctx, fmt.Sprintf("SELECT _part, count() AS n, countIf(%s) AS gone FROM %s WHERE toDate(ts) = '%s' GROUP BY _part", ids, r.table("events"), day))
		if err != nil {
			return storeError("look for parts of which every row goes", err)
		}
		var drop []string
		rest := uint64(0)
		for parts.Next() {
			var part string
			var n, gone uint64
			if err := parts.Scan(&part, &n, &gone); err != nil {
				return storeError("look for parts of which every row goes", err)
			}
			if n == gone {
				drop = append(drop, part)
			} else {
				rest += gone
			}
		}
		parts.Close()
		if err := parts.Err(); err != nil {
			return storeError("look for parts of which every row goes", err)
		}
		for _, part := range drop {
			if r.Conn.Cluster != "" || r.exec(ctx, "drop a part", "ALTER TABLE "+r.table("events")+" DROP PART "+quote(part)) != nil {
				rest++ // merged meanwhile
				continue
			}
			for i := range pending {
				if m := &pending[i]; m.Kind == kindEvent && m.First.UTC().Format(time.DateOnly) <= day && m.Last.UTC().Format(time.DateOnly) >= day {
					m.PartsDropped++
				}
			}
		}
		if rest > 0 {
			if err := r.exec(ctx, "delete rows of events", fmt.Sprintf("DELETE FROM %s IN PARTITION '%s' WHERE %s", r.table("events"), day, ids)); err != nil {
				return err
			}
		}
		r.crash("day")
	}
	return nil
}

func (r *Remover) deleteFindings(ctx context.Context, pending []Removal, holds []Hold) error {
	which := of(pending, kindFinding)
	if which == "" {
		return nil
	}
	ids := fmt.Sprintf("(tenant, finding_id) IN (SELECT tenant, id FROM %s WHERE %s)", r.table("removed"), which)
	if err := r.exec(ctx, "delete rows of findings", fmt.Sprintf("DELETE FROM %s WHERE %s AND NOT %s", r.table("findings"), ids, held(holds, r.Conn.Database, kindFinding))); err != nil {
		return err
	}
	return r.exec(ctx, "delete revisions of findings", fmt.Sprintf("DELETE FROM %s WHERE %s AND (tenant, finding_id) NOT IN (SELECT tenant, finding_id FROM %s WHERE %s)", r.table("finding_history"), ids, r.table("findings"), ids))
}

// deleteSalts destroys what opens the leaves of rows that are gone, and counts those that a hold kept.
func (r *Remover) deleteSalts(ctx context.Context, m *Removal) error {
	if m.Rows == 0 {
		return nil
	}
	name, id := tableOf(m.Kind)
	removed := fmt.Sprintf("SELECT id FROM %s WHERE tenant = %s AND record_id = '%s' AND kind = '%s'", r.table("removed"), quote(m.Tenant), m.Record, m.Kind)
	there := fmt.Sprintf("SELECT %[1]s FROM %[2]s WHERE tenant = %[3]s AND %[1]s IN (%[4]s)", id, r.table(name), quote(m.Tenant), removed)
	if err := r.Conn.QueryRow(ctx, "SELECT uniqExact("+id+") FROM ("+there+")").Scan(&m.RowsHeld); err != nil {
		return storeError("count rows that a hold keeps", err)
	}
	if m.RowsHeld > 0 {
		// They are not removed: whoever counts must not count them so.
		if err := r.exec(ctx, "take held rows off the record", fmt.Sprintf("DELETE FROM %s WHERE tenant = %s AND record_id = '%s' AND id IN (%s)", r.table("removed"), quote(m.Tenant), m.Record, there)); err != nil {
			return err
		}
	}
	if m.Leaves == 0 {
		return nil
	}
	return r.exec(ctx, "destroy salts", fmt.Sprintf(
		"DELETE FROM %s WHERE tenant = %s AND leaf_index IN (SELECT leaf_index FROM %s WHERE tenant = %s AND kind = '%s' AND id IN (%s) AND leaf_index IN (SELECT leaf_index FROM %s WHERE tenant = %s AND record_id = '%s'))",
		r.table("seal_salts"), quote(m.Tenant), r.table("seal_leaves"), quote(m.Tenant), m.Kind, removed, r.table("seal_deletions"), quote(m.Tenant), m.Record))
}

// Selection of rows to remove beside any policy.
type Selection struct {
	Tenant  string
	Kind    string // event or finding
	Where   string // condition on the rows, in SQL
	Action  audit.Action
	Target  string
	Reason  string
	Details map[string]string // for the record
}

// Remove removes what is selected, but what a hold covers and the records of removal themselves. What is not sealed yet stays.
func (r *Remover) Remove(ctx context.Context, selections ...Selection) ([]Removal, error) {
	if _, err := r.Carry(ctx); err != nil { // what others left
		return nil, err
	}
	if err := r.Lock(ctx); err != nil {
		return nil, err
	}
	err := r.recordAll(ctx, selections)
	r.Unlock()
	done, err2 := r.Carry(ctx)
	return done, errors.Join(err, err2)
}

func (r *Remover) recordAll(ctx context.Context, selections []Selection) error {
	holds, err := Holds(ctx, r.Conn)
	if err != nil {
		return err
	}
	for _, s := range selections {
		where := "(" + s.Where + ") AND NOT " + held(holds, r.Conn.Database, s.Kind)
		if s.Kind == kindEvent {
			where += " AND NOT " + recordsOfRemoval
		}
		sealed, err := r.isSealed(ctx, s.Tenant)
		if err != nil {
			return err
		}
		if _, err := r.begin(ctx, request{tenant: s.Tenant, kind: s.Kind, where: where, action: s.Action, target: s.Target, reason: s.Reason, details: s.Details, unsealed: !sealed}); err != nil {
			return err
		}
	}
	return nil
}

// HeldCondition is every hold in force as a condition on rows of a kind.
func HeldCondition(holds []Hold, database, kind string) string { return held(holds, database, kind) }
