// Parquet: the main columns of events and findings with types, for who queries a bundle. Each step makes a file of its own, with one group of rows; in the end the groups are
// copied, as they are, into one file.

package evidence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
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

// held is how many rows are held before they are given to the columns' writers. What is written depends on it, and so it depends on nothing else.
const held = 1024

// table makes the part of a step.
type table struct {
	out     bytes.Buffer
	schema  *parquet.Schema
	w       *parquet.Writer //lint:ignore SA1019 rows are made for a schema, not out of Go values
	columns []column
	text    []byte // that values of columns are in
	rows    int    // held
	all     int    // of the step
}

type column struct {
	make   func(s string) int64 // of numbers
	flag   bool
	index  int
	values []parquet.Value
}

func newTable(names []string) *table {
	schema := parquetSchema(names)
	t := &table{schema: schema}
	for _, n := range slices.Concat([]string{"leaf_index"}, names) {
		leaf, _ := schema.Lookup(n)
		c := column{index: leaf.ColumnIndex}
		switch n {
		case "principal_verified":
			c.flag = true
		case "ts", "duration_ns", "count", "revision", "leaf_index":
			c.make = func(s string) int64 { // empty is the default
				v, _ := strconv.ParseInt(s, 10, 64)
				return v
			}
		}
		t.columns = append(t.columns, c)
	}
	t.w = newParquet(&t.out, schema)
	return t
}

func parquetSchema(names []string) *parquet.Schema {
	group := parquet.Group{}
	for _, n := range slices.Concat([]string{"leaf_index"}, names) {
		node, typed := parquetTypes[n]
		if !typed {
			node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
			if n == "event_id" || n == "finding_id" {
				node = parquet.String()
			}
		}
		group[n] = parquet.Compressed(node, &zstd.Codec{Level: zstd.SpeedFastest})
	}
	return parquet.NewSchema("record", group)
}

//lint:ignore SA1019 rows are made for a schema, not out of Go values
func newParquet(out io.Writer, schema *parquet.Schema) *parquet.Writer {
	return parquet.NewWriter(out, schema, parquet.CreatedBy("mcpsiem", "1", ""))
}

// add adds a row.
func (t *table) add(leaf uint64, cells []string) error {
	for i := range t.columns {
		c := &t.columns[i]
		var v parquet.Value
		switch {
		case i == 0:
			v = parquet.Int64Value(int64(leaf))
		case c.make != nil:
			v = parquet.Int64Value(c.make(cells[i-1]))
		case c.flag:
			v = parquet.BooleanValue(cells[i-1] == "true")
		default:
			from := len(t.text)
			t.text = append(t.text, cells[i-1]...)
			v = parquet.ByteArrayValue(t.text[from:])
		}
		c.values = append(c.values, v.Level(0, 0, c.index))
	}
	t.all++
	if t.rows++; t.rows == held {
		return t.flush()
	}
	return nil
}

func (t *table) flush() error {
	writers := t.w.ColumnWriters()
	for i := range t.columns {
		c := &t.columns[i]
		if _, err := writers[c.index].WriteRowValues(c.values); err != nil {
			return err
		}
		c.values = c.values[:0]
	}
	t.text, t.rows = t.text[:0], 0
	return nil
}

// end writes the part of the step that ends, if there is anything in it.
func (t *table) end(w io.Writer) error {
	if t.all == 0 {
		return nil
	}
	if err := errors.Join(t.flush(), t.w.Close()); err != nil {
		return err
	}
	_, err := w.Write(binary.BigEndian.AppendUint64(nil, uint64(t.out.Len())))
	if err == nil {
		_, err = w.Write(t.out.Bytes())
	}
	t.out.Reset()
	t.w.Reset(&t.out)
	t.all = 0
	return err
}

// joinParts writes one file of the parts of all steps.
func joinParts(out io.Writer, names []string, parts *io.SectionReader) error {
	w := newParquet(out, parquetSchema(names))
	var n [8]byte
	for at := int64(0); at < parts.Size(); {
		if _, err := parts.ReadAt(n[:], at); err != nil {
			return fmt.Errorf("cannot read the export's work folder: %w", err)
		}
		size := int64(binary.BigEndian.Uint64(n[:]))
		if at += 8; size < 0 || size > parts.Size()-at {
			return errors.New("cannot read the export's work folder: a table is damaged")
		}
		part, err := parquet.OpenFile(io.NewSectionReader(parts, at, size), size, parquet.SkipBloomFilters(true))
		if err != nil {
			return errors.New("cannot read the export's work folder: a table is damaged")
		}
		for _, g := range part.RowGroups() {
			if _, err := w.WriteRowGroup(g); err != nil {
				return fmt.Errorf("cannot write the bundle: %w", err)
			}
		}
		at += size
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	return nil
}
