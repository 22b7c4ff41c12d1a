// The receiver's life: connection, consumer, workers, shutdown.

package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const (
	fetchWait    = time.Second // of one pull request; also what shutdown waits for at most when idle
	setupTimeout = 15 * time.Second
	setupRetry   = time.Second
	lagInterval  = 10 * time.Second
)

// jsReceiver reads one stream through one durable consumer. Each worker fetches for itself only what it works on at once: a message
// that waited in a buffer would age, and break the order when an earlier one is redelivered.
type jsReceiver struct {
	cfg  *Config
	set  receiver.Settings
	next consumer.Logs
	obs  *receiverhelper.ObsReport
	tel  *telemetry

	health  health
	nc      *nats.Conn
	js      jetstream.JetStream
	beat    *heartbeat
	circuit *circuit

	fetching context.Context // ends when shutdown begins
	working  context.Context // ends when shutdown has waited long enough; context of ConsumeLogs
	stop     context.CancelFunc
	abort    context.CancelFunc
	workers  sync.WaitGroup
	helpers  sync.WaitGroup

	part *partition // nil: the receiver has the stream to itself

	mu   sync.Mutex
	cons jetstream.Consumer // guarded by mu; nil: has to be looked up or made
}

func newReceiver(set receiver.Settings, cfg *Config, next consumer.Logs) (*jsReceiver, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "nats", ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	tel, err := newTelemetry(set.MeterProvider, cfg.Stream, cfg.Durable)
	if err != nil {
		return nil, err
	}
	r := &jsReceiver{cfg: cfg, set: set, next: next, obs: obs, tel: tel, beat: newHeartbeat()}
	r.circuit = &circuit{cfg: cfg.Circuit,
		opened: func(pause time.Duration) {
			r.health.bad(causePipeline, errors.New("the pipeline takes no data; fetching is paused"))
			set.Logger.Warn("The pipeline takes no data; fetching is paused", zap.Duration("pause", pause))
		},
		closed: func() { r.health.good(causePipeline) },
	}
	return r, nil
}

func (r *jsReceiver) Start(ctx context.Context, host component.Host) error {
	r.health.host = host
	nc, err := r.cfg.NATS.Connect(ctx, "mcpsiem "+r.set.ID.String(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				r.health.bad(causeConnection, errors.New("connection to NATS lost"))
			}
		}),
		nats.ConnectHandler(func(*nats.Conn) { r.health.good(causeConnection) }), // the first time, if that was not during Start
		nats.ReconnectHandler(func(*nats.Conn) { r.health.good(causeConnection) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			r.set.Logger.Warn("NATS reports an error", zap.Error(err))
		}))
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return fmt.Errorf("cannot use JetStream: %w", err)
	}
	r.nc, r.js = nc, js
	if nc.IsConnected() {
		var api *jetstream.APIError
		if _, err := r.consumer(ctx); errors.As(err, &api) { // a wrong configuration is best seen at once
			nc.Close()
			return err
		}
	} else {
		r.health.bad(causeConnection, errors.New("NATS is not reachable yet"))
		r.set.Logger.Warn("NATS is not reachable yet", zap.String("url", r.cfg.NATS.URL))
	}
	r.fetching, r.stop = context.WithCancel(context.Background())
	r.working, r.abort = context.WithCancel(context.Background())
	for range r.cfg.Workers {
		r.workers.Add(1)
		go func() { defer r.workers.Done(); r.work() }()
	}
	// Messages in hand are kept alive until the last worker is done.
	r.helpers.Add(2)
	go func() { defer r.helpers.Done(); r.beat.run(r.working, r.cfg.AckWait/3) }()
	go func() { defer r.helpers.Done(); r.watchLag() }()
	return nil
}

func (r *jsReceiver) Shutdown(ctx context.Context) error {
	if r.stop == nil {
		return nil
	}
	r.stop()
	done := make(chan struct{})
	go func() { r.workers.Wait(); close(done) }()
	timer := time.NewTimer(r.cfg.ShutdownTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
	case <-timer.C:
	}
	r.abort()
	select {
	case <-done:
	case <-time.After(r.cfg.ShutdownTimeout):
		// What it holds will be redelivered.
		err = errors.New("cannot stop the jetstream receiver cleanly: the pipeline did not return a batch")
	}
	r.helpers.Wait()
	if r.nc.IsConnected() {
		_ = r.nc.FlushTimeout(2 * time.Second) // naks are sent without an answer
	}
	r.nc.Close()
	return err
}

// consumer returns the durable consumer, after making it and the streams it needs if they are not known to be there.
func (r *jsReceiver) consumer(ctx context.Context) (jetstream.Consumer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cons != nil {
		return r.cons, nil
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if err := r.ensureStreams(ctx); err != nil {
		return nil, err
	}
	cons, err := r.ensureConsumer(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot set up consumer %s of stream %s: %w", r.cfg.Durable, r.cfg.Stream, err)
	}
	r.cons = cons
	r.health.good(causeSetup)
	return cons, nil
}

func (r *jsReceiver) ensureStreams(ctx context.Context) error {
	if r.cfg.CreateStream {
		spec, ok := streams.DefaultSpec(r.cfg.Stream)
		if !ok {
			spec = streams.Spec{Name: r.cfg.Stream, Subjects: r.cfg.FilterSubjects, MaxBytes: 1 << 30, Duplicates: streams.DefaultDuplicates}
		}
		if _, err := streams.EnsureExists(ctx, r.js, spec); err != nil {
			return err
		}
	}
	dead, _ := streams.DefaultSpec(streams.Dead)
	if _, err := streams.EnsureExists(ctx, r.js, dead); err != nil {
		return err
	}
	if r.cfg.Stream != streams.Raw {
		return nil
	}
	kept, _ := streams.DefaultSpec(streams.RawDead)
	kept.MaxAge, kept.MaxBytes = r.cfg.Quarantine.MaxAge, r.cfg.Quarantine.MaxBytes
	_, err := streams.Ensure(ctx, r.js, kept)
	return err
}

func (r *jsReceiver) ensureConsumer(ctx context.Context) (jetstream.Consumer, error) {
	old, err := r.js.Consumer(ctx, r.cfg.Stream, r.cfg.Durable)
	if err == nil {
		c := old.CachedInfo().Config
		r.apply(&c)
		return r.js.UpdateConsumer(ctx, r.cfg.Stream, c)
	}
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, err
	}
	c := jetstream.ConsumerConfig{Durable: r.cfg.Durable, ReplayPolicy: jetstream.ReplayInstantPolicy}
	switch start, err := r.successor(ctx); {
	case err != nil:
		return nil, err
	case start > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, start
	case r.cfg.Deliver == deliverNew:
		c.DeliverPolicy = jetstream.DeliverNewPolicy
	case r.cfg.Deliver == deliverStartTime:
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.cfg.StartTime
	default:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	r.apply(&c)
	return r.js.CreateOrUpdateConsumer(ctx, r.cfg.Stream, c)
}

// apply sets what may change between runs.
func (r *jsReceiver) apply(c *jetstream.ConsumerConfig) {
	c.AckPolicy = jetstream.AckExplicitPolicy
	c.AckWait = r.cfg.AckWait
	c.MaxDeliver = -1 // giving up is our business
	c.MaxAckPending = r.cfg.maxAckPending()
	c.FilterSubject, c.FilterSubjects = "", r.cfg.filters()
	if r.part != nil {
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{pinGroup}, r.part.lease
	}
}

// forget makes the next fetch look the consumer up anew.
func (r *jsReceiver) forget(cons jetstream.Consumer) {
	r.mu.Lock()
	if r.cons == cons {
		r.cons = nil
	}
	r.mu.Unlock()
}

// watchLag keeps the gauges of what the consumer has before it.
func (r *jsReceiver) watchLag() {
	for {
		r.mu.Lock()
		cons := r.cons
		r.mu.Unlock()
		if cons != nil && r.nc.IsConnected() {
			ctx, cancel := context.WithTimeout(r.fetching, setupTimeout)
			if info, err := r.js.Consumer(ctx, r.cfg.Stream, r.cfg.Durable); err == nil {
				i := info.CachedInfo()
				r.tel.lag(int64(i.NumPending), int64(i.NumAckPending))
			}
			cancel()
		}
		sleep(r.fetching, lagInterval)
		if r.fetching.Err() != nil {
			return
		}
	}
}
