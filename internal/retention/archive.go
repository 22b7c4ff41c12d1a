// Archives: rows as Parquet, encrypted, with what proves that they are what was sealed.

package retention

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// Archive says where rows go before they are deleted, and how to ask ClickHouse for them as Parquet: over HTTP.
type Archive struct {
	Dir          string // absolute; files are <tenant's folder>/<class>-<record id>.parquet.enc
	Keys         string // folder of their keys; empty is secrets/archive beside Dir
	HTTP         string // base URL of ClickHouse's HTTP interface
	User         string
	Password     string
	PasswordFile string
	Client       *http.Client // nil is http.DefaultClient
}

// write writes the rows of a removal, each with its leaf's index, hash and salt, and puts file and hash into m. A file that a crash left half is written
// anew: nothing was deleted before it was whole and on disk.
func (a Archive) write(ctx context.Context, r *Remover, m *Removal) (err error) {
	if a.Dir == "" || a.HTTP == "" {
		return fmt.Errorf("cannot archive class %s: give a folder for archives and ClickHouse's HTTP address, or take its archive days away", m.Class)
	}
	folder := filepath.Join(a.Dir, seal.FolderOf(m.Tenant))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of archives: %w", err)
	}
	name, id := tableOf(m.Kind)
	q := fmt.Sprintf(`SELECT r.*, l.leaf_index AS _leaf_index, l.canonical_version AS _canonical_version, lower(hex(l.leaf_hash)) AS _leaf_hash, lower(hex(s.salt)) AS _salt
FROM %[1]s AS r
LEFT JOIN (SELECT id, stream_seq, leaf_index, canonical_version, leaf_hash FROM %[2]s FINAL WHERE tenant = %[3]s AND kind = '%[4]s' AND id IN (%[5]s)) AS l ON l.id = r.%[6]s AND l.stream_seq = r.stream_seq
LEFT JOIN (SELECT leaf_index, salt FROM %[7]s FINAL WHERE tenant = %[3]s AND leaf_index IN (SELECT leaf_index FROM %[8]s WHERE tenant = %[3]s AND record_id = '%[9]s')) AS s ON s.leaf_index = l.leaf_index
WHERE r.tenant = %[3]s AND r.%[6]s IN (%[5]s)
ORDER BY r.ts FORMAT Parquet`, r.table(name), r.table("seal_leaves"), quote(m.Tenant), m.Kind,
		fmt.Sprintf("SELECT id FROM %s WHERE tenant = %s AND record_id = '%s' AND kind = '%s'", r.table("removed"), quote(m.Tenant), m.Record, m.Kind), id,
		r.table("seal_salts"), r.table("seal_deletions"), m.Record)
	body, err := a.ask(ctx, q, nil)
	if err != nil {
		return fmt.Errorf("cannot archive: %w", err)
	}
	defer body.Close()
	path := filepath.Join(folder, m.Class+"-"+m.Record.String()+archiveExt)
	m.ArchiveSHA256, err = a.save(m.Tenant, path, body)
	if err == nil {
		m.Archive = path
	}
	return err
}

// ask runs a query over HTTP; rows, if there are any, are a Parquet file that the query sees as table archived.
func (a Archive) ask(ctx context.Context, query string, rows *external) (io.ReadCloser, error) {
	set := url.Values{"max_execution_time": {"0"}, "output_format_parquet_compression_method": {"zstd"}, "output_format_parquet_string_as_string": {"0"},
		"wait_end_of_query": {"0"}, "http_write_exception_in_output_format": {"0"}}
	var content io.Reader = strings.NewReader(query)
	kind := "text/plain"
	if rows != nil {
		set.Set("query", query)
		set.Set("archived_format", "Parquet")
		set.Set("archived_structure", rows.structure)
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		part, err := form.CreateFormFile("archived", "archived")
		if err == nil {
			_, err = part.Write(rows.parquet)
		}
		if err = errors.Join(err, form.Close()); err != nil {
			return nil, err
		}
		content, kind = &b, form.FormDataContentType()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(a.HTTP, "/")+"/?"+set.Encode(), content)
	if err != nil {
		return nil, errors.New("ClickHouse's HTTP address is no URL")
	}
	password := a.Password
	if a.PasswordFile != "" {
		b, err := os.ReadFile(a.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read ClickHouse's password: %w", err)
		}
		password = strings.TrimSpace(string(b))
	}
	req.SetBasicAuth(a.User, password)
	req.Header.Set("Content-Type", kind)
	req.Close = true
	client := a.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot reach ClickHouse over HTTP: %w", errors.Unwrap(err))
	}
	if resp.StatusCode != http.StatusOK { // its text can quote values
		resp.Body.Close()
		return nil, fmt.Errorf("ClickHouse answers %s, code %s", resp.Status, resp.Header.Get("X-ClickHouse-Exception-Code"))
	}
	return resp.Body, nil
}

// external is a Parquet file that travels with a query.
type external struct {
	structure string
	parquet   []byte
}

// save encrypts a Parquet file with a new key and puts it where path says, at once, and returns its hash. A key that was there for the file before is destroyed.
func (a Archive) save(tenant, path string, content io.Reader) (sum string, err error) {
	before := a.keyOf(tenant, path)
	id, key, err := a.newKey(tenant)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = destroyKey(a.keyFile(tenant, id))
		}
	}()
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("cannot write an archive: %w", err)
	}
	defer os.Remove(path + ".part")
	h := sha256.New()
	var tail tailWriter
	var n int64
	e, err := newEncrypter(io.MultiWriter(f, h), id, key)
	if err == nil {
		n, err = io.Copy(io.MultiWriter(e, &tail), content)
		err = errors.Join(err, e.Close())
	}
	err = errors.Join(err, f.Sync(), f.Close())
	// A query that fails midway ends the answer early; a Parquet file ends with its magic.
	if err == nil && (n < 12 || tail.b != [4]byte{'P', 'A', 'R', '1'}) {
		err = errors.New("ClickHouse's answer is not a whole Parquet file")
	}
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return "", fmt.Errorf("cannot write an archive: %w", err)
	}
	if before != "" {
		err = destroyKey(before)
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

// tailWriter keeps the last four bytes.
type tailWriter struct{ b [4]byte }

func (t *tailWriter) Write(p []byte) (int, error) {
	if len(p) >= 4 {
		copy(t.b[:], p[len(p)-4:])
	} else {
		var x [8]byte
		copy(x[:], t.b[:])
		copy(x[4:], p)
		copy(t.b[:], x[len(p):])
	}
	return len(p), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
