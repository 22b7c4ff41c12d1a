package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// requestTimeout bounds one request to JetStream.
const requestTimeout = 10 * time.Second

// stream reads back a JetStream stream. It reads message by message: each is a batch of events, and no consumer is left behind
// by a process that dies.
type stream struct{ js jetstream.JetStream }

// Bounds implements engine.Source.
func (s *stream) Bounds(ctx context.Context, name, durable string) (engine.Bounds, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	st, err := s.js.Stream(ctx, name)
	if err != nil {
		return engine.Bounds{}, fmt.Errorf("cannot look up stream %s: %w", name, err)
	}
	info := st.CachedInfo()
	b := engine.Bounds{Created: info.Created.UnixNano(), First: info.State.FirstSeq, Last: info.State.LastSeq}
	if durable == "" {
		return b, nil
	}
	cons, err := st.Consumer(ctx, durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
	case err != nil:
		return engine.Bounds{}, fmt.Errorf("cannot look up consumer %s of stream %s: %w", durable, name, err)
	default:
		b.AckFloor = cons.CachedInfo().AckFloor.Stream
	}
	return b, nil
}

// Read implements engine.Source.
func (s *stream) Read(ctx context.Context, name, durable string, first, last uint64, f func(uint64, plog.Logs) error) error {
	st, err := s.open(ctx, name)
	if err != nil {
		return err
	}
	base := streams.SubjectOf(name)
	filters := streams.Filters(base, durable)
	for seq := first; seq <= last; seq++ {
		m, err := get(ctx, st, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read message %d of stream %s: %w", seq, name, err)
		}
		ld := plog.NewLogs()
		if base == "" || slices.Contains(filters, m.Subject) {
			if read, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding)); err == nil {
				ld = read // what cannot be read is a dead letter of the receiver
			}
		}
		if err := f(seq, ld); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) open(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	st, err := s.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("cannot look up stream %s: %w", name, err)
	}
	return st, nil
}

func get(ctx context.Context, st jetstream.Stream, seq uint64) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return st.GetMsg(ctx, seq)
}
