// Package reconcile compares what a sink holds with what the store has, and gives a sink again what is in the stream still.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Span is a part of a stream, by the time at which the stream took a message. A zero To is now.
type Span struct {
	Stream   string
	From, To time.Time
}

// Totals of a part of a stream.
type Totals struct {
	Messages uint64 `json:"messages"` // batches
	Records  uint64 `json:"records"`
	First    uint64 `json:"first_seq"` // 0: none
	Last     uint64 `json:"last_seq"`
}

const (
	fetchSize = 64
	fetchWait = 10 * time.Second
	// ahead is how many replayed messages a sink's consumer may have before it: the stream is not filled with copies that nobody takes yet.
	ahead = 256
)

// Count says how much a span holds, from the messages' headers. The connection must be one that may make consumers (the pipeline's).
func Count(ctx context.Context, js jetstream.JetStream, s Span) (t Totals, err error) {
	err = walk(ctx, js, s, true, func(m jetstream.Msg, seq uint64) error {
		t.Messages++
		n, _ := strconv.ParseUint(m.Headers().Get(streams.HeaderCount), 10, 32)
		t.Records += n
		if t.First == 0 {
			t.First = seq
		}
		t.Last = seq
		return nil
	})
	return t, err
}

// walk calls f for each message of a span that was published for all: no replays.
func walk(ctx context.Context, js jetstream.JetStream, s Span, headersOnly bool, f func(jetstream.Msg, uint64) error) error {
	from, to := s.From, s.To
	if to.IsZero() {
		to = time.Now()
	}
	c := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from, HeadersOnly: headersOnly,
		FilterSubject: streams.SubjectOf(s.Stream), InactiveThreshold: time.Minute, MemoryStorage: true,
	}
	cons, err := js.CreateConsumer(ctx, s.Stream, c)
	if err != nil {
		return fmt.Errorf("cannot read stream %s: %w", s.Stream, err)
	}
	info := cons.CachedInfo()
	defer func() { _ = js.DeleteConsumer(context.WithoutCancel(ctx), s.Stream, info.Name) }()
	left := info.NumPending
	for left > 0 {
		batch, err := cons.Fetch(int(min(left, fetchSize)), jetstream.FetchMaxWait(fetchWait))
		if err != nil {
			return fmt.Errorf("cannot read stream %s: %w", s.Stream, err)
		}
		got := false
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return fmt.Errorf("cannot read a message's place in stream %s: %w", s.Stream, err)
			}
			got, left = true, meta.NumPending
			if !meta.Timestamp.Before(to) {
				return nil
			}
			if err := f(m, meta.Sequence.Stream); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil {
			return fmt.Errorf("cannot read stream %s: %w", s.Stream, err)
		}
		if !got {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("cannot read stream %s: %d messages did not come within %s", s.Stream, left, fetchWait)
		}
	}
	return nil
}

// Run is one replay: repeating it with the same ID within the stream's duplicate window sends nothing twice.
type Run struct {
	ID       string
	Durable  string                // the sink's consumer, which alone gets the messages
	Progress func(Totals)          // after each message; may be nil
	Keep     func(key string) bool // nil: whole messages; else only records whose Key it takes
}

// Replay sends the messages of a span to one consumer again, and returns what was sent. It waits while the consumer has many of them before
// it. Messages that the stream no longer holds cannot be sent.
func (r Run) Replay(ctx context.Context, js jetstream.JetStream, s Span) (sent Totals, err error) {
	if _, err := js.Consumer(ctx, s.Stream, r.Durable); err != nil {
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return sent, fmt.Errorf("cannot replay: stream %s has no consumer %s; is the sink running?", s.Stream, r.Durable)
		}
		return sent, fmt.Errorf("cannot look up consumer %s of stream %s: %w", r.Durable, s.Stream, err)
	}
	err = walk(ctx, js, s, false, func(m jetstream.Msg, seq uint64) error {
		body, n := m.Data(), uint64(0)
		encoding := m.Headers().Get(streams.HeaderEncoding)
		if r.Keep != nil {
			if body, n, err = r.part(body, encoding); err != nil {
				return fmt.Errorf("cannot replay message %d of %s: %w", seq, s.Stream, err)
			}
			if n == 0 {
				return nil
			}
			encoding = streams.EncodingZstd
		} else {
			n, _ = strconv.ParseUint(m.Headers().Get(streams.HeaderCount), 10, 32)
		}
		if sent.Messages%(ahead/4) == 0 {
			if err := r.wait(ctx, js, s.Stream); err != nil {
				return err
			}
		}
		msg := &nats.Msg{Subject: streams.ReplaySubject(streams.SubjectOf(s.Stream), r.Durable), Data: body, Header: nats.Header{}}
		for _, h := range []string{streams.HeaderSchema, streams.HeaderType, streams.HeaderOrigin} {
			if v := m.Headers().Get(h); v != "" {
				msg.Header.Set(h, v)
			}
		}
		if encoding != "" {
			msg.Header.Set(streams.HeaderEncoding, encoding)
		}
		msg.Header.Set(streams.HeaderCount, strconv.FormatUint(n, 10))
		msg.Header.Set(streams.HeaderSink, r.Durable)
		msg.Header.Set(streams.HeaderReplayOf, streams.FormatOrigin(s.Stream, seq))
		if _, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID(fmt.Sprintf("again-%s-%s-%d", r.ID, r.Durable, seq)), jetstream.WithExpectStream(s.Stream)); err != nil {
			return fmt.Errorf("cannot replay message %d of %s (%d were sent; repeat with the time of this one): %w", seq, s.Stream, sent.Messages, err)
		}
		sent.Messages++
		sent.Records += n
		if sent.First == 0 {
			sent.First = seq
		}
		sent.Last = seq
		if r.Progress != nil {
			r.Progress(sent)
		}
		return nil
	})
	return sent, err
}

// part is the body with only the records that Keep takes.
func (r Run) part(body []byte, encoding string) ([]byte, uint64, error) {
	ld, err := streams.Decode(body, encoding)
	if err != nil {
		return nil, 0, err
	}
	var n uint64
	ld.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		rl.ScopeLogs().RemoveIf(func(sl plog.ScopeLogs) bool {
			sl.LogRecords().RemoveIf(func(lr plog.LogRecord) bool { return !r.Keep(keyOf(lr)) })
			n += uint64(sl.LogRecords().Len())
			return sl.LogRecords().Len() == 0
		})
		return rl.ScopeLogs().Len() == 0
	})
	if n == 0 {
		return nil, 0, nil
	}
	body, err = streams.Encode(ld)
	return body, n, err
}

// keyOf is sink.Record.Key of a log record.
func keyOf(lr plog.LogRecord) string {
	if lr.EventName() != finding.EventName {
		v, _ := lr.Attributes().Get(event.AttrID)
		return v.AsString()
	}
	var f finding.Finding
	if v, ok := lr.Attributes().Get(finding.AttrID); ok {
		f.ID = v.AsString()
	}
	if v, ok := lr.Attributes().Get(finding.AttrRevision); ok {
		f.Revision = v.Int()
	}
	return sink.FindingKey(&f)
}

// wait returns when the consumer has few messages before it.
func (r Run) wait(ctx context.Context, js jetstream.JetStream, stream string) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		c, err := js.Consumer(ctx, stream, r.Durable)
		if err != nil {
			return fmt.Errorf("cannot look up consumer %s of stream %s: %w", r.Durable, stream, err)
		}
		if i := c.CachedInfo(); i.NumPending+uint64(i.NumAckPending) < ahead {
			return nil
		}
		if err := sink.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}
