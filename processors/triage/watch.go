package triage

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/triage"
)

// watch follows the file of a processor and records its changes.
type watch struct {
	p       *triageProcessor
	file    *triage.File
	nc      *nats.Conn // nil: changes are not recorded
	js      jetstream.JetStream
	pending []audit.Record // to be written, oldest first
	failing bool           // the file could not be looked at the last time
	warned  time.Time
}

// maxPending bounds the records that wait for NATS; of more, the newest are kept.
const maxPending = 64

func newWatch(ctx context.Context, p *triageProcessor) (*watch, error) {
	w := &watch{p: p, file: triage.NewFile(p.cfg.File)}
	if !p.cfg.NATS.HasValue() {
		p.set.Logger.Info("Changes of the allow-list are not recorded in the audit trail: nats is not configured.")
		return w, nil
	}
	nc, err := p.cfg.NATS.Get().Connect(ctx, "mcpsiem "+p.set.ID.String())
	if err != nil {
		return nil, err
	}
	if w.js, err = jetstream.New(nc); err != nil {
		nc.Close()
		return nil, err
	}
	w.nc = nc
	return w, nil
}

func (w *watch) run(ctx context.Context) {
	t := time.NewTicker(w.p.cfg.Interval)
	defer t.Stop()
	if w.nc != nil {
		defer w.nc.Close()
	}
	for {
		w.write(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		w.look()
	}
}

// look brings the rules up to the file.
func (w *watch) look() {
	seen, changed, err := w.file.Look()
	log := w.p.set.Logger
	switch {
	case changed && err != nil:
		log.Error("The allow-list cannot be used; the rules before it stay in force.", zap.Error(err))
		w.p.tel.loaded("error")
		w.record(audit.RulesRefused, seen, map[string]string{"error": err.Error()})
	case changed:
		w.p.rules.Store(seen.Rules)
		w.p.tel.loaded("ok")
		allow, windows := len(seen.Rules.Allow), len(seen.Rules.Maintenance)
		log.Info("The allow-list is in force.", zap.Int("allow", allow), zap.Int("maintenance", windows), zap.String("version", seen.Rules.Version))
		w.record(audit.RulesChange, seen, map[string]string{"version": seen.Rules.Version, "allow": strconv.Itoa(allow), "maintenance": strconv.Itoa(windows)})
		w.warned = time.Time{}
	case err != nil && !w.failing:
		log.Error("The allow-list cannot be read; the rules before stay in force.", zap.Error(err))
	}
	w.failing = err != nil && !changed
	w.warn(time.Now())
}

// warn tells of entries that end soon, once a day.
func (w *watch) warn(now time.Time) {
	rules := w.p.rules.Load()
	list := rules.Expiring(now, w.p.cfg.WarnBefore)
	w.p.tel.sizes(rules, len(list))
	if now.Sub(w.warned) < 24*time.Hour {
		return
	}
	w.warned = now
	for _, e := range list {
		w.p.set.Logger.Warn("An entry of the allow-list ends soon; its findings will alert again.", zap.String("entry", e.ID), zap.String("owner", e.Owner), zap.Time("expires", e.Expires))
	}
}

// record of what became of a content of the file. A restart makes it with the same id and time.
func (w *watch) record(action audit.Action, seen triage.Seen, details map[string]string) {
	if w.nc == nil {
		return
	}
	host, _ := os.Hostname()
	r := audit.Record{
		Action: action, Target: "allow-list", Details: details, Time: seen.Time,
		Actor: audit.Actor{ID: "mcpsiem", Kind: "service", Issuer: host, Method: "internal", Verified: true},
	}
	r.Details["file"] = w.p.cfg.File
	if seen.Hash == "" { // the file is gone
		r.Time = time.Now()
	} else {
		r.ID = event.SourceID("triage", string(action), host, w.p.cfg.File, seen.Hash, strconv.FormatInt(seen.Time.UnixNano(), 10))
	}
	w.pending = append(w.pending, r)
	if n := len(w.pending) - maxPending; n > 0 {
		w.pending = w.pending[n:]
	}
}

// write puts pending records into the trail, as far as it can.
func (w *watch) write(ctx context.Context) {
	for len(w.pending) > 0 && w.nc != nil && w.nc.IsConnected() {
		c, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := audit.Write(c, w.js, w.pending[0])
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				w.p.set.Logger.Warn("A change of the allow-list is not recorded yet.", zap.Error(err))
			}
			return
		}
		w.pending = w.pending[1:]
	}
}
