// Rows in archives: counted, read and erased. ClickHouse does it, with the archive as a table that travels with the query, so that conditions are the same as for stored rows.

package retention

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/audit"
)

// Archived is what a condition finds in one archive.
type Archived struct {
	Removal
	Found  uint64 // rows
	Held   uint64 // of them, covered by a hold
	Unread error  // why it could not be searched
}

// structureOf is the structure of an archive's rows.
func (r *Remover) structureOf(ctx context.Context, kind string) (string, error) {
	name, _ := tableOf(kind)
	rows, err := r.Conn.Query(ctx, "SELECT name, type FROM system.columns WHERE database = ? AND table = ? AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL') ORDER BY position", r.Conn.Database, name)
	if err != nil {
		return "", storeError("read the columns of archives", err)
	}
	defer rows.Close()
	var cols []string
	for rows.Next() {
		var n, t string
		if err := rows.Scan(&n, &t); err != nil {
			return "", storeError("read the columns of archives", err)
		}
		cols = append(cols, "`"+n+"` "+t)
	}
	if err := rows.Err(); err != nil || len(cols) == 0 {
		return "", storeError("read the columns of archives", errors.Join(err, errors.New("there are none that this account may see")))
	}
	return strings.Join(append(cols, "_leaf_index UInt64", "_canonical_version UInt8", "_leaf_hash String", "_salt String"), ", "), nil
}

// InArchives calls f with each archive of a tenant and kind that still is there, and what of a condition it holds. ask reads from the archive.
func (r *Remover) InArchives(ctx context.Context, tenant, kind, where string, f func(x Archived, ask func(query string) (io.ReadCloser, error)) error) error {
	all, err := r.Removals(ctx, false)
	if err != nil {
		return err
	}
	holds, err := Holds(ctx, r.Conn)
	if err != nil {
		return err
	}
	structure := ""
	for _, m := range all {
		if m.Tenant != tenant || m.Kind != kind || m.Archive == "" {
			continue
		}
		if _, err := os.Stat(m.Archive); errors.Is(err, os.ErrNotExist) {
			continue // its time is over
		}
		x := Archived{Removal: m}
		content, err := r.Archive.Read(tenant, m.Archive)
		if err == nil && structure == "" {
			if structure, err = r.structureOf(ctx, kind); err != nil {
				return err
			}
		}
		if err == nil && r.Archive.HTTP == "" {
			err = errors.New("ClickHouse's HTTP address is not known")
		}
		ask := func(query string) (io.ReadCloser, error) {
			return r.Archive.ask(ctx, query, &external{structure, content})
		}
		if err == nil {
			_, id := tableOf(kind)
			var body io.ReadCloser
			body, err = ask(fmt.Sprintf("SELECT toUInt64(uniqExact(%[1]s)) AS found, toUInt64(uniqExactIf(%[1]s, %[2]s)) AS held FROM archived WHERE tenant = %[3]s AND %[4]s SETTINGS output_format_json_quote_64bit_integers = 0 FORMAT JSONEachRow", id, held(holds, r.Conn.Database, kind), quote(tenant), where))
			if err == nil {
				var n struct{ Found, Held uint64 }
				err = json.NewDecoder(io.LimitReader(body, 1<<16)).Decode(&n)
				body.Close()
				x.Found, x.Held = n.Found, n.Held
			}
		}
		x.Unread = err
		if err := f(x, ask); err != nil {
			return err
		}
	}
	return nil
}

// EraseArchived takes rows out of archives, but what is held: each archive with such rows is written anew, encrypted with a new key, and the old key is destroyed. It goes on record first.
// The log does not change: the rows' leaves were given up when they were archived.
func (r *Remover) EraseArchived(ctx context.Context, s Selection) (erased, kept uint64, unread []string, err error) {
	if err := r.Lock(ctx); err != nil {
		return 0, 0, nil, err
	}
	defer r.Unlock()
	holds, err := Holds(ctx, r.Conn)
	if err != nil {
		return 0, 0, nil, err
	}
	err = r.InArchives(ctx, s.Tenant, s.Kind, s.Where, func(x Archived, ask func(string) (io.ReadCloser, error)) error {
		kept += x.Held
		if x.Unread != nil {
			unread = append(unread, fmt.Sprintf("%s: %v", x.Archive, x.Unread))
			return nil
		}
		if x.Found == x.Held {
			return nil
		}
		d := map[string]string{"phase": "archive", "record": x.Record.String(), "rows": fmt.Sprint(x.Found - x.Held), "rows_held": fmt.Sprint(x.Held), "archive": filepath.Base(x.Archive)}
		for k, v := range s.Details {
			d[k] = v
		}
		if s.Reason != "" {
			d["reason"] = s.Reason
		}
		if err := r.Record(ctx, audit.Record{Action: s.Action, Target: "archive: " + x.Record.String(), Details: d, Tenant: s.Tenant, Actor: r.Actor, Time: r.now()}); err != nil {
			return err
		}
		body, err := ask(fmt.Sprintf("SELECT * FROM archived WHERE NOT (tenant = %s AND %s AND NOT %s) ORDER BY ts FORMAT Parquet", quote(s.Tenant), s.Where, held(holds, r.Conn.Database, s.Kind)))
		if err != nil {
			return fmt.Errorf("cannot erase from an archive: %w", err)
		}
		whole, err := io.ReadAll(body)
		body.Close()
		if err != nil {
			return fmt.Errorf("cannot erase from an archive: %w", err)
		}
		m, before := x.Removal, x.Archive
		if !strings.HasSuffix(m.Archive, archiveExt) { // from before archives were encrypted
			m.Archive = strings.TrimSuffix(m.Archive, ".parquet") + archiveExt
		}
		if m.ArchiveSHA256, err = r.Archive.save(m.Tenant, m.Archive, bytes.NewReader(whole)); err != nil {
			return err
		}
		if err := r.saveState(ctx, m); err != nil {
			return err
		}
		if before != m.Archive {
			if err := os.Remove(before); err != nil {
				return fmt.Errorf("cannot remove an archive that was written anew: %w", err)
			}
		}
		erased += x.Found - x.Held
		return nil
	})
	return erased, kept, unread, err
}
