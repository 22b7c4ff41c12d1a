// The canonical form: the bytes of a stored row that its leaf commits to.
//
// Version 1 is one JSON object in the form of RFC 8785, made from the columns of the row as they are stored:
//
//   - `_table` is events or findings, `_v` is 1; all other members are columns, by name
//   - a column that holds its type's default (empty, 0, false, the zero UUID, no items) is left out, so that a column that is added to the
//     schema later changes no leaf of rows that were there before
//   - columns that ClickHouse computes when asked (trace_id, span_id) are left out
//   - 64-bit integers and times are decimal strings, times in ns since 1970; smaller integers and floating point numbers are numbers, and
//     strings where JSON has no number for them (NaN, Infinity, -Infinity)
//   - UUIDs are 36 characters in lower case, FixedString columns lower-case hex, Bool is true
//   - an array is an array; a map is an object, or, should a key repeat, an array of [key, value] in the stored order
//   - a string that is not UTF-8 is {"hex": "..."}

package seal

import (
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/jcs"
)

// CanonicalVersion is the version of the canonical form that new leaves commit to.
const CanonicalVersion = 1

// Kinds of leaves.
const (
	KindEvent   = "event"
	KindFinding = "finding"
)

// table is one of the two tables whose rows are sealed.
type table struct {
	kind, name, stream string
	id                 string // column
	columns            []columnSpec
}

type columnSpec struct{ name, typ string }

// Tables of the canonical form, version 1. Columns are in the order of their names, which is the order of the members.
var (
	eventsTable   = newTable(KindEvent, "events", "EVENTS", "event_id", eventColumns())
	findingsTable = newTable(KindFinding, "findings", "FINDINGS", "finding_id", findingColumns())
)

func eventColumns() []columnSpec {
	c := []columnSpec{
		{"event_name", "LowCardinality(String)"}, {"ts", "DateTime64(9)"}, {"received", "DateTime64(9)"}, {"trace", "FixedString(16)"},
		{"span", "FixedString(8)"}, {"body", "String"}, {"extra", "Map(LowCardinality(String), String)"},
	}
	for _, f := range event.Schema {
		if f.ClickHouse != "-" && f.Column != "" {
			c = append(c, columnSpec{f.Column, f.ClickHouse})
		}
	}
	return c
}

func findingColumns() []columnSpec {
	c := []columnSpec{{"ts", "DateTime64(9)"}}
	for _, f := range finding.Schema {
		if f.ClickHouse != "-" && f.Column != "" {
			c = append(c, columnSpec{f.Column, f.ClickHouse})
		}
	}
	return c
}

func newTable(kind, name, stream, id string, columns []columnSpec) *table {
	slices.SortFunc(columns, func(a, b columnSpec) int { return strings.Compare(a.name, b.name) })
	return &table{kind, name, stream, id, columns}
}

// column reads one column of a block. app appends the value of a row, or returns dst as it is where that is the default.
type column struct {
	name  string // with quotes and colon
	data  proto.ColResult
	low   *lowText    // data, if it is one
	begin func() bool // called with each block before app: whether any row of it may hold more than the default
	app   func(dst []byte, row int) []byte
}

// newColumn returns nil for a type that version 1 does not know.
func newColumn(s columnSpec) *column {
	c := &column{name: `"` + s.name + `":`}
	typ := s.typ
	if i := strings.Index(typ, " CODEC"); i >= 0 {
		typ = typ[:i]
	}
	if strings.HasPrefix(typ, "DateTime64(9") {
		typ = "DateTime64"
	}
	switch typ {
	case "LowCardinality(String)":
		d := newLowText(c.name)
		c.low, c.data, c.begin, c.app = d, d, d.begin, func(dst []byte, i int) []byte { return append(dst, d.form(i)...) }
	case "String":
		d := new(proto.ColStr)
		c.begin = func() bool { return len(d.Buf) > 0 }
		c.data, c.app = d, func(dst []byte, i int) []byte {
			if v := d.Row(i); v != "" {
				return appendString(dst, v)
			}
			return dst
		}
	case "FixedString(16)", "FixedString(8)", "FixedString(32)":
		d := new(proto.ColFixedStr)
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(typ, "FixedString("), ")"))
		d.SetSize(n)
		c.begin = func() bool { return slices.ContainsFunc(d.Buf, func(b byte) bool { return b != 0 }) }
		c.data, c.app = d, func(dst []byte, i int) []byte {
			v := d.Row(i)
			for _, b := range v {
				if b != 0 {
					dst = append(dst, '"')
					dst = hex.AppendEncode(dst, v)
					return append(dst, '"')
				}
			}
			return dst
		}
	case "UUID":
		d := new(proto.ColUUID)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte {
			if v := (*d)[i]; v != uuid.Nil {
				return appendUUID(dst, v)
			}
			return dst
		}
	case "DateTime64":
		d := new(proto.ColDateTime64).WithPrecision(9)
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendBig(dst, int64(d.Data[i])) }
	case "UInt64":
		d := new(proto.ColUInt64)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte {
			if v := (*d)[i]; v != 0 {
				dst = append(dst, '"')
				dst = strconv.AppendUint(dst, v, 10)
				return append(dst, '"')
			}
			return dst
		}
	case "Int64":
		d := new(proto.ColInt64)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendBig(dst, (*d)[i]) }
	case "UInt32":
		d := new(proto.ColUInt32)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendSmall(dst, int64((*d)[i])) }
	case "Int32":
		d := new(proto.ColInt32)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendSmall(dst, int64((*d)[i])) }
	case "UInt16":
		d := new(proto.ColUInt16)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendSmall(dst, int64((*d)[i])) }
	case "UInt8":
		d := new(proto.ColUInt8)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendSmall(dst, int64((*d)[i])) }
	case "Bool":
		d := new(proto.ColBool)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte {
			if (*d)[i] {
				return append(dst, "true"...)
			}
			return dst
		}
	case "Float64":
		d := new(proto.ColFloat64)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte {
			if v := (*d)[i]; v != 0 {
				return appendFloat(dst, v)
			}
			return dst
		}
	case "Float32":
		d := new(proto.ColFloat32)
		c.begin = func() bool { return anyOf(*d) }
		c.data, c.app = d, func(dst []byte, i int) []byte {
			if v := (*d)[i]; v != 0 {
				return appendFloat(dst, float64(v))
			}
			return dst
		}
	case "Array(LowCardinality(String))":
		d := proto.NewArray(new(proto.ColStr).LowCardinality())
		c.begin = func() bool { return items(d.Offsets) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendArray(dst, d.Row(i), appendString) }
	case "Array(String)":
		d := proto.NewArray(new(proto.ColStr))
		c.begin = func() bool { return items(d.Offsets) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendArray(dst, d.Row(i), appendString) }
	case "Array(UUID)":
		d := proto.NewArray(new(proto.ColUUID))
		c.begin = func() bool { return items(d.Offsets) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendArray(dst, d.Row(i), appendUUID) }
	case "Map(LowCardinality(String), String)":
		d := proto.NewMap(new(proto.ColStr).LowCardinality(), new(proto.ColStr))
		c.begin = func() bool { return items(d.Offsets) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendMap(dst, d.RowKV(i), appendString) }
	case "Map(LowCardinality(String), Float64)":
		d := proto.NewMap(new(proto.ColStr).LowCardinality(), new(proto.ColFloat64))
		c.begin = func() bool { return items(d.Offsets) }
		c.data, c.app = d, func(dst []byte, i int) []byte { return appendMap(dst, d.RowKV(i), appendFloat) }
	default:
		return nil
	}
	if c.begin == nil {
		c.begin = func() bool { return true }
	}
	return c
}

// anyOf says that one of the values is not its type's default.
func anyOf[T comparable](list []T) bool {
	var none T
	for _, v := range list {
		if v != none {
			return true
		}
	}
	return false
}

// items says that a list or map of the block has an item, from where the lists end.
func items(ends []uint64) bool { return len(ends) > 0 && ends[len(ends)-1] > 0 }

func appendBig(dst []byte, v int64) []byte {
	if v == 0 {
		return dst
	}
	dst = append(dst, '"')
	dst = strconv.AppendInt(dst, v, 10)
	return append(dst, '"')
}

func appendSmall(dst []byte, v int64) []byte {
	if v == 0 {
		return dst
	}
	return strconv.AppendInt(dst, v, 10)
}

func appendFloat(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	return jcs.AppendNumber(dst, v)
}

func appendUUID(dst []byte, u uuid.UUID) []byte {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	dst = append(dst, '"')
	dst = append(dst, b[:]...)
	return append(dst, '"')
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for b := range t {
		t[b] = b >= 0x20 && b != '"' && b != '\\'
	}
	return t
}()

const hexDigits = "0123456789abcdef"

func appendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		dst = append(dst, `{"hex":"`...)
		dst = hex.AppendEncode(dst, []byte(s))
		return append(dst, `"}`...)
	}
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		b := s[i]
		if plain[b] {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\b':
			dst = append(dst, `\b`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\r':
			dst = append(dst, `\r`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendArray[T any](dst []byte, v []T, app func([]byte, T) []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	dst = append(dst, '[')
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = app(dst, x)
	}
	return append(dst, ']')
}

func appendMap[V any](dst []byte, kv []proto.KV[string, V], app func([]byte, V) []byte) []byte {
	if len(kv) == 0 {
		return dst
	}
	if keys := sortedKeys(kv); keys == nil {
		for i, x := range kv {
			dst = append(dst, map[bool]byte{true: '[', false: ','}[i == 0], '[')
			dst = appendString(dst, x.Key)
			dst = append(dst, ',')
			dst = app(dst, x.Value)
			dst = append(dst, ']')
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i, x := range kv {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, x.Key)
		dst = append(dst, ':')
		dst = app(dst, x.Value)
	}
	return append(dst, '}')
}

// sortedKeys sorts kv by the keys' UTF-16 code units and returns nil, with kv as it was, where a key repeats or is no text.
func sortedKeys[V any](kv []proto.KV[string, V]) []proto.KV[string, V] {
	ordered := true // as ours are: nothing to sort, and no key repeats
	for i, x := range kv {
		ordered = ordered && utf8.ValidString(x.Key) && (i == 0 || compareUTF16(kv[i-1].Key, x.Key) < 0)
	}
	if ordered {
		return kv
	}
	seen := make(map[string]bool, len(kv))
	for _, x := range kv {
		if seen[x.Key] || !utf8.ValidString(x.Key) {
			return nil
		}
		seen[x.Key] = true
	}
	slices.SortFunc(kv, func(a, b proto.KV[string, V]) int { return compareUTF16(a.Key, b.Key) })
	return kv
}

// compareUTF16 is the order of RFC 8785, 3.2.3. It differs from that of bytes only where one side has a character beyond U+FFFF.
func compareUTF16(a, b string) int {
	for len(a) > 0 && len(b) > 0 {
		x, n := utf8.DecodeRuneInString(a)
		y, m := utf8.DecodeRuneInString(b)
		if x != y {
			if (x > 0xffff) != (y > 0xffff) { // a surrogate, from 0xd800 on, against one unit
				if x > 0xffff {
					x = 0xd800
				} else {
					y = 0xd800
				}
			}
			if x < y {
				return -1
			}
			return 1
		}
		a, b = a[n:], b[m:]
	}
	return len(a) - len(b)
}
