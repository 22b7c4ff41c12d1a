package streams_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/plog"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// batch makes n records with bodies of size bytes.
func batch(first, n, size int) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", "h")
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	p := event.TapPrefix("tap", 1)
	for i := range n {
		lr := lrs.AppendEmpty()
		lr.SetEventName(event.NameRequest)
		lr.SetTimestamp(1)
		lr.Attributes().PutStr(event.AttrID, p.ID(int64(first+i)))
		lr.Body().SetStr(strings.Repeat("x", size))
	}
	return ld
}

func TestEncodeDecode(t *testing.T) {
	ld := batch(1, 100, 1000)
	b, err := streams.Encode(ld)
	if err != nil {
		t.Fatal(err)
	}
	got, err := streams.Decode(b, streams.EncodingZstd)
	if err != nil {
		t.Fatal(err)
	}
	var m plog.ProtoMarshaler
	want, _ := m.MarshalLogs(ld)
	have, _ := m.MarshalLogs(got)
	if !bytes.Equal(want, have) {
		t.Fatal("the batch changed")
	}
	if _, err := streams.Decode(want, ""); err != nil {
		t.Fatalf("plain body: %v", err)
	}
	if again, _ := streams.Encode(ld); !bytes.Equal(again, b) {
		t.Fatal("encoding is not deterministic")
	}
}

func zstdOf(b []byte) []byte {
	e, _ := zstd.NewWriter(nil)
	defer e.Close()
	return e.EncodeAll(b, nil)
}

// nested makes a body value of depth lists in each other.
func nested(depth int) []byte {
	var v []byte
	for range depth {
		v = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), v) // ArrayValue.values
		v = protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), v) // AnyValue.array_value
	}
	for _, f := range []protowire.Number{5, 2, 2, 1} { // body, log_records, scope_logs, resource_logs
		v = protowire.AppendBytes(protowire.AppendTag(nil, f, protowire.BytesType), v)
	}
	return v
}

func TestDecodeBreakage(t *testing.T) {
	good, _ := streams.Encode(batch(1, 10, 100))
	const secret = "planted-secret"
	flip := bytes.Clone(good)
	flip[len(flip)/2] ^= 0x40
	for name, c := range map[string]struct {
		data     []byte
		encoding string
		want     error
	}{
		"not zstd":         {[]byte(secret), streams.EncodingZstd, streams.ErrCorrupt},
		"truncated":        {good[:len(good)/2], streams.EncodingZstd, streams.ErrCorrupt},
		"flipped bit":      {flip, streams.EncodingZstd, streams.ErrCorrupt},
		"not protobuf":     {zstdOf([]byte(secret)), streams.EncodingZstd, streams.ErrCorrupt},
		"unknown encoding": {good, secret, streams.ErrCorrupt},
		"bomb":             {zstdOf(make([]byte, streams.MaxDecoded+1)), streams.EncodingZstd, streams.ErrTooLarge},
		"large and plain":  {make([]byte, streams.MaxDecoded+1), "", streams.ErrTooLarge},
		"deep":             {nested(10_000), "", streams.ErrCorrupt},
		"many elements":    {bytes.Repeat([]byte{0x0a, 0x00}, 3<<20), "", streams.ErrCorrupt},
		"group":            {[]byte{0x0b, 0x0c}, "", streams.ErrCorrupt},
	} {
		_, err := streams.Decode(c.data, c.encoding)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error quotes the input", name)
		}
	}
	if _, err := streams.Decode(nested(30), ""); err != nil {
		t.Errorf("depth 30: %v", err)
	}
	if _, err := streams.Encode(batch(1, 1, streams.MaxDecoded)); !errors.Is(err, streams.ErrTooLarge) {
		t.Errorf("encoding too much: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	good, _ := streams.Encode(batch(1, 3, 10))
	f.Add(good, streams.EncodingZstd)
	f.Add(nested(3), "")
	f.Add([]byte{}, "")
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd}, streams.EncodingZstd)
	f.Fuzz(func(t *testing.T, data []byte, encoding string) {
		ld, err := streams.Decode(data, encoding)
		if err != nil {
			return
		}
		// What can be read can be written and read again, and gets an id.
		b, err := streams.Encode(ld)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := streams.Decode(b, streams.EncodingZstd); err != nil {
			t.Fatal(err)
		}
		if id := streams.IngestID(ld); len(id) != 22 {
			t.Fatalf("id %q", id)
		}
	})
}

func FuzzParseOrigin(f *testing.F) {
	f.Add("EVENTS:7")
	f.Add(":")
	f.Add("A:99999999999999999999")
	f.Fuzz(func(t *testing.T, s string) {
		stream, seq, err := streams.ParseOrigin(s)
		if err != nil {
			return
		}
		a, b, err := streams.ParseOrigin(streams.FormatOrigin(stream, seq))
		if err != nil || a != stream || b != seq {
			t.Fatalf("%q does not round-trip", s)
		}
	})
}

func TestIDs(t *testing.T) {
	o := streams.Origin{Stream: streams.Raw, First: 7, Last: 7, ID: "abc"}
	ids := map[string]string{}
	f := func(what, id string) {
		t.Helper()
		for other, x := range ids {
			if x == id {
				t.Errorf("%s and %s have one id", what, other)
			}
		}
		ids[what] = id
	}
	f("ingest", streams.IngestID(batch(1, 10, 10)))
	f("other events", streams.IngestID(batch(2, 10, 10)))
	f("fewer events", streams.IngestID(batch(1, 9, 10)))
	f("same ids, other bodies", streams.IngestID(batch(1, 10, 11)))
	f("derived", streams.DerivedID(o, batch(1, 10, 10)))
	f("derived from another message", streams.DerivedID(streams.Origin{Stream: streams.Raw, First: 7, Last: 7, ID: "abd"}, batch(1, 10, 10)))
	f("derived, part", streams.DerivedID(o, batch(1, 5, 10)))
	f("derived, other part", streams.DerivedID(o, batch(6, 5, 10)))
	f("no id", streams.DerivedID(streams.Origin{Stream: streams.Raw, First: 7, Last: 7}, batch(1, 10, 10)))
	f("combined", streams.DerivedID(streams.Origin{Stream: streams.Raw, First: 7, Last: 8}, batch(1, 10, 10)))

	same := func(what, a, b string) {
		t.Helper()
		if a != b {
			t.Errorf("%s: the ids differ", what)
		}
	}
	same("retry", streams.IngestID(batch(1, 10, 10)), ids["ingest"])
	same("redaction changed", streams.DerivedID(o, batch(1, 10, 99)), ids["derived"])
	moved := o
	moved.First, moved.Last, moved.Redelivered = 9, 9, true
	same("the sender's retry got another sequence", streams.DerivedID(moved, batch(1, 10, 10)), ids["derived"])

	// Records without ids are told apart by what they hold.
	bare := func(body, attr string) string {
		ld := plog.NewLogs()
		lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.Body().SetStr(body)
		lr.Attributes().PutStr("a", attr)
		return streams.DerivedID(o, ld)
	}
	f("bare 1", bare("x", "y"))
	f("bare 2", bare("x", "z"))
	f("bare 3", bare("z", "y"))
	f("bare 4", bare("xy", ""))
}
