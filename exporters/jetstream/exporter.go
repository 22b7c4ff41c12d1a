// Publishing batches and waiting for the stream's acknowledgements.

package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

const (
	window        = 64   // messages of one batch in flight
	maxInFlight   = 4096 // messages of all batches in flight
	headerReserve = 4096 // of the server's max_payload, for our headers and those of a dead letter
	setupTimeout  = 15 * time.Second
)

// jsExporter publishes to one stream. consume may be called concurrently between start and shutdown.
type jsExporter struct {
	cfg *Config
	set exporter.Settings
	tel *telemetry

	nc   *nats.Conn
	js   jetstream.JetStream
	host component.Host
	stop context.CancelFunc
	done sync.WaitGroup

	sick    atomic.Bool // an error was reported as status and no success since
	ready   atomic.Bool // the stream is known to be there
	setupMu sync.Mutex  // one setup at a time
}

func newExporter(set exporter.Settings, cfg *Config) (*jsExporter, error) {
	tel, err := newTelemetry(set.MeterProvider, cfg.Stream)
	if err != nil {
		return nil, err
	}
	return &jsExporter{cfg: cfg, set: set, tel: tel}, nil
}

func (e *jsExporter) start(ctx context.Context, host component.Host) error {
	e.host = host
	nc, err := e.cfg.NATS.Connect(ctx, "mcpsiem "+e.set.ID.String(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				return // closed by us
			}
			e.sicken(errors.New("connection to NATS lost"))
		}),
		nats.ConnectHandler(func(*nats.Conn) { e.recover() }), // the first time, if that was not during start
		nats.ReconnectHandler(func(*nats.Conn) { e.recover() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			e.set.Logger.Warn("NATS reports an error", zap.Error(err))
		}))
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(maxInFlight), jetstream.WithPublishAsyncTimeout(e.cfg.AckWait))
	if err != nil {
		nc.Close()
		return fmt.Errorf("cannot use JetStream: %w", err)
	}
	e.nc, e.js = nc, js
	if nc.IsConnected() {
		if err := e.setup(ctx); err != nil {
			// A wrong configuration is best seen at once; an absent server may come.
			var api *jetstream.APIError
			if errors.As(err, &api) || nc.IsConnected() && !errors.Is(err, context.DeadlineExceeded) {
				nc.Close()
				return err
			}
		}
	} else {
		e.sicken(errors.New("NATS is not reachable yet"))
		e.set.Logger.Warn("NATS is not reachable yet; batches are refused until it is", zap.String("url", e.cfg.NATS.URL))
	}
	run, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	if spec := e.cfg.spec(); spec.Trim && e.cfg.CreateStream && e.cfg.Trim.High > 0 {
		e.done.Add(1)
		go func() { defer e.done.Done(); e.trim(run) }()
	}
	return nil
}

func (e *jsExporter) shutdown(context.Context) error {
	if e.stop == nil { // never started
		return nil
	}
	e.stop()
	e.done.Wait()
	e.nc.Close()
	return nil
}

func (e *jsExporter) sicken(err error) {
	e.sick.Store(true)
	componentstatus.ReportStatus(e.host, componentstatus.NewRecoverableErrorEvent(err))
}

func (e *jsExporter) recover() {
	if e.sick.Swap(false) {
		componentstatus.ReportStatus(e.host, componentstatus.NewEvent(componentstatus.StatusOK))
	}
}

// setup makes the stream, or checks that it is there.
func (e *jsExporter) setup(ctx context.Context) error {
	e.setupMu.Lock()
	defer e.setupMu.Unlock()
	if e.ready.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if e.cfg.CreateStream {
		if _, err := streams.Ensure(ctx, e.js, e.cfg.spec()); err != nil {
			return err
		}
	} else if _, err := e.js.Stream(ctx, e.cfg.Stream); err != nil {
		return fmt.Errorf("cannot look up stream %s (create_stream is off): %w", e.cfg.Stream, err)
	}
	e.ready.Store(true)
	return nil
}

// shares says whether what the records of a batch have alike is written once. Whoever reads EVENTS decodes resource and record
// together; RAW is for processors, which look at records alone.
func (e *jsExporter) shares() bool { return e.cfg.Stream == streams.Events }

func (e *jsExporter) consume(ctx context.Context, ld plog.Logs) error {
	if ld.LogRecordCount() == 0 {
		return nil
	}
	if !e.nc.IsConnected() {
		return errors.New("cannot store the batch: no connection to NATS")
	}
	if !e.ready.Load() {
		if err := e.setup(ctx); err != nil {
			return fmt.Errorf("cannot store the batch: %w", err)
		}
	}
	if e.shares() {
		event.Hoist(ld)
	}
	limit := int(e.nc.MaxPayload()) - headerReserve
	var parts []part
	var tooLarge *plog.Logs
	var err error
	if e.cfg.Stream == streams.Findings {
		parts, tooLarge, err = splitEach(ld, limit)
	} else {
		parts, tooLarge, err = split(ld, min(e.cfg.MaxBatchBytes, limit), limit)
	}
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	origin, derived := streams.OriginFrom(ctx)
	failed, cause := e.publish(ctx, parts, origin, derived)
	switch {
	case cause == nil && tooLarge == nil:
		return nil
	case cause == nil:
		n := tooLarge.LogRecordCount()
		e.tel.refused(ctx, "too_large", 1)
		if n == ld.LogRecordCount() {
			return permanentTooBig(n)
		}
		return consumererror.NewLogs(permanentTooBig(n), *tooLarge)
	case len(failed) == len(parts) && tooLarge == nil:
		return cause
	}
	rest := plog.NewLogs()
	for _, p := range failed {
		for i := range p.ld.ResourceLogs().Len() {
			p.ld.ResourceLogs().At(i).CopyTo(rest.ResourceLogs().AppendEmpty())
		}
	}
	if tooLarge != nil {
		tooLarge.ResourceLogs().MoveAndAppendTo(rest.ResourceLogs())
	}
	return consumererror.NewLogs(cause, rest)
}

// publish sends all parts and waits for every acknowledgement. It returns the parts that the stream did not take, in order, and
// the reason: a retryable one if any part's is.
func (e *jsExporter) publish(ctx context.Context, parts []part, origin streams.Origin, derived bool) (failed []part, cause error) {
	futures := make([]jetstream.PubAckFuture, len(parts))
	errs := make([]error, len(parts))
	start := time.Now()
	timer := time.NewTimer(e.cfg.AckWait)
	defer timer.Stop()
	await := func(i int) {
		if futures[i] == nil {
			return
		}
		select {
		case ack := <-futures[i].Ok():
			e.tel.stored(ctx, len(parts[i].body), ack.Duplicate, time.Since(start))
			e.recover()
		case errs[i] = <-futures[i].Err():
		case <-ctx.Done():
			errs[i] = ctx.Err()
		case <-timer.C:
			timer.Reset(0) // the others have waited as long
			errs[i] = jetstream.ErrAsyncPublishTimeout
		}
		futures[i] = nil
	}
	for i := range parts {
		if i >= window {
			await(i - window)
		}
		futures[i], errs[i] = e.js.PublishMsgAsync(e.message(&parts[i], origin, derived), jetstream.WithExpectStream(e.cfg.Stream))
	}
	for i := range parts {
		await(i)
	}
	for i, err := range errs {
		if err == nil {
			continue
		}
		if full(err) {
			e.sicken(fmt.Errorf("stream %s is full", e.cfg.Stream))
		}
		failed = append(failed, parts[i])
		if gone(err) {
			e.ready.Store(false) // make it again at the next batch
		}
		if cause == nil || streams.Permanent(cause) {
			cause = e.explain(err)
		}
		e.tel.refused(ctx, refusal(err), 1)
	}
	return failed, cause
}

func (e *jsExporter) message(p *part, origin streams.Origin, derived bool) *nats.Msg {
	m := &nats.Msg{Subject: e.cfg.subject(), Data: p.body, Header: nats.Header{}}
	schema := event.SchemaVersion
	id := ""
	switch {
	case e.cfg.Stream == streams.Findings:
		schema = finding.SchemaVersion
		id = findingID(p.ld)
	case derived:
		id = streams.DerivedID(origin, p.ld)
	default:
		id = streams.IngestID(p.ld)
	}
	if derived {
		m.Header.Set(streams.HeaderOrigin, streams.FormatOrigin(origin.Stream, origin.First))
	}
	m.Header.Set(jetstream.MsgIDHeader, id)
	m.Header.Set(streams.HeaderCount, strconv.Itoa(p.count))
	m.Header.Set(streams.HeaderSchema, strconv.Itoa(schema))
	m.Header.Set(streams.HeaderEncoding, streams.EncodingZstd)
	m.Header.Set(streams.HeaderType, streams.ContentType)
	return m
}

// findingID is the id of the only record of ld, and a hash over it if a stranger made it without one.
func findingID(ld plog.Logs) string {
	lr := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	if v, ok := lr.Attributes().Get(finding.AttrID); ok {
		if s := v.AsString(); s != "" && len(s) <= 128 && streams.ValidName(s) == nil {
			return s
		}
	}
	return streams.IngestID(ld)
}

// trim makes room in a stream that is nearly full of what has been read.
func (e *jsExporter) trim(ctx context.Context) {
	t := time.NewTicker(e.cfg.Trim.Interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if !e.nc.IsConnected() || !e.ready.Load() {
			continue
		}
		c, cancel := context.WithTimeout(ctx, setupTimeout)
		n, err := streams.Trim(c, e.js, e.cfg.Stream, e.cfg.Trim.High, e.cfg.Trim.Low)
		cancel()
		if err != nil && ctx.Err() == nil {
			e.set.Logger.Warn("Cannot trim the stream", zap.Error(err))
		}
		if n > 0 {
			e.tel.trimmed(ctx, n)
			e.set.Logger.Info("Trimmed messages that every consumer has read", zap.String("stream", e.cfg.Stream), zap.Uint64("messages", n))
		}
	}
}
