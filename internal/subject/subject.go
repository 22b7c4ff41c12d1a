// Package subject finds what is stored of a person, hands it out, and erases it.
//
// A person is known by the principal that acted (also on somebody's behalf), or by a value such as an address or a number, which the store
// has only as a keyed placeholder: the placeholder is computed again with the tenant's key and looked for. What was dropped, masked or made with a key
// that is destroyed cannot be found again, by anyone.
package subject

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/retention"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Query says who, in one tenant.
type Query struct {
	Tenant    string
	Principal string   // principal_id, or one of on_behalf_of
	Tokens    []string // how placeholders begin: inspect.Engine.Placeholders, or a placeholder itself
	Tag       string   // names the person in records without saying who it is: inspect.Engine.SubjectTag
}

// Found is what is stored of a person in one tenant.
type Found struct {
	Tenant       string `json:"tenant"`
	Events       uint64 `json:"events"`
	Findings     uint64 `json:"findings"`
	HeldEvents   uint64 `json:"held_events"` // of them, covered by a legal hold
	HeldFindings uint64 `json:"held_findings"`
	Audit        uint64 `json:"audit_records"` // what the person did to the trail itself: kept, and not among events
	NotSealed    uint64 `json:"not_sealed"`    // of the events, not sealed yet: erased another time

	Archived       uint64   `json:"archived"`                  // events and findings in archives
	HeldArchived   uint64   `json:"held_archived"`             // of them, covered by a legal hold
	ArchivesUnread []string `json:"archives_unread,omitempty"` // archives that could not be searched, and why
}

const audited = "event_name = 'mcpsiem.audit'"

// Validate checks that somebody is named.
func (q Query) Validate() error {
	if q.Principal == "" && len(q.Tokens) == 0 {
		return errors.New("nobody is named: give a principal, a value or a placeholder")
	}
	for _, t := range q.Tokens {
		if len(t) < 8 || t[0] != '<' || !strings.Contains(t, ":") {
			return errors.New("a placeholder looks like <email:0123456789abcdef>")
		}
	}
	return nil
}

// search is a condition that a text holds one of the tokens.
func search(text string, tokens []string) []string {
	var out []string
	for part := range slices.Chunk(tokens, 200) { // multiSearchAny takes 255
		var q []string
		for _, t := range part {
			q = append(q, seal.Literal(strings.TrimSuffix(t, ">")))
		}
		out = append(out, "multiSearchAny("+text+", ["+strings.Join(q, ", ")+"])")
	}
	return out
}

func (q Query) person() string {
	var or []string
	if q.Principal != "" {
		p := seal.Literal(q.Principal)
		or = append(or, "principal_id = "+p, "has(on_behalf_of, "+p+")")
	}
	or = append(or, search("concat(body, '\\n', resource_uri, '\\n', arrayStringConcat(mapValues(extra), '\\n'))", q.Tokens)...)
	return "(" + strings.Join(or, " OR ") + ")"
}

func (q Query) events() string { return q.person() + " AND NOT " + audited }

func (q Query) findings() string {
	var or []string
	if q.Principal != "" {
		p := seal.Literal(q.Principal)
		or = append(or, "principal_id = "+p, "position(key, "+p+") > 0", "has(mapValues(why), "+p+")")
	}
	or = append(or, search("concat(summary, '\\n', key, '\\n', arrayStringConcat(evidence, '\\n'), '\\n', arrayStringConcat(mapValues(why), '\\n'))", q.Tokens)...)
	return "(" + strings.Join(or, " OR ") + ")"
}

// storeError says what failed, with ClickHouse's name and code of the error and never its text.
func storeError(what string, err error) error {
	var ex *clickhouse.Exception
	if errors.As(err, &ex) {
		return fmt.Errorf("cannot %s: ClickHouse says %s (%d)", what, ex.Name, ex.Code)
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}

// Look counts.
func Look(ctx context.Context, c *store.Conn, q Query) (Found, error) {
	f := Found{Tenant: q.Tenant}
	if err := q.Validate(); err != nil {
		return f, err
	}
	holds, err := retention.Holds(ctx, c)
	if err != nil {
		return f, err
	}
	db := "`" + c.Database + "`."
	tenant := "tenant = " + seal.Literal(q.Tenant) + " AND "
	if err := c.QueryRow(ctx, fmt.Sprintf("SELECT uniqExactIf(event_id, NOT %[1]s), uniqExactIf(event_id, NOT %[1]s AND %[2]s), uniqExactIf(event_id, %[1]s), uniqExactIf(event_id, NOT %[1]s AND NOT event_id IN (SELECT id FROM %[3]sseal_leaves WHERE %[5]s kind = 'event')) FROM %[3]sevents WHERE %[5]s %[4]s",
		audited, retention.HeldCondition(holds, c.Database, seal.KindEvent), db, q.person(), tenant)).Scan(&f.Events, &f.HeldEvents, &f.Audit, &f.NotSealed); err != nil {
		return f, storeError("look for a person's events", err)
	}
	if err := c.QueryRow(ctx, fmt.Sprintf("SELECT uniqExact(finding_id), uniqExactIf(finding_id, %s) FROM %sfindings WHERE %s %s", retention.HeldCondition(holds, c.Database, seal.KindFinding), db, tenant, q.findings())).Scan(&f.Findings, &f.HeldFindings); err != nil {
		return f, storeError("look for a person's findings", err)
	}
	return f, nil
}

// conditions are what finds the person, by kind; with audit also in what the person did to the trail itself.
func (q Query) conditions(audit bool) map[string]string {
	if audit {
		return map[string]string{seal.KindEvent: q.person(), seal.KindFinding: q.findings()}
	}
	return map[string]string{seal.KindEvent: q.events(), seal.KindFinding: q.findings()}
}

// LookArchived counts in archives, into f.
func LookArchived(ctx context.Context, r *retention.Remover, q Query, f *Found) error {
	for kind, where := range q.conditions(false) {
		if err := r.InArchives(ctx, q.Tenant, kind, where, func(x retention.Archived, _ func(string) (io.ReadCloser, error)) error {
			f.Archived, f.HeldArchived = f.Archived+x.Found, f.HeldArchived+x.Held
			if x.Unread != nil {
				f.ArchivesUnread = append(f.ArchivesUnread, fmt.Sprintf("%s: %v", x.Archive, x.Unread))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Export writes everything that is stored of a person as a ZIP: events.ndjson and findings.ndjson in canonical form, one row a line, and about.json. Copies of a row come once.
func Export(ctx context.Context, r *retention.Remover, db *seal.DB, q []Query, w io.Writer) ([]Found, error) {
	c := r.Conn
	z := zip.NewWriter(w)
	var all []Found
	counts := map[string]uint64{}
	for _, kind := range []string{seal.KindEvent, seal.KindFinding} {
		name := kind + "s.ndjson"
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return nil, fmt.Errorf("cannot write the export: %w", err)
		}
		for _, x := range q {
			where, id := x.person(), "event_id"
			if kind == seal.KindFinding {
				where, id = x.findings(), "finding_id"
			}
			var last string
			if err := db.Rows(ctx, kind, "tenant = "+seal.Literal(x.Tenant)+" AND "+where, "ORDER BY ts, "+id+", stream_seq", func(r *seal.Row) error {
				if line := string(r.Canonical); line != last {
					last = line
					counts[name]++
					if _, err := io.WriteString(f, line+"\n"); err != nil {
						return fmt.Errorf("cannot write the export: %w", err)
					}
				}
				return nil
			}); err != nil {
				return nil, err
			}
		}
	}
	for _, kind := range []string{seal.KindEvent, seal.KindFinding} {
		name := "archived-" + kind + "s.ndjson"
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return nil, fmt.Errorf("cannot write the export: %w", err)
		}
		lines := lineCounter{w: f}
		for _, x := range q {
			where := x.conditions(true)[kind]
			if err := r.InArchives(ctx, x.Tenant, kind, where, func(a retention.Archived, ask func(string) (io.ReadCloser, error)) error {
				if a.Unread != nil || a.Found == 0 && kind == seal.KindFinding {
					return nil // about.json says so
				}
				body, err := ask("SELECT * EXCEPT (_salt, _leaf_hash, _leaf_index, _canonical_version) FROM archived WHERE tenant = " + seal.Literal(x.Tenant) + " AND " + where + " ORDER BY ts FORMAT JSONEachRow")
				if err != nil {
					return fmt.Errorf("cannot read an archive: %w", err)
				}
				defer body.Close()
				if _, err := io.Copy(&lines, body); err != nil {
					return fmt.Errorf("cannot write the export: %w", err)
				}
				return nil
			}); err != nil {
				return nil, err
			}
		}
		counts[name] = lines.n
	}
	for _, x := range q {
		found, err := Look(ctx, c, x)
		if err == nil {
			err = LookArchived(ctx, r, x, &found)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	f, err := z.CreateHeader(&zip.FileHeader{Name: "about.json", Method: zip.Deflate})
	if err == nil {
		e := json.NewEncoder(f)
		e.SetIndent("", "  ")
		err = e.Encode(map[string]any{"exported_at": time.Now().UTC().Format(time.RFC3339), "rows": counts, "found": all,
			"form":         "one stored row a line, columns by name, RFC 8785; rows of archives as ClickHouse's JSONEachRow has them; values that were redacted before they were stored are placeholders and cannot be turned back",
			"not_included": []string{"copies in other systems", "archives that could not be searched (archives_unread)", "values that were dropped, masked or made with a destroyed key"}})
	}
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("cannot write the export: %w", err)
	}
	return all, nil
}

// lineCounter counts the lines that pass.
type lineCounter struct {
	w io.Writer
	n uint64
}

func (l *lineCounter) Write(p []byte) (int, error) {
	l.n += uint64(bytes.Count(p, []byte("\n")))
	return l.w.Write(p)
}

// Erased is what an erasure did in one tenant.
type Erased struct {
	Found
	Removed         uint64   `json:"removed"`               // events and findings
	RemovedArchived uint64   `json:"removed_from_archives"` // likewise
	Records         []string `json:"records"`               // of removal: audit events subject.erase
	MessagesDeleted uint64   `json:"messages_deleted"`      // of the streams, overwritten
	MessagesWaiting uint64   `json:"messages_waiting"`      // not yet read by every consumer: they go with the stream's age, or by another erasure
}

// Erase removes events and findings of a person, with their salts, but what is held. js may be nil: then the streams are left alone.
func Erase(ctx context.Context, r *retention.Remover, js jetstream.JetStream, q Query, reason string) (Erased, error) {
	var out Erased
	found, err := Look(ctx, r.Conn, q)
	if err != nil {
		return out, err
	}
	out.Found = found
	d := map[string]string{}
	if q.Tag != "" {
		d["subject"] = q.Tag
	}
	var sel []retention.Selection
	for kind, where := range map[string]string{seal.KindEvent: q.events(), seal.KindFinding: q.findings()} {
		sel = append(sel, retention.Selection{Tenant: q.Tenant, Kind: kind, Where: where, Action: audit.SubjectErase, Target: kind + "s", Reason: reason, Details: d})
	}
	slices.SortFunc(sel, func(a, b retention.Selection) int { return -strings.Compare(a.Kind, b.Kind) }) // findings first: evidence is still there
	done, err := r.Remove(ctx, sel...)
	for _, m := range done {
		if m.Tenant == q.Tenant {
			out.Removed += m.Rows - m.RowsHeld
			out.Records = append(out.Records, m.Record.String())
		}
	}
	if err != nil {
		return out, err
	}
	for _, x := range sel {
		n, held, unread, err := r.EraseArchived(ctx, x)
		out.RemovedArchived, out.HeldArchived, out.ArchivesUnread = out.RemovedArchived+n, out.HeldArchived+held, append(out.ArchivesUnread, unread...)
		out.Archived += n + held
		if err != nil {
			return out, err
		}
	}
	if js != nil {
		err = purge(ctx, r.Conn, js, &out)
	}
	return out, err
}

// purge deletes the messages that the removed rows came with, once every consumer has confirmed them. Others' events in the same messages are stored and
// exported by then; they cannot be replayed from the stream any more.
func purge(ctx context.Context, c *store.Conn, js jetstream.JetStream, out *Erased) error {
	if len(out.Records) == 0 {
		return nil
	}
	db := "`" + c.Database + "`."
	for kind, name := range map[string]string{seal.KindEvent: streams.Events, seal.KindFinding: streams.Findings} {
		st, err := js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("cannot delete messages of %s: %w", name, err)
		}
		info, err := st.Info(ctx)
		if err != nil {
			return fmt.Errorf("cannot delete messages of %s: %w", name, err)
		}
		floor := info.State.LastSeq
		list := st.ListConsumers(ctx)
		for ci := range list.Info() {
			confirmed := ci.AckFloor.Stream
			if ci.NumPending == 0 && ci.NumAckPending == 0 {
				confirmed = info.State.LastSeq
			}
			floor = min(floor, confirmed)
		}
		if err := list.Err(); err != nil {
			return fmt.Errorf("cannot list the consumers of %s: %w", name, err)
		}
		rows, err := c.Query(ctx, fmt.Sprintf("SELECT DISTINCT stream_seq FROM %[1]sseal_leaves WHERE tenant = ? AND kind = ? AND id IN (SELECT id FROM %[1]sremoved WHERE tenant = ? AND record_id IN (?)) ORDER BY stream_seq", db),
			out.Tenant, kind, out.Tenant, out.Records)
		if err != nil {
			return storeError("list the messages of removed rows", err)
		}
		var seqs []uint64
		for rows.Next() {
			var n uint64
			if err := rows.Scan(&n); err != nil {
				rows.Close()
				return storeError("list the messages of removed rows", err)
			}
			seqs = append(seqs, n)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return storeError("list the messages of removed rows", err)
		}
		for _, seq := range seqs {
			switch {
			case seq < info.State.FirstSeq || seq > info.State.LastSeq:
			case seq > floor:
				out.MessagesWaiting++
			default:
				err := st.SecureDeleteMsg(ctx, seq)
				if err == nil {
					out.MessagesDeleted++
				} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
					return fmt.Errorf("cannot delete message %d of %s: %w", seq, name, err)
				}
			}
		}
	}
	return nil
}
