package seal

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"pgregory.net/rapid"
)

// A column of few texts reads as one of texts does, block after block with the same buffers.
func TestLowText(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }))
	rapid.Check(t, func(t *rapid.T) {
		c := newColumn(columnSpec{"tool", "LowCardinality(String)"})
		low := c.data.(*lowText)
		for range 3 {
			list := rapid.SliceOfN(text, 1, 400).Draw(t, "texts")
			in := new(proto.ColStr).LowCardinality()
			for _, s := range list {
				in.Append(s)
			}
			if err := in.Prepare(); err != nil {
				t.Fatal(err)
			}
			var buf proto.Buffer
			in.EncodeState(&buf)
			in.EncodeColumn(&buf)
			r := proto.NewReader(bytes.NewReader(buf.Buf))
			low.Reset()
			if err := low.DecodeState(r); err != nil {
				t.Fatal(err)
			}
			if err := low.DecodeColumn(r, len(list)); err != nil {
				t.Fatal(err)
			}
			some := c.begin()
			for i, s := range list {
				want := ""
				if s != "" {
					want = string(appendString(nil, s))
					if !some {
						t.Fatal("a block with a text counts as empty")
					}
				}
				if got := string(c.app(nil, i)); got != want || low.text(i) != s {
					t.Fatalf("row %d is %q, not %q", i, got, want)
				}
			}
		}
	})
}

// A row that points beyond the dictionary is an error, not a panic.
func TestLowTextDamaged(t *testing.T) {
	for _, key := range []proto.CardinalityKey{proto.KeyUInt8, proto.KeyUInt16, proto.KeyUInt32, proto.KeyUInt64} {
		t.Run(fmt.Sprint(key), func(t *testing.T) {
			d := &DB{}
			set, err := d.columnsOf(eventsTable)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range set.columns {
				if l, ok := c.data.(*lowText); ok {
					l.dict.Append("")
					l.Key = key
					l.AppendKey(0)
				}
			}
			if set.begin() == nil {
				t.Error("a good block counts as damaged")
			}
			set.tenant.AppendKey(7)
			if set.begin() != nil {
				t.Error("a damaged block is read")
			}
		})
	}
}
