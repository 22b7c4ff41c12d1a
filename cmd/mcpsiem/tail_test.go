package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// behind is a replica that knows messages up to a number, while the stream's leader knows all.
type behind struct {
	jetstream.Stream
	upTo uint64
}

func (b *behind) GetMsg(ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	m, err := b.Stream.GetMsg(ctx, seq, opts...)
	if err == nil && m.Sequence > b.upTo {
		return nil, jetstream.ErrMsgNotFound
	}
	return m, err
}

func TestTailMissesNothing(t *testing.T) {
	js := natsdtest.New(t).JS()
	ctx := context.Background()
	spec, _ := streams.DefaultSpec(streams.Events)
	if _, err := streams.Ensure(ctx, js, spec); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		ld := plog.NewLogs()
		ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetEventName(string(rune('a' + i)))
		b, err := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(ctx, streams.SubjectEvents, b); err != nil {
			t.Fatal(err)
		}
	}
	f, err := follow(ctx, js, streams.Events, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{1, 3, 4} { // the middle of the range among them
		if err := f.stream.DeleteMsg(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	if f, err = follow(ctx, js, streams.Events, time.Hour); err != nil {
		t.Fatal(err)
	}
	replica := &behind{f.stream, 2}
	f.stream = replica
	var got []string
	for range 12 {
		ld, ok, err := f.next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !ok { // the replica catches up by one message each time that nothing is there
			replica.upTo++
			continue
		}
		got = append(got, ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).EventName())
	}
	if want := []string{"b", "e", "f"}; !slices.Equal(got, want) {
		t.Errorf("saw %v, want %v", got, want)
	}
}

func TestForeignTextIsPlain(t *testing.T) {
	const hostile = "a\x1b[2Jb\x9b\u202e\u2028c\x00\r\xffé\n\td"
	if got, want := plain(hostile), "a�[2Jb���c���é��d"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var b strings.Builder
	if err := copyPlain(&b, iotest.OneByteReader(strings.NewReader(hostile))); err != nil {
		t.Fatal(err)
	}
	if want := "a�[2Jb���c���é\n\td"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
