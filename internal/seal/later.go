// Later leaves of the same event or finding: what became of a row that is not what its leaf commits to.

package seal

import (
	"context"
	"fmt"
	"sync"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// Later finds the later leaves of events and findings. Which ids have more than one leaf is asked once, when it is first needed: for all others,
// however many rows are gone, nothing more is asked. Steps that run at a time may share one.
type Later struct {
	db     *DB
	tenant string
	size   uint64
	mu     sync.Mutex
	again  map[uuid.UUID]bool
}

// NewLater is for one tenant; size is that of its log.
func (d *DB) NewLater(tenant string, size uint64) *Later {
	return &Later{db: d, tenant: tenant, size: size}
}

func (l *Later) load(ctx context.Context) error {
	again := map[uuid.UUID]bool{}
	for _, part := range PartsByID("id", l.size) {
		var id proto.ColUUID
		err := l.db.do(ctx, "look for leaves of the same row", ch.Query{
			Body: fmt.Sprintf("SELECT id FROM %s WHERE tenant = %s AND %s GROUP BY id HAVING max(leaf_index) > min(leaf_index)",
				l.db.table("seal_leaves"), lit(l.tenant), part),
			Result: proto.Results{{Name: "id", Data: &id}},
			OnResult: func(context.Context, proto.Block) error {
				for _, x := range id {
					again[x] = true
				}
				return nil
			},
		})
		if err != nil {
			return err
		}
	}
	l.again = again
	return nil
}

// Of returns the later leaves, with salts, by the index of the leaf that they are later than.
func (l *Later) Of(ctx context.Context, leaves []Leaf) (map[uint64][]Leaf, error) {
	if len(leaves) == 0 {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.again == nil {
		if err := l.load(ctx); err != nil {
			return nil, err
		}
	}
	type row struct {
		kind string
		id   uuid.UUID
	}
	at := map[row][]uint64{}
	var ids proto.ColUUID
	for _, x := range leaves {
		if l.again[x.ID] {
			k := row{x.Kind, x.ID}
			if at[k] == nil {
				ids = append(ids, x.ID)
			}
			at[k] = append(at[k], x.Index)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var found []Leaf
	q := leafQuery(&found)
	q.Body = fmt.Sprintf("SELECT %s FROM %s WHERE tenant = %s AND id IN (SELECT id FROM asked) ORDER BY leaf_index", leafColumns, l.db.table("seal_leaves"), lit(l.tenant))
	q.ExternalTable, q.ExternalData = "asked", []proto.InputColumn{{Name: "id", Data: ids}}
	if err := l.db.do(ctx, "read leaves", q); err != nil || len(found) == 0 {
		return nil, err
	}
	if err := l.db.Salts(ctx, l.tenant, found); err != nil {
		return nil, err
	}
	out := map[uint64][]Leaf{}
	for i, f := range found {
		if i > 0 && f.Index == found[i-1].Index && f == found[i-1] {
			continue // a copy that is not merged yet
		}
		for _, index := range at[row{f.Kind, f.ID}] {
			if f.Index > index {
				out[index] = append(out[index], f)
			}
		}
	}
	return out, nil
}

// Deleted returns, of the leaves in [from, to], those whose rows were removed on purpose, with the records that say so.
func (d *DB) Deleted(ctx context.Context, tenant string, from, to uint64) (map[uint64][]uuid.UUID, error) {
	out := map[uint64][]uuid.UUID{}
	var index proto.ColUInt64
	var record proto.ColUUID
	err := d.do(ctx, "read records of deletion", ch.Query{
		Body:   fmt.Sprintf("SELECT leaf_index, record_id FROM %s WHERE tenant = %s AND leaf_index >= %d AND leaf_index <= %d", d.table("seal_deletions"), lit(tenant), from, to),
		Result: proto.Results{{Name: "leaf_index", Data: &index}, {Name: "record_id", Data: &record}},
		OnResult: func(context.Context, proto.Block) error {
			for i := range index {
				out[index[i]] = append(out[index[i]], record[i])
			}
			return nil
		},
	})
	return out, err
}
