// Parquet: the main columns of events and findings with types, for who queries a bundle.

package evidence

import (
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// parquetTypes are the columns that are not text.
var parquetTypes = map[string]parquet.Node{
	"ts":                 parquet.Timestamp(parquet.Nanosecond),
	"duration_ns":        parquet.Int(64),
	"count":              parquet.Uint(64),
	"revision":           parquet.Uint(64),
	"principal_verified": parquet.Leaf(parquet.BooleanType),
	"leaf_index":         parquet.Uint(64),
}

const rowGroup = 50_000 // rows that are held at once

type table struct {
	w       *parquet.Writer
	columns []column
	row     parquet.Row
	n       int
}

type column struct {
	cell  int // where it is among the cells
	make  func(s string) parquet.Value
	index int
}

func newTable(out io.Writer, names []string) *table {
	names = append([]string{"leaf_index"}, names...)
	group := parquet.Group{}
	for _, n := range names {
		node, typed := parquetTypes[n]
		if !typed {
			node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
			if n == "event_id" || n == "finding_id" {
				node = parquet.String()
			}
		}
		group[n] = parquet.Compressed(node, &zstd.Codec{Level: zstd.SpeedFastest})
	}
	schema := parquet.NewSchema("record", group)
	t := &table{w: parquet.NewWriter(out, schema, parquet.CreatedBy("mcpsiem", "1", ""))}
	for i, n := range names {
		leaf, _ := schema.Lookup(n)
		c := column{cell: i, index: leaf.ColumnIndex}
		switch n {
		case "ts", "duration_ns", "count", "revision", "leaf_index":
			c.make = func(s string) parquet.Value { // empty is the default
				v, _ := strconv.ParseInt(s, 10, 64)
				return parquet.Int64Value(v)
			}
		case "principal_verified":
			c.make = func(s string) parquet.Value { return parquet.BooleanValue(s == "true") }
		default:
			c.make = func(s string) parquet.Value { return parquet.ByteArrayValue([]byte(s)) }
		}
		t.columns = append(t.columns, c)
	}
	t.row = make(parquet.Row, len(names))
	return t
}

func (t *table) add(cells []string) error {
	for _, c := range t.columns {
		t.row[c.index] = c.make(cells[c.cell]).Level(0, 0, c.index)
	}
	if _, err := t.w.WriteRows([]parquet.Row{t.row}); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	if t.n++; t.n%rowGroup == 0 {
		if err := t.w.Flush(); err != nil {
			return fmt.Errorf("cannot write the bundle: %w", err)
		}
	}
	return nil
}

func (t *table) close() error {
	if err := t.w.Close(); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	return nil
}
