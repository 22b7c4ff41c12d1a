// Reading stored rows in canonical form.

package seal

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Row is a stored row. Canonical is valid until the function it was given to returns.
type Row struct {
	Kind      string
	ID        uuid.UUID
	Tenant    string
	Time      int64 // ns since 1970
	StreamSeq uint64
	Canonical []byte
	Anchor    bool // the record of a checkpoint

	set *columnSet
	at  int
}

// cellReader reads columns of rows, each value as the canonical form has it, without quotes; empty where it is the default or there is no such column.
type cellReader struct {
	names   []string
	set     *columnSet // that columns are of
	columns []*column
	text    []byte
	ends    []int
	values  []string // for rows to come
}

// read returns the values of a row, in one piece of memory.
func (c *cellReader) read(r *Row) []string {
	if c.set != r.set {
		c.set, c.columns = r.set, c.columns[:0]
		for _, n := range c.names {
			c.columns = append(c.columns, r.set.byName[n])
		}
	}
	c.text, c.ends = c.text[:0], c.ends[:0]
	for _, column := range c.columns {
		if column != nil {
			from := len(c.text)
			c.text = unquote(column.app(c.text, r.at), from)
		}
		c.ends = append(c.ends, len(c.text))
	}
	all, from := string(c.text), 0
	if len(c.values) < len(c.ends) {
		c.values = make([]string, 256*len(c.ends))
	}
	out := c.values[:len(c.ends):len(c.ends)]
	c.values = c.values[len(c.ends):]
	for i, end := range c.ends {
		out[i], from = all[from:end], end
	}
	return out
}

// unquote makes a JSON string at the end of b the text that it stands for.
func unquote(b []byte, from int) []byte {
	v := b[from:]
	if len(v) < 2 || v[0] != '"' {
		return b
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return append(b[:from], v[1:len(v)-1]...)
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return b
	}
	return append(b[:from], s...)
}

// ActionCheckpoint is the audit action of a checkpoint's record.
const ActionCheckpoint = "seal.checkpoint"

// DB is a connection to the store for whole rows and leaves. Not for concurrent use; after an error it connects anew.
type DB struct {
	cfg    store.Config
	client *ch.Client
	sets   map[*table]*columnSet
}

// columnSet is what rows of a table are read into. It is used again: a step would make some hundred buffers of its own.
type columnSet struct {
	names          string
	result         proto.Results
	columns        []*column
	active         []*column // of the block
	byName         map[string]*column
	tenant, action *lowText // action is nil where the table has none
	id             *proto.ColUUID
	ts             *proto.ColDateTime64
	seq            *proto.ColUInt64
	body           *proto.ColStr // nil where the table has none
}

// maxKept is how many bytes of bodies the buffer may have that is kept between queries.
const maxKept = 4 << 20

func (d *DB) columnsOf(t *table) (*columnSet, error) {
	if set := d.sets[t]; set != nil {
		return set, nil
	}
	set := &columnSet{byName: map[string]*column{}, active: []*column{}}
	var names []string
	for _, s := range t.columns {
		c := newColumn(s)
		if c == nil {
			return nil, fmt.Errorf("BUG: the canonical form does not know columns of type %s", s.typ)
		}
		names = append(names, "`"+s.name+"`")
		set.columns = append(set.columns, c)
		set.byName[s.name] = c
		set.result = append(set.result, proto.ResultColumn{Name: s.name, Data: c.data})
		switch s.name {
		case "tenant":
			set.tenant = c.data.(*lowText)
		case "audit_action":
			set.action = c.data.(*lowText)
		case t.id:
			set.id = c.data.(*proto.ColUUID)
		case "ts":
			set.ts = c.data.(*proto.ColDateTime64)
		case "stream_seq":
			set.seq = c.data.(*proto.ColUInt64)
		case "body":
			set.body = c.data.(*proto.ColStr)
		}
	}
	set.names = strings.Join(names, ", ")
	if d.sets == nil {
		d.sets = map[*table]*columnSet{}
	}
	d.sets[t] = set
	return set, nil
}

// begin takes over a block and returns the columns of which a row may hold more than the default: most columns are empty in most blocks. It
// returns nil for a block that is damaged.
func (s *columnSet) begin() []*column {
	s.active = s.active[:0]
	for _, c := range s.columns {
		if c.begin() {
			s.active = append(s.active, c)
		}
		if c.low != nil && c.low.damaged {
			return nil
		}
	}
	return s.active
}

// NewDB connects when it is first used. An account that has `final` forced on sees no second copy of a row, so that one which checks rows
// must not be such.
func NewDB(cfg store.Config) *DB {
	if cfg.Database == "" {
		cfg.Database = store.DefaultDatabase
	}
	return &DB{cfg: cfg}
}

// Close closes the connection.
func (d *DB) Close() {
	if d.client != nil {
		_ = d.client.Close()
		d.client = nil
	}
}

func (d *DB) connect(ctx context.Context) error {
	if d.client != nil && !d.client.IsClosed() {
		return nil
	}
	password := d.cfg.Password
	if d.cfg.PasswordFile != "" {
		b, err := os.ReadFile(d.cfg.PasswordFile)
		if err != nil {
			return fmt.Errorf("cannot read ClickHouse's password: %w", err)
		}
		password = strings.TrimSpace(string(b))
	}
	compression := ch.CompressionLZ4
	if host, _, _ := net.SplitHostPort(d.cfg.Endpoint); host == "localhost" || net.ParseIP(host).IsLoopback() {
		compression = ch.CompressionDisabled
	}
	var tc *tls.Config
	if d.cfg.TLS != nil {
		tc = d.cfg.TLS
	}
	c, err := ch.Dial(ctx, ch.Options{
		Address: d.cfg.Endpoint, Database: d.cfg.Database, User: d.cfg.Username, Password: password, TLS: tc, Compression: compression,
		DialTimeout: 10 * time.Second, HandshakeTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, ClientName: "mcpsiem",
	})
	if err != nil {
		return storeError("connect to ClickHouse at "+d.cfg.Endpoint, err)
	}
	d.client = c
	return nil
}

var errDenied = errors.New("ClickHouse says ACCESS_DENIED (497)")

// storeError says what failed, with ClickHouse's name and code of the error and never its text, which can quote values.
func storeError(what string, err error) error {
	var ex *ch.Exception
	if errors.As(err, &ex) && ex.Code == proto.ErrAccessDenied {
		return fmt.Errorf("cannot %s: %w", what, errDenied)
	}
	if errors.As(err, &ex) {
		return fmt.Errorf("cannot %s: ClickHouse says %s (%d)", what, ex.Name, ex.Code)
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}

func (d *DB) do(ctx context.Context, what string, q ch.Query) error {
	if err := d.connect(ctx); err != nil {
		return err
	}
	if err := d.client.Do(ctx, q); err != nil {
		d.Close()
		return storeError(what, err)
	}
	return nil
}

func (d *DB) table(name string) string { return "`" + d.cfg.Database + "`." + name }

// lit quotes a string for ClickHouse.
func lit(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func tableOf(kind string) *table {
	if kind == KindFinding {
		return findingsTable
	}
	return eventsTable
}

// Rows calls f with each row of a kind that the condition, in SQL, is true of; order is an ORDER BY or empty. Copies of a row that
// ClickHouse has not merged yet come as often as they are there.
func (d *DB) Rows(ctx context.Context, kind, where, order string, f func(*Row) error) error {
	return d.rows(ctx, kind, where, order, nil, f)
}

// rows is Rows; the condition may ask for ids IN (SELECT id FROM asked).
func (d *DB) rows(ctx context.Context, kind, where, order string, asked proto.ColUUID, f func(*Row) error) error {
	t := tableOf(kind)
	set, err := d.columnsOf(t)
	if err != nil {
		return err
	}
	head := fmt.Sprintf(`{"_table":"%s","_v":%d`, t.name, CanonicalVersion)
	row := Row{Kind: t.kind}
	var stop error
	q := ch.Query{
		Body:     "SELECT " + set.names + " FROM " + d.table(t.name) + " WHERE " + where + " " + order,
		Result:   set.result,
		Settings: []ch.Setting{ch.SettingInt("max_block_size", 8192)},
		OnResult: func(_ context.Context, b proto.Block) error {
			if b.Rows == 0 {
				return nil
			}
			active := set.begin()
			if active == nil {
				stop = fmt.Errorf("cannot read stored rows of %s: a block from ClickHouse is damaged", t.name)
				return stop
			}
			for i := range b.Rows {
				line := append(row.Canonical[:0], head...)
				for _, c := range active {
					if c.low != nil {
						line = append(line, c.low.member(i)...)
						continue
					}
					at := len(line)
					line = append(line, ',')
					line = append(line, c.name...)
					n := len(line)
					if line = c.app(line, i); len(line) == n {
						line = line[:at]
					}
				}
				row.Canonical = append(line, '}')
				row.Tenant, row.ID, row.Time, row.StreamSeq = set.tenant.text(i), (*set.id)[i], int64(set.ts.Data[i]), (*set.seq)[i]
				row.set, row.at = set, i
				row.Anchor = set.action != nil && set.action.text(i) == ActionCheckpoint
				if err := f(&row); err != nil {
					stop = err
					return err
				}
			}
			return nil
		},
	}
	if asked != nil {
		q.ExternalTable, q.ExternalData = "asked", []proto.InputColumn{{Name: "id", Data: asked}}
	}
	err = d.do(ctx, "read stored rows of "+t.name, q)
	if set.body != nil && cap(set.body.Buf) > maxKept {
		delete(d.sets, t)
	}
	if stop != nil {
		return stop
	}
	return err
}

// span is what a message brought: rows and bytes of bodies.
type span struct{ seq, rows, bytes uint64 }

// spans lists the messages in (from, to] that rows were stored of, first first, up to limit.
func (d *DB) spans(ctx context.Context, kind string, from, to uint64, limit int) ([]span, error) {
	t := tableOf(kind)
	body := "body"
	if kind == KindFinding {
		body = "summary"
	}
	var out []span
	var seq, rows, size proto.ColUInt64
	err := d.do(ctx, "look for new rows in "+t.name, ch.Query{
		Body: fmt.Sprintf("SELECT stream_seq, count() AS n, sum(length(%s)) AS size FROM %s WHERE stream_seq > %d AND stream_seq <= %d GROUP BY stream_seq ORDER BY stream_seq LIMIT %d",
			body, d.table(t.name), from, to, limit),
		Result: proto.Results{{Name: "stream_seq", Data: &seq}, {Name: "n", Data: &rows}, {Name: "size", Data: &size}},
		OnResult: func(context.Context, proto.Block) error {
			for i := range seq {
				out = append(out, span{seq[i], rows[i], size[i]})
			}
			return nil
		},
	})
	return out, err
}

// Table is the quoted name of a table.
func (d *DB) Table(name string) string { return d.table(name) }

// Literal quotes a string for a query.
func Literal(s string) string { return lit(s) }
