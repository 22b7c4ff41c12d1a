// The ledger's loop.

package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const (
	insertTimeout = 30 * time.Second
	apiTimeout    = 10 * time.Second
	maxBackoff    = 30 * time.Second
)

// counted are the streams in the order in which they are read. DEAD comes first: the pipeline fills it last.
var counted = []string{streams.Dead, streams.Events, streams.Findings}

// writer is where rows go.
type writer interface {
	insert(ctx context.Context, rows []row) error
	close()
}

type ledger struct {
	cfg  *Config
	set  extension.Settings
	out  writer
	rows metric.Int64Counter

	host component.Host
	nc   *nats.Conn
	js   jetstream.JetStream
	stop context.CancelFunc
	done sync.WaitGroup

	// Of the loop alone.
	consumers map[string]jetstream.Consumer
	rowsHeld  []row           // read and not written yet
	msgsHeld  []jetstream.Msg // theirs, to be acknowledged then
	sick      bool
}

func newLedger(set extension.Settings, cfg *Config) (*ledger, error) {
	rows, err := set.MeterProvider.Meter("github.com/mcpsiem/mcpsiem/extensions/ledger").Int64Counter("otelcol_extension_ledger_rows",
		metric.WithUnit("{row}"), metric.WithDescription("Rows written to the ledger, repetitions included."))
	if err != nil {
		return nil, err
	}
	return &ledger{cfg: cfg, set: set, out: &table{cfg: &cfg.ClickHouse}, rows: rows, consumers: make(map[string]jetstream.Consumer)}, nil
}

func (l *ledger) Start(ctx context.Context, host component.Host) error {
	l.host = host
	nc, err := l.cfg.NATS.Connect(ctx, "mcpsiem "+l.set.ID.String())
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return fmt.Errorf("cannot use JetStream: %w", err)
	}
	l.nc, l.js = nc, js
	run, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.done.Add(1)
	go func() { defer l.done.Done(); l.run(run) }()
	if l.cfg.Observe > 0 {
		l.done.Add(1)
		go func() { defer l.done.Done(); l.observe(run) }()
	}
	return nil
}

func (l *ledger) Shutdown(context.Context) error {
	if l.stop == nil {
		return nil
	}
	l.stop()
	l.done.Wait()
	l.out.close()
	l.nc.Close()
	return nil
}

func (l *ledger) run(ctx context.Context) {
	wait := l.cfg.Interval
	for {
		more, err := l.cycle(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !l.sick {
				l.sick = true
				componentstatus.ReportStatus(l.host, componentstatus.NewRecoverableErrorEvent(err))
				l.set.Logger.Warn("The ledger is behind; it goes on when it can", zap.Error(err))
			}
			wait = min(2*wait, max(maxBackoff, l.cfg.Interval))
		default:
			if l.sick {
				l.sick = false
				componentstatus.ReportStatus(l.host, componentstatus.NewEvent(componentstatus.StatusOK))
			}
			wait = l.cfg.Interval
		}
		if more {
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// cycle counts what is new, up to a batch a stream. It says whether there is likely more. After an error it tries the same rows again
// before it reads on: rows of one thing must not change places.
func (l *ledger) cycle(ctx context.Context) (more bool, err error) {
	if !l.nc.IsConnected() {
		return false, errors.New("no connection to NATS")
	}
	if len(l.msgsHeld) == 0 {
		for _, name := range counted {
			cons, err := l.consumer(ctx, name)
			if err != nil {
				return false, err
			}
			if cons == nil {
				continue
			}
			n, err := l.fetch(cons, name)
			if err != nil {
				delete(l.consumers, name)
				return false, fmt.Errorf("cannot read stream %s: %w", name, err)
			}
			more = more || n == l.cfg.MaxBatch
		}
	}
	if len(l.rowsHeld) > 0 {
		c, cancel := context.WithTimeout(ctx, insertTimeout)
		err := l.out.insert(c, l.rowsHeld)
		cancel()
		if err != nil {
			return false, err
		}
		l.rows.Add(ctx, int64(len(l.rowsHeld)))
		l.rowsHeld = nil
	}
	msgs := l.msgsHeld
	l.msgsHeld = nil // one that is not acknowledged comes again, as the same row
	for i, m := range msgs {
		if i < len(msgs)-1 {
			err = m.Ack()
		} else {
			// Also while it is being stopped: what is not acknowledged now waits for AckWait.
			c, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
			err = m.DoubleAck(c) // the server has seen the others by then
			cancel()
		}
		if err != nil {
			return false, fmt.Errorf("cannot acknowledge: %w", err)
		}
	}
	return more, nil
}

func (l *ledger) fetch(cons jetstream.Consumer, stream string) (n int, err error) {
	batch, err := cons.FetchNoWait(l.cfg.MaxBatch)
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			continue
		}
		n++
		l.msgsHeld = append(l.msgsHeld, m)
		if r, ok := rowOf(stream, meta.Sequence.Stream, m.Subject(), m.Headers(), meta.Timestamp); ok {
			l.rowsHeld = append(l.rowsHeld, r)
		}
	}
	if err := batch.Error(); err != nil && n == 0 {
		return 0, err
	}
	return n, nil
}

// consumer returns the durable consumer of a stream, nil if there is no such stream yet.
func (l *ledger) consumer(ctx context.Context, stream string) (jetstream.Consumer, error) {
	if c := l.consumers[stream]; c != nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	c, err := l.js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:       l.cfg.Durable,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       2 * insertTimeout,
		MaxDeliver:    -1,
		MaxAckPending: l.cfg.MaxBatch,
		HeadersOnly:   true,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot set up consumer %s of stream %s: %w", l.cfg.Durable, stream, err)
	}
	l.consumers[stream] = c
	return c, nil
}
