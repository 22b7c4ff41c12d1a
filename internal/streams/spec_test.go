package streams_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func ensure(t *testing.T, js jetstream.JetStream, names ...string) {
	t.Helper()
	for _, n := range names {
		spec, ok := streams.DefaultSpec(n)
		if !ok {
			t.Fatalf("no spec for %s", n)
		}
		if _, err := streams.Ensure(context.Background(), js, spec); err != nil {
			t.Fatal(err)
		}
	}
}

var all = []string{streams.Raw, streams.Events, streams.Findings, streams.Dead, streams.RawDead}

func TestEnsure(t *testing.T) {
	js := natsdtest.New(t).JS()
	ctx := context.Background()
	ensure(t, js, all...)
	ensure(t, js, all...) // changes nothing
	for _, n := range all {
		st, err := js.Stream(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		c := st.CachedInfo().Config
		if c.Discard != jetstream.DiscardNew || c.MaxBytes <= 0 || c.Storage != jetstream.FileStorage || c.Duplicates < 2*time.Hour || c.Replicas != 1 {
			t.Errorf("%s: %+v", n, c)
		}
		if (c.Retention == jetstream.WorkQueuePolicy) != (n == streams.Raw) {
			t.Errorf("%s: retention %s", n, c.Retention)
		}
	}

	spec, _ := streams.DefaultSpec(streams.Events)
	spec.MaxAge, spec.MaxBytes = time.Hour, 1<<20
	st, err := streams.Ensure(ctx, js, spec)
	if err != nil {
		t.Fatal(err)
	}
	if c := st.CachedInfo().Config; c.MaxAge != time.Hour || c.MaxBytes != 1<<20 || c.Duplicates != time.Hour {
		t.Errorf("not updated: %+v", c)
	}
	// A reader leaves the writer's limits alone.
	def, _ := streams.DefaultSpec(streams.Events)
	if st, err = streams.EnsureExists(ctx, js, def); err != nil || st.CachedInfo().Config.MaxAge != time.Hour {
		t.Errorf("EnsureExists changed the stream: %v", err)
	}
	// Lowering the cap below what is there would drop the oldest messages.
	for range 8 {
		if _, err := js.Publish(ctx, streams.SubjectEvents, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	spec.MaxBytes = 20_000
	if _, err := streams.Ensure(ctx, js, spec); err == nil || !strings.Contains(err.Error(), "cannot lower max_bytes") {
		t.Errorf("got %v", err)
	}
	if st, _ := js.Stream(ctx, streams.Events); st.CachedInfo().State.Msgs != 8 {
		t.Error("messages were dropped")
	}
	spec.WorkQueue = true
	if _, err := streams.Ensure(ctx, js, spec); err == nil || !strings.Contains(err.Error(), "retention") {
		t.Errorf("got %v", err)
	}
}

func TestFullStreamRefuses(t *testing.T) {
	js := natsdtest.New(t).JS()
	ctx := context.Background()
	for _, n := range all {
		spec, _ := streams.DefaultSpec(n)
		spec.MaxBytes = 50_000
		if _, err := streams.Ensure(ctx, js, spec); err != nil {
			t.Fatal(err)
		}
		subject := streams.SubjectOf(n)
		switch n {
		case streams.Dead:
			subject += ".EVENTS.x"
		case streams.RawDead:
			subject += ".x"
		}
		var err error
		sent := uint64(0)
		for ; err == nil && sent < 100; sent++ {
			_, err = js.Publish(ctx, subject, make([]byte, 10_000))
		}
		st, _ := js.Stream(ctx, n)
		if s := st.CachedInfo().State; err == nil || s.FirstSeq != 1 || s.Msgs != sent-1 || s.Msgs == 0 {
			t.Errorf("%s: %d sent, state %+v, err %v", n, sent, s, err)
		}
	}
}

func TestTrim(t *testing.T) {
	js := natsdtest.New(t).JS()
	ctx := context.Background()
	spec, _ := streams.DefaultSpec(streams.Events)
	spec.MaxBytes = 200_000
	if _, err := streams.Ensure(ctx, js, spec); err != nil {
		t.Fatal(err)
	}
	state := func() jetstream.StreamState {
		st, err := js.Stream(ctx, streams.Events)
		if err != nil {
			t.Fatal(err)
		}
		return st.CachedInfo().State
	}
	trim := func() uint64 {
		n, err := streams.Trim(ctx, js, streams.Events, 0.8, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	consumer := func(name string) jetstream.Consumer {
		c, err := js.CreateConsumer(ctx, streams.Events, jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy,
			FilterSubjects: streams.Filters(streams.SubjectEvents, name)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	read := func(c jetstream.Consumer, n int) {
		b, err := c.Fetch(n, jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for m := range b.Messages() {
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != n {
			t.Fatalf("read %d of %d", got, n)
		}
	}
	for range 17 {
		if _, err := js.Publish(ctx, streams.SubjectEvents, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	if trim() != 0 {
		t.Fatal("trimmed although nobody has read")
	}
	a, b := consumer("a"), consumer("b")
	read(a, 17)
	read(b, 3)
	if n := trim(); n != 3 || state().FirstSeq != 4 {
		t.Fatalf("trimmed %d to %d; the slowest consumer has read 3", n, state().FirstSeq)
	}
	for range 3 {
		if _, err := js.Publish(ctx, streams.SubjectEvents, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	// A message for b alone must not keep a back for ever, nor be lost to b.
	if _, err := js.Publish(ctx, streams.ReplaySubject(streams.SubjectEvents, "b"), make([]byte, 10_000)); err != nil {
		t.Fatal(err)
	}
	read(a, 3)
	read(b, 14)
	n := trim()
	if s := state(); n == 0 || s.Bytes > 110_000 || s.Bytes < 80_000 {
		t.Fatalf("trimmed %d, %d bytes left, want about 100000", n, s.Bytes)
	}
	read(b, 4)
	if trim() != 0 {
		t.Fatal("trimmed a stream that is not full")
	}
}

func TestDeadLetterAndReplay(t *testing.T) {
	js := natsdtest.New(t).JS()
	ctx := context.Background()
	ensure(t, js, all...)
	f := func(stream string) {
		t.Helper()
		base := streams.SubjectOf(stream)
		durable := func(name string) jetstream.Consumer {
			c, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy,
				FilterSubjects: streams.Filters(base, name)})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		sink := durable("sink")
		body, _ := streams.Encode(batch(1, 5, 10))
		msg := &nats.Msg{Subject: base, Data: body, Header: nats.Header{}}
		msg.Header.Set(streams.HeaderCount, "5")
		msg.Header.Set(streams.HeaderEncoding, streams.EncodingZstd)
		if _, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID("original-"+stream)); err != nil {
			t.Fatal(err)
		}
		m, err := sink.Next()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // repeated, as after a crash between the letter and the end of the message
			if err := streams.PutDead(ctx, js, m, "sink", "bad thing"); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Term(); err != nil {
			t.Fatal(err)
		}
		var letters []streams.DeadLetter
		for d, err := range streams.DeadLetters(ctx, js, 0) {
			if err != nil {
				t.Fatal(err)
			}
			letters = append(letters, d)
		}
		if len(letters) != 1 {
			t.Fatalf("%s: %d letters", stream, len(letters))
		}
		d := letters[0]
		if d.Stream != stream || d.Sink != "sink" || d.Reason != "bad_thing" || d.Count != 5 || d.ID != "original-"+stream {
			t.Errorf("%s: %+v", stream, d)
		}
		if stream == streams.Raw && (d.Size != 0 || d.KeptSeq == 0) {
			t.Errorf("unredacted content in DEAD: %+v", d)
		}
		if shown, err := streams.ShowDead(ctx, js, d.Seq); err != nil || shown != d {
			t.Errorf("%s: shown %+v, %v", stream, shown, err)
		}
		kept, enc, err := streams.Body(ctx, js, d.Seq)
		if err != nil || string(kept) != string(body) || enc != streams.EncodingZstd {
			t.Errorf("%s: the body was not kept: %v", stream, err)
		}

		var other jetstream.Consumer
		if stream != streams.Raw { // a work queue has one consumer
			other = durable("other")
			o, err := other.Next()
			if err != nil {
				t.Fatal(err)
			}
			o.DoubleAck(ctx)
		}
		if _, err := streams.Replay(ctx, js, d.Seq); err != nil {
			t.Fatal(err)
		}
		again, err := sink.Next(jetstream.FetchMaxWait(2 * time.Second))
		if err != nil {
			t.Fatalf("%s: the sink does not get the replay: %v", stream, err)
		}
		if string(again.Data()) != string(body) || again.Headers().Get(streams.HeaderReplayOf) != streams.FormatOrigin(streams.Dead, d.Seq) ||
			again.Headers().Get(streams.HeaderSink) != "sink" {
			t.Errorf("%s: replayed as %v", stream, again.Headers())
		}
		again.DoubleAck(ctx)
		if other != nil {
			if _, err := other.Next(jetstream.FetchMaxWait(200 * time.Millisecond)); err == nil {
				t.Errorf("%s: another sink got the replay", stream)
			}
		}
		for range streams.DeadLetters(ctx, js, 0) {
			t.Errorf("%s: the letter is still there", stream)
		}
		if stream == streams.Raw {
			st, _ := js.Stream(ctx, streams.RawDead)
			if st.CachedInfo().State.Msgs != 0 {
				t.Error("the unredacted body is still there")
			}
		}
		if _, err := streams.Replay(ctx, js, d.Seq); err == nil {
			t.Errorf("%s: replayed what is gone", stream)
		}
	}
	f(streams.Events)
	f(streams.Findings)
	f(streams.Raw)
}

func TestReplayOfExpiredBody(t *testing.T) {
	js := natsdtest.New(t).JS()
	ctx := context.Background()
	ensure(t, js, all...)
	m := &nats.Msg{Subject: streams.SubjectDead + ".RAW.enrich", Header: nats.Header{}}
	m.Header.Set(streams.HeaderOrigin, "RAW:1")
	m.Header.Set(streams.HeaderSink, "enrich")
	m.Header.Set(streams.HeaderKept, "RAWDEAD:7")
	ack, err := js.PublishMsg(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := streams.Replay(ctx, js, ack.Sequence); !errors.Is(err, streams.ErrGone) {
		t.Fatalf("got %v", err)
	}
	if err := streams.DropDead(ctx, js, ack.Sequence); err != nil {
		t.Fatal(err)
	}
}
