// The tables of the seal: which leaf is which row, and what opens it.

package seal

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// sealedBefore returns the leaves there are of the ids, with their salts; a zero salt is one that was destroyed.
func (d *DB) sealedBefore(ctx context.Context, tenant, kind string, ids []uuid.UUID, from, to int64) ([]Leaf, error) {
	asked := proto.ColUUID(ids)
	var out []Leaf
	q := leafQuery(&out)
	q.Body = fmt.Sprintf("SELECT %s FROM %s WHERE tenant = %s AND kind = %s AND ts >= fromUnixTimestamp64Nano(%d, 'UTC') AND ts <= fromUnixTimestamp64Nano(%d, 'UTC') AND id IN (SELECT id FROM asked)",
		leafColumns, d.table("seal_leaves"), lit(tenant), lit(kind), from, to)
	q.ExternalTable, q.ExternalData = "asked", []proto.InputColumn{{Name: "id", Data: asked}}
	if err := d.do(ctx, "look for leaves", q); err != nil || len(out) == 0 {
		return nil, err
	}
	return out, d.Salts(ctx, tenant, out)
}

const leafColumns = "leaf_index, CAST(kind, 'String') AS kind_name, id, ts, stream_seq, canonical_version, leaf_hash"

func leafQuery(out *[]Leaf) ch.Query {
	var index, seq proto.ColUInt64
	var kind proto.ColStr
	var id proto.ColUUID
	var ts = new(proto.ColDateTime64).WithPrecision(9)
	var version proto.ColUInt8
	var hash = &proto.ColFixedStr{Size: HashSize}
	return ch.Query{
		Result: proto.Results{{Name: "leaf_index", Data: &index}, {Name: "kind_name", Data: &kind}, {Name: "id", Data: &id}, {Name: "ts", Data: ts},
			{Name: "stream_seq", Data: &seq}, {Name: "canonical_version", Data: &version}, {Name: "leaf_hash", Data: hash}},
		OnResult: func(context.Context, proto.Block) error {
			for i := range index {
				k := KindEvent
				if kind.Row(i) == KindFinding {
					k = KindFinding
				}
				*out = append(*out, Leaf{Index: index[i], Kind: k, ID: id[i], Time: int64(ts.Data[i]), StreamSeq: seq[i], Version: version[i], Hash: Hash(hash.Row(i))})
			}
			return nil
		},
	}
}

// Leaves reads the leaves in [from, to) of the index, whose rows' times are in [begin, end), in order of the index, without salts.
func (d *DB) Leaves(ctx context.Context, tenant string, from, to uint64, begin, end int64) ([]Leaf, error) {
	var out []Leaf
	q := leafQuery(&out)
	q.Body = fmt.Sprintf("SELECT %s FROM %s WHERE tenant = %s AND leaf_index >= %d AND leaf_index < %d AND ts >= fromUnixTimestamp64Nano(%d, 'UTC') AND ts < fromUnixTimestamp64Nano(%d, 'UTC') ORDER BY leaf_index",
		leafColumns, d.table("seal_leaves"), lit(tenant), from, to, begin, end)
	return out, d.do(ctx, "read leaves", q)
}

// LeavesOf reads the leaves of one event or finding, in order of the index.
func (d *DB) LeavesOf(ctx context.Context, tenant string, id uuid.UUID) ([]Leaf, error) {
	var out []Leaf
	q := leafQuery(&out)
	q.Body = fmt.Sprintf("SELECT %s FROM %s WHERE tenant = %s AND id = '%s' ORDER BY leaf_index", leafColumns, d.table("seal_leaves"), lit(tenant), id)
	if err := d.do(ctx, "read leaves", q); err != nil || len(out) == 0 {
		return nil, err
	}
	return out, d.Salts(ctx, tenant, out)
}

// Salts fills in what is there of the leaves' salts. leaves are in any order.
func (d *DB) Salts(ctx context.Context, tenant string, leaves []Leaf) error {
	if len(leaves) == 0 {
		return nil
	}
	lo, hi := leaves[0].Index, leaves[0].Index
	ascending := true
	for i, l := range leaves {
		ascending = ascending && (i == 0 || l.Index > leaves[i-1].Index)
		lo, hi = min(lo, l.Index), max(hi, l.Index)
	}
	var index proto.ColUInt64
	salt := &proto.ColFixedStr{Size: SaltSize}
	q := ch.Query{
		Body:   fmt.Sprintf("SELECT leaf_index, salt FROM %s WHERE tenant = %s AND leaf_index >= %d AND leaf_index <= %d", d.table("seal_salts"), lit(tenant), lo, hi),
		Result: proto.Results{{Name: "leaf_index", Data: &index}, {Name: "salt", Data: salt}},
	}
	if ascending && hi-lo < 2*uint64(len(leaves)) { // most of the range is asked for: then all of it
		q.OnResult = func(context.Context, proto.Block) error {
			for i, x := range index {
				from := max(0, int(x-lo)-int(hi-lo+1-uint64(len(leaves)))) // a leaf is at most as far before its place as leaves are left out
				j, ok := slices.BinarySearchFunc(leaves[from:min(int(x-lo)+1, len(leaves))], x, func(l Leaf, x uint64) int { return cmp.Compare(l.Index, x) })
				if ok {
					leaves[from+j].Salt = Salt(salt.Row(i))
				}
			}
			return nil
		}
		return d.do(ctx, "read salts", q)
	}
	at := make(map[uint64]int, len(leaves))
	asked := make(proto.ColUInt64, len(leaves))
	for i, l := range leaves {
		at[l.Index] = i
		asked[i] = l.Index
	}
	q.Body += " AND leaf_index IN (SELECT i FROM asked)"
	q.ExternalTable, q.ExternalData = "asked", []proto.InputColumn{{Name: "i", Data: asked}}
	q.OnResult = func(context.Context, proto.Block) error {
		for i, x := range index {
			if j, ok := at[x]; ok {
				leaves[j].Salt = Salt(salt.Row(i))
			}
		}
		return nil
	}
	return d.do(ctx, "read salts", q)
}

// insertLeaves stores leaves and salts. The same leaves again change nothing.
func (d *DB) insertLeaves(ctx context.Context, tenant string, leaves []Leaf, token string) error {
	var index, seq proto.ColUInt64
	tenants := new(proto.ColStr).LowCardinality()
	kind := new(proto.ColStr).LowCardinality()
	var id proto.ColUUID
	var ts = new(proto.ColDateTime64).WithPrecision(9)
	var version proto.ColUInt8
	hash, salt := &proto.ColFixedStr{Size: HashSize}, &proto.ColFixedStr{Size: SaltSize}
	for i := range leaves {
		l := &leaves[i]
		tenants.Append(tenant)
		index.Append(l.Index)
		kind.Append(l.Kind)
		id.Append(l.ID)
		ts.AppendRaw(proto.DateTime64(l.Time))
		seq.Append(l.StreamSeq)
		version.Append(l.Version)
		hash.Append(l.Hash[:])
		salt.Append(l.Salt[:])
	}
	var of string
	if n := len(leaves); n > 0 {
		of = fmt.Sprintf("tenant = %s AND leaf_index >= %d AND leaf_index <= %d", lit(tenant), leaves[0].Index, leaves[n-1].Index)
	}
	if err := d.insert(ctx, "seal_salts", token, of, len(leaves), proto.Input{{Name: "tenant", Data: tenants}, {Name: "leaf_index", Data: index}, {Name: "salt", Data: salt}}); err != nil {
		return err
	}
	return d.insert(ctx, "seal_leaves", token, of, len(leaves), proto.Input{{Name: "tenant", Data: tenants}, {Name: "leaf_index", Data: index}, {Name: "kind", Data: kind}, {Name: "id", Data: id},
		{Name: "ts", Data: ts}, {Name: "stream_seq", Data: seq}, {Name: "canonical_version", Data: version}, {Name: "leaf_hash", Data: hash}})
}

// insert stores rows, of which there are to be n that meet the condition of afterwards. A server that was killed while it took a block may remember the
// block's token and not the block, and so take none of it when it comes again: then it is sent without a token.
func (d *DB) insert(ctx context.Context, table, token, of string, n int, in proto.Input) error {
	settings := []ch.Setting{
		ch.SettingInt("async_insert", 0), ch.SettingInt("throw_on_max_partitions_per_insert_block", 0), ch.SettingInt("insert_deduplicate", 1),
		{Key: "insert_deduplication_token", Value: token, Important: true},
	}
	q := ch.Query{Body: "INSERT INTO " + d.table(table) + " " + in.Columns() + " VALUES", Input: in, Settings: settings}
	if err := d.do(ctx, "write to "+table, q); err != nil {
		return err
	}
	var have proto.ColUInt64
	there := uint64(0)
	err := d.do(ctx, "count "+table, ch.Query{
		Body:   "SELECT count() AS n FROM " + d.table(table) + " WHERE " + of,
		Result: proto.Results{{Name: "n", Data: &have}},
		OnResult: func(context.Context, proto.Block) error {
			for _, x := range have {
				there += x
			}
			return nil
		},
	})
	if err != nil || there >= uint64(n) {
		return err
	}
	q.Settings = append(settings[:2:2], ch.SettingInt("insert_deduplicate", 0))
	return d.do(ctx, "write to "+table, q)
}

// SignedCheckpoint is a checkpoint as the store keeps it.
type SignedCheckpoint struct {
	Tenant      string
	Checkpoint  Checkpoint
	SignedAt    time.Time
	EventsSeq   uint64 // everything stored of EVENTS up to this sequence is in
	FindingsSeq uint64
	Note        []byte
}

func (d *DB) insertCheckpoint(ctx context.Context, c SignedCheckpoint) error {
	var size, ev, fi proto.ColUInt64
	var root, nt proto.ColStr
	tenant, origin := new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality()
	at := new(proto.ColDateTime64).WithPrecision(3)
	tenant.Append(c.Tenant)
	size.Append(c.Checkpoint.Size)
	root.Append(base64.StdEncoding.EncodeToString(c.Checkpoint.Root[:]))
	origin.Append(c.Checkpoint.Origin)
	at.Append(c.SignedAt)
	ev.Append(c.EventsSeq)
	fi.Append(c.FindingsSeq)
	nt.Append(string(c.Note))
	return d.insert(ctx, "seal_checkpoints", fmt.Sprintf("%s-%d", c.Checkpoint.Origin, c.Checkpoint.Size), fmt.Sprintf("tenant = %s AND size = %d", lit(c.Tenant), c.Checkpoint.Size), 1, proto.Input{{Name: "tenant", Data: tenant}, {Name: "size", Data: size},
		{Name: "root", Data: root}, {Name: "origin", Data: origin}, {Name: "signed_at", Data: at}, {Name: "events_seq", Data: ev}, {Name: "findings_seq", Data: fi}, {Name: "note", Data: nt}})
}

// Checkpoints reads the checkpoints of a tenant that the store keeps, smallest first; where is a further condition in SQL, or empty, and limit 0 is none.
func (d *DB) Checkpoints(ctx context.Context, tenant, where string, limit int) ([]SignedCheckpoint, error) {
	var out []SignedCheckpoint
	var size, ev, fi proto.ColUInt64
	var nt proto.ColStr
	at := new(proto.ColDateTime64).WithPrecision(3)
	body := "SELECT size, signed_at, events_seq, findings_seq, note FROM " + d.table("seal_checkpoints") + " WHERE tenant = " + lit(tenant)
	if where != "" {
		body += " AND " + where
	}
	body += " ORDER BY size"
	if limit > 0 {
		body += fmt.Sprintf(" DESC LIMIT %d", limit)
	}
	err := d.do(ctx, "read checkpoints", ch.Query{
		Body:   body,
		Result: proto.Results{{Name: "size", Data: &size}, {Name: "signed_at", Data: at}, {Name: "events_seq", Data: &ev}, {Name: "findings_seq", Data: &fi}, {Name: "note", Data: &nt}},
		OnResult: func(context.Context, proto.Block) error {
			for i := range size {
				c := SignedCheckpoint{Tenant: tenant, SignedAt: at.Row(i).UTC(), EventsSeq: ev[i], FindingsSeq: fi[i], Note: []byte(nt.Row(i)), Checkpoint: Checkpoint{Size: size[i]}}
				if len(out) > 0 && out[len(out)-1].Checkpoint.Size == size[i] && string(out[len(out)-1].Note) == string(c.Note) {
					continue // a copy that is not merged yet
				}
				out = append(out, c)
			}
			return nil
		},
	})
	return out, err
}

// Strings runs a query of one string column.
func (d *DB) Strings(ctx context.Context, what, body string) ([]string, error) {
	var out []string
	var s proto.ColStr
	err := d.do(ctx, what, ch.Query{Body: "SELECT CAST(toString(t.x), 'String') AS s FROM (" + body + ") AS t", Result: proto.Results{{Name: "s", Data: &s}}, OnResult: func(context.Context, proto.Block) error {
		for i := range s.Rows() {
			out = append(out, strings.Clone(s.Row(i)))
		}
		return nil
	}})
	return out, err
}

// IDsAtOnce is how many ids ClickHouse holds at once: some 100 MB. A variable for tests.
var IDsAtOnce uint64 = 2_000_000

// PartsByID returns conditions that divide n rows by a hash of the column that their id is in, so that each holds of about IDsAtOnce of them or less and all rows of an id are together.
func PartsByID(id string, n uint64) []string {
	parts := n/IDsAtOnce + 1
	if parts == 1 {
		return []string{"1"}
	}
	out := make([]string, parts)
	for i := range out {
		out[i] = fmt.Sprintf("cityHash64(%s) %% %d = %d", id, parts, i)
	}
	return out
}

// Count counts the rows of a table that a condition, in SQL, is true of.
func (d *DB) Count(ctx context.Context, table, where string) (n uint64, err error) {
	rows, err := d.Strings(ctx, "count "+table, "SELECT count() AS x FROM "+d.table(table)+" WHERE "+where)
	for _, r := range rows {
		if n, err = strconv.ParseUint(r, 10, 64); err != nil {
			return 0, fmt.Errorf("cannot count %s: ClickHouse's answer is not what was asked for", table)
		}
	}
	return n, err
}

// Tenants lists the tenants that have a log or rows.
func (d *DB) Tenants(ctx context.Context) ([]string, error) {
	return d.Strings(ctx, "list tenants", "SELECT DISTINCT tenant AS x FROM (SELECT tenant FROM "+d.table("seal_checkpoints")+" UNION ALL SELECT tenant FROM "+d.table("events")+" GROUP BY tenant) ORDER BY x")
}

// LeafRange is where in the log the leaves of a period are: from, and to, which is not in.
func (d *DB) LeafRange(ctx context.Context, tenant string, begin, end int64) (from, to uint64, err error) {
	var lo, hi, n proto.ColUInt64
	err = d.do(ctx, "read leaves", ch.Query{
		Body: fmt.Sprintf("SELECT min(leaf_index) AS lo, max(leaf_index) AS hi, count() AS n FROM %s WHERE tenant = %s AND ts >= fromUnixTimestamp64Nano(%d, 'UTC') AND ts < fromUnixTimestamp64Nano(%d, 'UTC')",
			d.table("seal_leaves"), lit(tenant), begin, end),
		Result: proto.Results{{Name: "lo", Data: &lo}, {Name: "hi", Data: &hi}, {Name: "n", Data: &n}},
		OnResult: func(context.Context, proto.Block) error {
			if len(n) > 0 && n[0] > 0 {
				from, to = lo[0], hi[0]+1
			}
			return nil
		},
	})
	return from, to, err
}

// BodyBytes is how long the bodies of the rows of the leaves, all of events, are together.
func (d *DB) BodyBytes(ctx context.Context, tenant string, leaves []Leaf) (uint64, error) {
	lo, hi := leaves[0].StreamSeq, leaves[0].StreamSeq
	asked := make(proto.ColUUID, len(leaves))
	for i, l := range leaves {
		lo, hi = min(lo, l.StreamSeq), max(hi, l.StreamSeq)
		asked[i] = l.ID
	}
	var n proto.ColUInt64
	var total uint64
	err := d.do(ctx, "measure rows", ch.Query{
		Body:          fmt.Sprintf("SELECT sum(length(body)) AS n FROM %s WHERE tenant = %s AND stream_seq >= %d AND stream_seq <= %d AND event_id IN (SELECT id FROM asked)", d.table("events"), lit(tenant), lo, hi),
		ExternalTable: "asked",
		ExternalData:  []proto.InputColumn{{Name: "id", Data: asked}},
		Result:        proto.Results{{Name: "n", Data: &n}},
		OnResult: func(context.Context, proto.Block) error {
			for _, x := range n {
				total += x
			}
			return nil
		},
	})
	return total, err
}
