package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Rig is an exporter at work. It ends with the test, and fails it if Content or a secret was in a log or an error.
type Rig struct {
	Exporter exporter.Logs
	Logs     *observer.ObservedLogs

	t       testing.TB
	secrets []string
	seq     uint64
}

// Start starts an exporter.
func Start(t testing.TB, f exporter.Factory, cfg component.Config, secrets ...string) *Rig {
	t.Helper()
	r := &Rig{t: t, secrets: secrets}
	set := exportertest.NewNopSettings(f.Type())
	core, logs := observer.New(zap.DebugLevel)
	set.Logger, r.Logs = zap.New(core), logs
	var err error
	if r.Exporter, err = f.CreateLogs(context.Background(), set, cfg); err != nil {
		t.Fatal(err)
	}
	if err := r.Exporter.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Exporter.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		for _, l := range logs.All() {
			Clean(t, l.Message+fmt.Sprint(l.ContextMap()), secrets...)
		}
	})
	return r
}

// Clean fails if Content or a secret is in text.
func Clean(t testing.TB, text string, secrets ...string) {
	t.Helper()
	for _, s := range append(secrets, Content) {
		if strings.Contains(text, s) {
			t.Errorf("%q is in %q", s, text)
		}
	}
}

// Send delivers a batch as a message of EVENTS; redelivered as a second delivery of one.
func (r *Rig) Send(ld plog.Logs, redelivered bool) error {
	r.t.Helper()
	r.seq++
	ctx := streams.WithOrigin(context.Background(), streams.Origin{Stream: streams.Events, Durable: "rig", First: r.seq, Last: r.seq, Redelivered: redelivered})
	err := r.Exporter.ConsumeLogs(ctx, ld)
	if err != nil {
		Clean(r.t, err.Error()+streams.Reason(err), r.secrets...)
	}
	return err
}

// Each is what a sink has of the events 0 to n-1, times each.
func Each(n, times int) map[string]int {
	out := map[string]int{}
	for i := range n {
		out[ID(i)] = times
	}
	return out
}

// Exactly checks how often a sink has each record.
func Exactly(t testing.TB, got, want map[string]int) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	t.Errorf("%d different records, want %d", len(got), len(want))
	keys := slices.Collect(maps.Keys(got))
	for k := range want {
		if _, ok := got[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if got[k] != want[k] {
			t.Errorf("%q is there %d times, want %d", k, got[k], want[k])
		}
	}
}

// Refused are the ids of the records that an error carries to the dead letters.
func Refused(t testing.TB, err error) []string {
	t.Helper()
	var rest consumererror.Logs
	if !streams.Permanent(err) || !errors.As(err, &rest) {
		t.Fatalf("%v is not permanent with its records", err)
	}
	return Keys(rest.Data())
}

// Keys are the keys of the records of a batch.
func Keys(ld plog.Logs) (out []string) {
	f, _ := (&sink.Route{}).Compile()
	for rec := range sink.NewReader(f, nil).Read(context.Background(), ld) {
		out = append(out, rec.Key())
	}
	return out
}
