// Package parquet is the exporter that writes records into Parquet files, each record in one file however often its message comes.
package parquet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	pq "github.com/parquet-go/parquet-go"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type parquetExporter struct {
	cfg              *Config
	log              *zap.Logger
	tel              *sink.Telemetry
	filter           *sink.Filter
	events, findings *table
	lock             *os.File
	say              *sink.Complaints
}

func newExporter(set exporter.Settings, cfg *Config) (*parquetExporter, error) {
	filter, err := cfg.Route.Compile()
	if err != nil {
		return nil, err
	}
	tel, err := sink.NewTelemetry(set.MeterProvider, set.ID.String())
	if err != nil {
		return nil, err
	}
	e := &parquetExporter{cfg: cfg, log: set.Logger, tel: tel, filter: filter}
	e.events, e.findings, err = newTables(cfg.Message)
	return e, err
}

func (e *parquetExporter) start(_ context.Context, host component.Host) error {
	e.say = sink.NewComplaints(e.log, host, "The folder of Parquet files")
	if err := os.MkdirAll(e.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot start the parquet exporter: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(e.cfg.Dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot start the parquet exporter: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return fmt.Errorf("cannot start the parquet exporter: another process writes into %s", e.cfg.Dir)
	}
	e.lock = lock
	if err := sweep(e.cfg.Dir); err != nil {
		return fmt.Errorf("cannot start the parquet exporter: %w", err)
	}
	return nil
}

func (e *parquetExporter) shutdown(context.Context) error {
	if e.lock == nil {
		return nil
	}
	return e.lock.Close()
}

// group is what of a batch belongs into one file.
type group struct {
	seqs []uint64 // of each row
	rows []pq.Row
}

// consume returns nil when every record of the batch is in a file on disk.
func (e *parquetExporter) consume(ctx context.Context, ld plog.Logs) error {
	groups := map[place]*group{}
	var order []place
	for rec := range sink.NewReader(e.filter, e.tel).Read(ctx, ld) {
		p := place{table: e.events, tenant: rec.Tenant(), hour: rec.Time() / int64(time.Hour)}
		if rec.Finding != nil {
			p.table = e.findings
		}
		g := groups[p]
		if g == nil {
			g = &group{}
			groups[p] = g
			order = append(order, p)
		}
		g.seqs = append(g.seqs, sequenceOf(ctx, rec))
		g.rows = append(g.rows, p.table.row(rec))
	}
	var errs []error
	for _, p := range order {
		if err := e.file(ctx, p, groups[p]); err != nil {
			errs = append(errs, streams.WithReason(fmt.Errorf("cannot write a Parquet file: %w", err), "file_error"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		e.say.Fails(err)
		return err
	}
	e.say.Works()
	return nil
}

// sequenceOf is the place in the stream of the record's message.
func sequenceOf(ctx context.Context, rec *sink.Record) uint64 {
	if v, ok := rec.Resource.Attributes().Get(event.AttrStreamSeq); ok && v.Int() > 0 {
		return uint64(v.Int())
	}
	o, _ := streams.OriginFrom(ctx)
	return o.First
}

// file writes what is not in a file yet.
func (e *parquetExporter) file(ctx context.Context, p place, g *group) error {
	folder := p.path(e.cfg.Dir)
	seqs := slices.Clone(g.seqs)
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	there, err := covered(folder, seqs)
	if err != nil {
		return err
	}
	rows := g.rows
	if len(there) > 0 {
		rows = nil
		for i, r := range g.rows {
			if !there[g.seqs[i]] {
				rows = append(rows, r)
			}
		}
		e.tel.Skipped(ctx, len(g.rows)-len(rows))
		seqs = slices.DeleteFunc(seqs, func(s uint64) bool { return there[s] })
		if len(rows) == 0 {
			return nil
		}
	}
	begin := time.Now()
	size, err := write(folder, p.table, seqs, rows)
	outcome := "ok"
	if err != nil {
		outcome = "file_error"
	}
	e.tel.Request(ctx, int(size), int(size), time.Since(begin), outcome)
	if err == nil {
		e.tel.Delivered(ctx, len(rows), true)
	}
	return err
}
