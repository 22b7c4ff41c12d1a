package triage

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/expr-lang/expr/vm"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"

	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/triage"
)

// triageProcessor judges findings by the rules of a file that it follows.
type triageProcessor struct {
	cfg   *Config
	set   processor.Settings
	tel   *telemetry
	rules atomic.Pointer[triage.Rules]
	pool  sync.Pool // of *vm.VM

	stop context.CancelFunc
	done sync.WaitGroup
}

func newProcessor(cfg *Config, set processor.Settings) (*triageProcessor, error) {
	tel, err := newTelemetry(set.MeterProvider)
	if err != nil {
		return nil, fmt.Errorf("cannot make metrics of triage: %w", err)
	}
	return &triageProcessor{cfg: cfg, set: set, tel: tel, pool: sync.Pool{New: func() any { return new(vm.VM) }}}, nil
}

func (p *triageProcessor) start(ctx context.Context, _ component.Host) error {
	w, err := newWatch(ctx, p)
	if err != nil {
		return err
	}
	w.look()
	run, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.done.Go(func() { w.run(run) })
	return nil
}

func (p *triageProcessor) shutdown(context.Context) error {
	if p.stop != nil {
		p.stop()
		p.done.Wait()
	}
	return nil
}

// process marks the findings that the rules in force cover. A batch is judged by one set of rules.
func (p *triageProcessor) process(ctx context.Context, ld plog.Logs) (plog.Logs, error) {
	rules := p.rules.Load()
	machine := p.pool.Get().(*vm.VM)
	defer p.pool.Put(machine)
	var f finding.Finding
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if lr.EventName() != finding.EventName {
					continue
				}
				finding.Decode(rl.Resource(), lr, &f)
				if f.Revision != 0 || f.Status != string(triage.Open) {
					continue
				}
				v, ok := rules.Judge(&f, machine)
				if !ok {
					p.tel.judged(ctx, "open")
					continue
				}
				p.tel.judged(ctx, v.Kind)
				a := lr.Attributes()
				a.PutStr(finding.AttrStatus, string(triage.Accepted))
				a.PutStr(finding.AttrTriagedBy, v.By)
				a.PutStr(finding.AttrTriageNote, v.Note)
			}
		}
	}
	return ld, nil
}
