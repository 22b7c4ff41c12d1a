package clickhouse

import (
	"bytes"
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Every field of the schemas that is stored has a column, under its name and type.
func TestColumnsCoverSchemas(t *testing.T) {
	f := func(in proto.Input, column, chType string) {
		t.Helper()
		for _, c := range in {
			if c.Name == column {
				if got := string(c.Data.Type()); got != chType && got != "DateTime64(9, 'UTC')" {
					t.Errorf("%s is sent as %s, the schema says %s", column, got, chType)
				}
				return
			}
		}
		if chType != "-" {
			t.Errorf("%s is not sent", column)
		}
	}
	for _, x := range event.Schema {
		f(newEventBlock().in, x.Column, x.ClickHouse)
	}
	for _, x := range finding.Schema {
		f(newFindingBlock().in, x.Column, x.ClickHouse)
	}
}

func wire(t testing.TB, b block) []byte {
	var buf proto.Buffer
	if err := (&proto.Block{Columns: len(b.input()), Rows: b.rows()}).EncodeBlock(&buf, proto.Version, b.input()); err != nil {
		t.Fatal(err)
	}
	return buf.Buf
}

// A batch makes the same block and token each time, also in a block that held another before: that is what deduplication stands on.
func TestBlocksAreDeterministic(t *testing.T) {
	make := func(b *eventBlock) ([]byte, string) {
		g := newGenerator(5, time.Unix(1_790_000_000, 0))
		for range 300 {
			for _, e := range g.pair() {
				e.Labels = map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}
				b.append(&e, normalise(&e))
			}
		}
		return wire(t, b), token(b)
	}
	b := newEventBlock()
	one, tokenOne := make(b)
	b.reset()
	e := event.Event{Fields: event.Fields{Tool: "other", Labels: map[string]string{"x": "y"}}}
	b.append(&e, normalise(&e))
	if token(b) == tokenOne {
		t.Error("another block has the same token")
	}
	b.reset()
	two, tokenTwo := make(b)
	three, tokenThree := make(newEventBlock())
	if !bytes.Equal(one, two) || !bytes.Equal(one, three) || tokenOne != tokenTwo || tokenOne != tokenThree {
		t.Error("equal batches make different blocks")
	}
}

func FuzzEventBlock(f *testing.F) {
	f.Add("id", "tool", "{}", "k", int64(1), int64(2), 1.5)
	f.Add("\xff", string(bytes.Repeat([]byte("é"), 2000)), "\x00", "", int64(-1), int64(math.MinInt64), math.NaN())
	b := newEventBlock()
	tools := newToolBlock()
	f.Fuzz(func(t *testing.T, id, name, body, key string, at, n int64, x float64) {
		e := event.Event{Time: at, Received: n, Body: body, Name: name, Extra: map[string]string{key: name}, Fields: event.Fields{
			ID: id, ExchangeID: name, Tool: name, RequestID: name, PID: n, HTTPStatus: n, BodySize: n, DurationNanos: n, ExchangeStart: n, ExitCode: n, CostAmount: x,
			AuthScopes: []string{name, key}, Labels: map[string]string{key: body, name: id}, Signals: map[string]float64{key: x}, ToolDefs: []event.ToolDef{{Name: name, Hash: id, Tokens: n}},
		}}
		b.reset()
		tools.reset()
		b.append(&e, normalise(&e))
		tools.append(&e)
		if len(wire(t, b)) == 0 || b.rows() != 1 {
			t.Fatal("no row")
		}
		for _, c := range b.in {
			if c.Data.Rows() != 1 {
				t.Fatalf("%s has %d rows", c.Name, c.Data.Rows())
			}
		}
		for i := range b.Tool.dict.Rows() {
			if s := b.Tool.dict.Row(i); !utf8.ValidString(s) || len(s) > maxRepeating+3*maxRepeating {
				t.Fatalf("a repeating value of %d bytes", len(s))
			}
		}
		if ts := b.ts.ColInt64[0]; ts < 0 {
			t.Fatalf("time %d", ts)
		}
	})
}
