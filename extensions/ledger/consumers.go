// How far every consumer of the streams is, written down every few seconds: what "lag" on a dashboard is made of.

package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// watched are the streams whose consumers are observed.
var watched = []string{streams.Raw, streams.Events, streams.Findings}

// sighting is one consumer at one moment: a row of the table consumers.
type sighting struct {
	stream, durable                                         string
	at                                                      time.Time
	pending, ackPending, redelivered, ackFloor, last, bytes uint64
	lag                                                     time.Duration
}

// observe looks at all consumers every l.cfg.Observe. It is best effort: one look that fails leaves a hole in a graph.
func (l *ledger) observe(ctx context.Context) {
	out := &table{cfg: &l.cfg.ClickHouse}
	defer out.close()
	tick := time.NewTicker(l.cfg.Observe)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if !l.nc.IsConnected() {
				continue
			}
			c, cancel := context.WithTimeout(ctx, insertTimeout)
			rows, err := look(c, l.js, now)
			if err == nil && len(rows) > 0 {
				err = out.insertSightings(c, rows)
			}
			cancel()
			if err != nil && ctx.Err() == nil {
				l.set.Logger.Debug("Cannot note how far the consumers are", zap.Error(err))
			}
		}
	}
}

// look reads where all consumers are.
func look(ctx context.Context, js jetstream.JetStream, now time.Time) (rows []sighting, err error) {
	for _, name := range watched {
		st, err := js.Stream(ctx, name)
		if err == jetstream.ErrStreamNotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look up stream %s: %w", name, err)
		}
		state := st.CachedInfo().State
		ages := map[uint64]time.Duration{} // by sequence: consumers often wait for the same message
		list := st.ListConsumers(ctx)
		for c := range list.Info() {
			if c.Config.Durable == "" {
				continue
			}
			s := sighting{
				stream: name, durable: c.Name, at: now, pending: c.NumPending, ackPending: uint64(c.NumAckPending), redelivered: uint64(c.NumRedelivered),
				ackFloor: c.AckFloor.Stream, last: state.LastSeq, bytes: state.Bytes,
			}
			if s.pending+s.ackPending > 0 {
				next := max(s.ackFloor+1, state.FirstSeq)
				age, known := ages[next]
				if !known {
					// It may be gone in the meantime, or be a replay for another consumer: then the lag is not known to be above 0.
					if m, err := st.GetMsg(ctx, next); err == nil {
						age = max(now.Sub(m.Time), 0)
					}
					ages[next] = age
				}
				s.lag = age
			}
			rows = append(rows, s)
		}
		if err := list.Err(); err != nil {
			return nil, fmt.Errorf("cannot list the consumers of stream %s: %w", name, err)
		}
	}
	return rows, nil
}

func (t *table) insertSightings(ctx context.Context, rows []sighting) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	err := func() error {
		b, err := t.conn.PrepareBatch(ctx, "INSERT INTO `"+t.cfg.Database+"`.consumers (stream, durable, observed_at, pending, ack_pending, redelivered, ack_floor, last_seq, stream_bytes, lag_seconds)")
		if err != nil {
			return err
		}
		defer b.Close()
		for _, r := range rows {
			if err := b.Append(r.stream, r.durable, r.at, r.pending, r.ackPending, r.redelivered, r.ackFloor, r.last, r.bytes, r.lag.Seconds()); err != nil {
				return err
			}
		}
		return b.Send()
	}()
	if err != nil {
		t.close()
		return fmt.Errorf("cannot write consumers: %w", err)
	}
	return nil
}
