// Package syslog is the exporter that gives events, findings and audit records to a syslog receiver: RFC 5424, CEF or JSON.
package syslog

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type syslogExporter struct {
	cfg     *Config
	log     *zap.Logger
	tel     *sink.Telemetry
	filter  *sink.Filter
	enc     *encoder
	done    *sink.Confirmed
	gate    sink.Gate
	say     *sink.Complaints
	tls     *tls.Config
	workers chan *worker
}

// worker has a connection of its own and works on one batch at a time.
type worker struct {
	reader  *sink.Reader
	conn    *conn
	message []byte
	frames  []byte
	ends    []int // of the messages in frames
}

func newExporter(set exporter.Settings, cfg *Config) (*syslogExporter, error) {
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	e := &syslogExporter{cfg: cfg, log: set.Logger, tel: tel, filter: filter, enc: newEncoder(cfg), done: sink.NewConfirmed(0), workers: make(chan *worker, cfg.Connections)}
	for range cfg.Connections {
		e.workers <- &worker{reader: sink.NewReader(filter, tel)}
	}
	return e, nil
}

func (e *syslogExporter) start(ctx context.Context, host component.Host) error {
	e.say = sink.NewComplaints(e.log, host, "The syslog server")
	if e.cfg.Network != "tls" {
		return nil
	}
	c := e.cfg.TLS
	if c == nil {
		c = &configtls.ClientConfig{}
	}
	t, err := c.LoadTLSConfig(ctx)
	if err != nil {
		return fmt.Errorf("cannot start the syslog exporter: %w", err)
	}
	if t == nil {
		t = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if t.ServerName == "" {
		t.ServerName, _, _ = net.SplitHostPort(e.cfg.Address)
	}
	e.tls = t
	return nil
}

func (e *syslogExporter) shutdown(context.Context) error {
	if e.say == nil {
		return nil
	}
	for range e.cfg.Connections {
		w := <-e.workers
		w.drop()
	}
	return nil
}

func (w *worker) drop() {
	if w.conn != nil {
		w.conn.close()
		w.conn = nil
	}
}

// flushAt is how many bytes are written, and confirmed, at once.
const flushAt = 256 << 10

// consume returns nil when the receiver's kernel has the batch, as far as syslog lets one know.
func (e *syslogExporter) consume(ctx context.Context, ld plog.Logs) error {
	var w *worker
	select {
	case w = <-e.workers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { e.workers <- w }()
	batch := e.done.Batch(ctx)
	var keys []string
	var failed error
	skipped := 0
	flush := func() {
		if len(keys) == 0 || failed != nil {
			return
		}
		if failed = e.send(ctx, w); failed == nil {
			e.tel.Delivered(ctx, len(keys), false)
			for _, k := range keys {
				batch.Add(k)
			}
		}
		keys, w.frames, w.ends = keys[:0], w.frames[:0], w.ends[:0]
	}
	w.frames, w.ends = w.frames[:0], w.ends[:0]
	for rec := range w.reader.Read(ctx, ld) {
		if failed != nil {
			continue
		}
		if batch.Has(rec) {
			skipped++
			continue
		}
		w.message = e.enc.message(w.message[:0], rec)
		if e.cfg.datagrams() {
			w.frames = append(w.frames, w.message...)
		} else {
			w.frames = frame(w.frames, e.cfg.Framing, w.message)
		}
		w.ends = append(w.ends, len(w.frames))
		if keys = append(keys, rec.Key()); len(w.frames) >= flushAt {
			flush()
		}
	}
	flush()
	e.tel.Skipped(ctx, skipped)
	if failed != nil {
		if ctx.Err() == nil {
			e.say.Fails(failed)
		}
		return batch.Failed(failed)
	}
	e.say.Works()
	batch.Done()
	return nil
}

func (e *syslogExporter) send(ctx context.Context, w *worker) error {
	return sink.Retry(ctx, e.cfg.Retry, &e.gate, e.tel, func(ctx context.Context) error {
		start := time.Now()
		err := e.try(ctx, w)
		outcome := "ok"
		if err != nil {
			w.drop()
			outcome = streams.Reason(err)
		}
		e.tel.Request(ctx, len(w.frames), len(w.frames), time.Since(start), outcome)
		return err
	})
}

func (e *syslogExporter) try(ctx context.Context, w *worker) (err error) {
	if w.conn != nil && w.conn.dead.Load() {
		w.drop()
	}
	if w.conn == nil {
		if w.conn, err = dial(ctx, e.cfg, e.tls.Clone()); err != nil {
			w.conn = nil
			return err
		}
	}
	if !e.cfg.datagrams() {
		return w.conn.write(ctx, w.frames, e.cfg.Timeout, e.cfg.Confirm)
	}
	from := 0
	for _, to := range w.ends {
		_ = w.conn.SetWriteDeadline(time.Now().Add(e.cfg.Timeout))
		if _, err := w.conn.Write(w.frames[from:to]); err != nil {
			return passing("write", err)
		}
		from = to
	}
	return nil
}
