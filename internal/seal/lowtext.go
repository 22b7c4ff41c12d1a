// Texts of few different values, read without making a string for each row.

package seal

import "github.com/ClickHouse/ch-go/proto"

// lowText is a column of type LowCardinality(String). Members of the canonical form, with comma and name, are made once for each entry of a block's dictionary.
type lowText struct {
	proto.ColLowCardinalityRaw
	dict  proto.ColStr
	keys  []uint32 // of the rows
	name  string   // with quotes and colon, after a comma
	forms []byte   // members, one after the other
	ends  []uint32 // of the entries' members; that of an empty text is empty
	texts []string // of the entries, made when asked for

	damaged bool // a row points beyond the dictionary: nothing of the block can be read
}

func newLowText(name string) *lowText {
	c := &lowText{name: "," + name}
	c.Index = &c.dict
	return c
}

// begin takes over a block that was decoded.
func (c *lowText) begin() bool {
	c.damaged = false
	c.keys, c.forms, c.ends, c.texts = c.keys[:0], c.forms[:0], c.ends[:0], c.texts[:0]
	for i := range c.dict.Rows() {
		if b := c.dict.RowBytes(i); len(b) > 0 {
			c.forms = appendString(append(c.forms, c.name...), string(b))
		}
		c.ends = append(c.ends, uint32(len(c.forms)))
	}
	switch c.Key {
	case proto.KeyUInt8:
		c.keys = widen(c.keys, c.Keys8)
	case proto.KeyUInt16:
		c.keys = widen(c.keys, c.Keys16)
	case proto.KeyUInt32:
		c.keys = widen(c.keys, c.Keys32)
	default:
		c.keys = widen(c.keys, c.Keys64)
	}
	for _, k := range c.keys {
		if int(k) >= len(c.ends) {
			c.damaged = true
			c.keys = c.keys[:0]
			break
		}
	}
	return len(c.forms) > 0
}

func widen[T uint8 | uint16 | uint32 | uint64](dst []uint32, keys []T) []uint32 {
	for _, k := range keys {
		dst = append(dst, uint32(k))
	}
	return dst
}

// form is the canonical form of a row's text, empty where that is empty.
func (c *lowText) form(row int) []byte {
	m := c.member(row)
	return m[min(len(c.name), len(m)):]
}

// member is the form after a comma and the name, empty where the text is.
func (c *lowText) member(row int) []byte {
	k := c.keys[row]
	from := uint32(0)
	if k > 0 {
		from = c.ends[k-1]
	}
	return c.forms[from:c.ends[k]]
}

// text is a row's text.
func (c *lowText) text(row int) string {
	if len(c.texts) == 0 {
		for i := range c.dict.Rows() {
			c.texts = append(c.texts, c.dict.Row(i))
		}
	}
	return c.texts[c.keys[row]]
}
