// The columns of a block: typed, reused from one insert to the next, and forgiving. A value that ClickHouse or a reader could not take is brought
// into range and noted; no value fails a batch.

package clickhouse

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// Limits of a value. They bound what a hostile sender can make of a column that is meant to repeat itself.
const (
	maxRepeating = 1 << 10 // bytes of a LowCardinality string
	maxItems     = 1 << 10 // items of an array or map
)

// notes are the anomalies found while one row was appended.
type notes struct {
	outOfRange, badUTF8, badID, truncated bool

	lastID  string // the id read last: several columns of a row often hold the same
	lastIDs uuid.UUID
}

// begin starts a row.
func (n *notes) begin() { *n = notes{} }

func (n *notes) any() bool { return n.outOfRange || n.badUTF8 || n.badID || n.truncated }

// Anomalies that the exporter notes on a record.
const (
	anomalyOutOfRange = "value_out_of_range"
	anomalyBadUTF8    = "invalid_utf8"
	anomalyBadID      = "invalid_id"
	anomalyTruncated  = "value_truncated"
	anomalyBadTime    = "time_out_of_range"
)

func (n *notes) names(dst []string) []string {
	for _, x := range []struct {
		set  bool
		name string
	}{{n.outOfRange, anomalyOutOfRange}, {n.badUTF8, anomalyBadUTF8}, {n.badID, anomalyBadID}, {n.truncated, anomalyTruncated}} {
		if x.set {
			dst = append(dst, x.name)
		}
	}
	return dst
}

func (n *notes) clamp(v, lo, hi int64) int64 {
	if v < lo || v > hi {
		n.outOfRange = true
		return min(max(v, lo), hi)
	}
	return v
}

func (n *notes) finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		n.outOfRange = true
		return 0
	}
	return v
}

// date bounds a time, ns since 1970, to what DateTime64(9) shows: 1970 to 2262.
func (n *notes) date(v int64) int64 { return n.clamp(v, 0, math.MaxInt64) }

func (n *notes) valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	n.badUTF8 = true
	return strings.ToValidUTF8(s, "\uFFFD")
}

// id reads 32 hex digits, with or without dashes. The empty string is the zero id; anything else that is no id becomes one that is derived
// from it, so that equal strings stay equal.
func (n *notes) id(s string) uuid.UUID {
	if len(s) == 32 {
		if s == n.lastID {
			return n.lastIDs
		}
		var u uuid.UUID
		for i := range u {
			hi, lo := hexDigit[s[2*i]], hexDigit[s[2*i+1]]
			if hi > 15 || lo > 15 {
				n.badID = true
				return uuid.NewSHA1(uuid.Nil, []byte(s))
			}
			u[i] = hi<<4 | lo
		}
		n.lastID, n.lastIDs = s, u
		return u
	}
	if s == "" {
		return uuid.UUID{}
	}
	if len(s) == 36 {
		if u, err := uuid.Parse(s); err == nil {
			return u
		}
	}
	n.badID = true
	return uuid.NewSHA1(uuid.Nil, []byte(s))
}

var hexDigit = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()

// lowCard is LowCardinality(String). Values repeat soon, so that a few recent ones are looked at before the dictionary. Between append and Reset it
// refers to the caller's strings.
type lowCard struct {
	dict  proto.ColStr
	index map[string]uint32
	keys  []uint32

	recent [recentSize]struct {
		s   string
		key uint32 // plus one; 0 is an empty place
	}
}

// recentSize is a power of two. It is small, since some sixty columns share the processor's cache.
const recentSize = 16

// place is where s is in recent: cheap to compute, and different for names that differ in length, middle or end.
func place(s string) uint {
	n := uint(len(s))
	if n == 0 {
		return 0
	}
	return (n + uint(s[n-1])*7 + uint(s[n/2])*13 + uint(s[n*3/4])*29) % recentSize
}

func (c *lowCard) append(n *notes, s string) {
	r := &c.recent[place(s)]
	if r.key != 0 && r.s == s {
		c.keys = append(c.keys, r.key-1)
		return
	}
	if len(s) > maxRepeating {
		n.truncated = true
		s = s[:maxRepeating]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf {
			s = s[:len(s)-1]
		}
	}
	key, ok := c.index[s]
	if !ok {
		v := n.valid(s)
		if key, ok = c.index[v]; !ok {
			if c.index == nil {
				c.index = make(map[string]uint32)
			}
			key = uint32(c.dict.Rows())
			c.dict.Append(v)
			c.index[v] = key
		}
	}
	r.s, r.key = s, key+1
	c.keys = append(c.keys, key)
}

func (c *lowCard) Type() proto.ColumnType { return "LowCardinality(String)" }
func (c *lowCard) Rows() int              { return len(c.keys) }

// Reset forgets rows and dictionary, and with them every reference to the caller's strings.
func (c *lowCard) Reset() {
	c.dict.Reset()
	clear(c.index)
	c.keys = c.keys[:0]
	clear(c.recent[:])
}

// keySerialization is SharedDictionariesWithAdditionalKeys, the one form of the native protocol.
const keySerialization = 1

// EncodeState writes what precedes the column's data.
func (c *lowCard) EncodeState(b *proto.Buffer) { b.PutInt64(keySerialization) }

// Flags of a dictionary that is sent whole with its block.
const hasKeysAndUpdates = 1<<9 | 1<<10

func (c *lowCard) EncodeColumn(b *proto.Buffer) {
	if len(c.keys) == 0 {
		return
	}
	n := c.dict.Rows()
	width := int64(proto.KeyUInt32)
	switch {
	case n <= 1<<8:
		width = int64(proto.KeyUInt8)
	case n <= 1<<16:
		width = int64(proto.KeyUInt16)
	}
	b.PutInt64(hasKeysAndUpdates | width)
	b.PutInt64(int64(n))
	c.dict.EncodeColumn(b)
	b.PutInt64(int64(len(c.keys)))
	switch proto.CardinalityKey(width) {
	case proto.KeyUInt8:
		at := len(b.Buf)
		b.Buf = slices.Grow(b.Buf, len(c.keys))[:at+len(c.keys)]
		for i, k := range c.keys {
			b.Buf[at+i] = byte(k)
		}
	case proto.KeyUInt16:
		for _, k := range c.keys {
			b.PutUInt16(uint16(k))
		}
	default:
		for _, k := range c.keys {
			b.PutUInt32(k)
		}
	}
}

func (c *lowCard) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }

// text is String.
type text struct{ proto.ColStr }

func (c *text) append(n *notes, s string) { c.Append(n.valid(s)) }

type uuids struct{ proto.ColUUID }

func (c *uuids) append(n *notes, s string) { c.Append(n.id(s)) }

// times is DateTime64(9) in ns since 1970.
type times struct{ proto.ColInt64 }

func (c *times) append(_ *notes, v int64) { c.Append(v) }
func (c *times) Type() proto.ColumnType   { return "DateTime64(9, 'UTC')" }

// fixed is FixedString of a size.
type fixed struct {
	size int
	buf  []byte
}

func (c *fixed) append(b []byte) { c.buf = append(c.buf, b[:c.size]...) }
func (c *fixed) Type() proto.ColumnType {
	if c.size == 8 {
		return "FixedString(8)"
	}
	return "FixedString(16)"
}
func (c *fixed) Rows() int                    { return len(c.buf) / c.size }
func (c *fixed) Reset()                       { c.buf = c.buf[:0] }
func (c *fixed) EncodeColumn(b *proto.Buffer) { b.PutRaw(c.buf) }
func (c *fixed) WriteColumn(w *proto.Writer)  { w.ChainBuffer(c.EncodeColumn) }

// list is the offsets of an array or map column.
type list struct{ offsets proto.ColUInt64 }

func (l *list) Rows() int { return len(l.offsets) }

func items[T any](n *notes, v []T) []T {
	if len(v) > maxItems {
		n.truncated = true
		return v[:maxItems]
	}
	return v
}

type lowCardArray struct {
	list
	data lowCard
}

func (c *lowCardArray) append(n *notes, v []string) {
	for _, s := range items(n, v) {
		c.data.append(n, s)
	}
	c.offsets.Append(uint64(c.data.Rows()))
}

// extend adds items to the last row.
func (c *lowCardArray) extend(n *notes, v []string) {
	for _, s := range v {
		c.data.append(n, s)
	}
	c.offsets[len(c.offsets)-1] = uint64(c.data.Rows())
}

func (c *lowCardArray) Type() proto.ColumnType      { return "Array(LowCardinality(String))" }
func (c *lowCardArray) Reset()                      { c.offsets.Reset(); c.data.Reset() }
func (c *lowCardArray) EncodeState(b *proto.Buffer) { c.data.EncodeState(b) }
func (c *lowCardArray) EncodeColumn(b *proto.Buffer) {
	c.offsets.EncodeColumn(b)
	c.data.EncodeColumn(b)
}
func (c *lowCardArray) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }

type textArray struct {
	list
	data text
}

func (c *textArray) append(n *notes, v []string) {
	for _, s := range items(n, v) {
		c.data.append(n, s)
	}
	c.offsets.Append(uint64(c.data.Rows()))
}

func (c *textArray) Type() proto.ColumnType       { return "Array(String)" }
func (c *textArray) Reset()                       { c.offsets.Reset(); c.data.Reset() }
func (c *textArray) EncodeColumn(b *proto.Buffer) { c.offsets.EncodeColumn(b); c.data.EncodeColumn(b) }
func (c *textArray) WriteColumn(w *proto.Writer)  { w.ChainBuffer(c.EncodeColumn) }

type uuidArray struct {
	list
	data uuids
}

func (c *uuidArray) append(n *notes, v []string) {
	for _, s := range items(n, v) {
		c.data.append(n, s)
	}
	c.offsets.Append(uint64(c.data.Rows()))
}

func (c *uuidArray) Type() proto.ColumnType       { return "Array(UUID)" }
func (c *uuidArray) Reset()                       { c.offsets.Reset(); c.data.Reset() }
func (c *uuidArray) EncodeColumn(b *proto.Buffer) { c.offsets.EncodeColumn(b); c.data.EncodeColumn(b) }
func (c *uuidArray) WriteColumn(w *proto.Writer)  { w.ChainBuffer(c.EncodeColumn) }

// labels and scores are maps. Their items are written in key order, so that equal batches are equal blocks.
type labels struct {
	list
	keys    lowCard
	values  text
	scratch []string
}

func (c *labels) append(n *notes, m map[string]string) {
	if len(m) > 0 {
		c.scratch = sortedKeys(c.scratch, m)
		for _, k := range items(n, c.scratch) {
			c.keys.append(n, k)
			c.values.append(n, m[k])
		}
	}
	c.offsets.Append(uint64(c.keys.Rows()))
}

func (c *labels) Type() proto.ColumnType { return "Map(LowCardinality(String), String)" }
func (c *labels) Reset() {
	c.offsets.Reset()
	c.keys.Reset()
	c.values.Reset()
	clear(c.scratch[:cap(c.scratch)])
}
func (c *labels) EncodeState(b *proto.Buffer) { c.keys.EncodeState(b) }
func (c *labels) EncodeColumn(b *proto.Buffer) {
	c.offsets.EncodeColumn(b)
	c.keys.EncodeColumn(b)
	c.values.EncodeColumn(b)
}
func (c *labels) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }

type scores struct {
	list
	keys    lowCard
	values  proto.ColFloat64
	scratch []string
}

func (c *scores) append(n *notes, m map[string]float64) {
	if len(m) > 0 {
		c.scratch = sortedKeys(c.scratch, m)
		for _, k := range items(n, c.scratch) {
			c.keys.append(n, k)
			c.values.Append(n.finite(m[k]))
		}
	}
	c.offsets.Append(uint64(c.keys.Rows()))
}

func (c *scores) Type() proto.ColumnType { return "Map(LowCardinality(String), Float64)" }
func (c *scores) Reset() {
	c.offsets.Reset()
	c.keys.Reset()
	c.values.Reset()
	clear(c.scratch[:cap(c.scratch)])
}
func (c *scores) EncodeState(b *proto.Buffer) { c.keys.EncodeState(b) }
func (c *scores) EncodeColumn(b *proto.Buffer) {
	c.offsets.EncodeColumn(b)
	c.keys.EncodeColumn(b)
	c.values.EncodeColumn(b)
}
func (c *scores) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }

func sortedKeys[V any](dst []string, m map[string]V) []string {
	dst = dst[:0]
	for k := range m {
		dst = append(dst, k)
	}
	slices.Sort(dst)
	return dst
}
