package jetstream

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	jsexporter "github.com/mcpsiem/mcpsiem/exporters/jetstream"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// newRelay starts what stands between RAW and EVENTS: receiver, some work, exporter.
func newRelay(nc streams.NATSConfig, work func()) (stop func(), err error) {
	ctx := context.Background()
	ef := jsexporter.NewFactory()
	ecfg := ef.CreateDefaultConfig().(*jsexporter.Config)
	ecfg.NATS, ecfg.Stream = nc, streams.Events
	var exp exporter.Logs
	if exp, err = ef.CreateLogs(ctx, exportertest.NewNopSettings(ef.Type()), ecfg); err != nil {
		return nil, err
	}
	if err := exp.Start(ctx, componenttest.NewNopHost()); err != nil {
		return nil, err
	}
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		if err := exp.ConsumeLogs(ctx, ld); err != nil {
			return err
		}
		work() // published and not acknowledged: where a crash makes a repetition
		return nil
	})
	if err != nil {
		return nil, err
	}
	cfg := defaultConfig()
	cfg.NATS, cfg.Stream, cfg.Durable, cfg.Workers, cfg.AckWait = nc, streams.Raw, "enrich", 2, time.Second
	rec, err := NewFactory().CreateLogs(ctx, receivertest.NewNopSettings(Type), cfg, next)
	if err != nil {
		return nil, err
	}
	if err := rec.Start(ctx, componenttest.NewNopHost()); err != nil {
		return nil, err
	}
	return func() { rec.Shutdown(ctx); exp.Shutdown(ctx) }, nil
}

// relayChild runs the relay until it is killed.
func relayChild() {
	nc := streams.NewNATSConfig()
	nc.URL, nc.Username, nc.Password = os.Getenv("RELAY_TEST_CHILD"), natsdtest.User, configopaque.String(natsdtest.Password)
	if _, err := newRelay(nc, func() { time.Sleep(5 * time.Millisecond) }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

// Every batch of RAW arrives in EVENTS once, although the process between them is killed again and again, and although
// senders repeat batches.
func TestKilledRelay(t *testing.T) {
	s := natsdtest.New(t)
	js := s.JS()
	e := &env{t: t, s: s, js: js}
	e.ensure()
	const batches, records = 200, 5
	go func() {
		for i := range batches {
			b, err := streams.Encode(batch(records*i, records))
			if err != nil {
				return
			}
			for range 2 {
				m := &nats.Msg{Subject: streams.SubjectRaw, Data: b, Header: nats.Header{}}
				m.Header.Set(streams.HeaderCount, strconv.Itoa(records))
				m.Header.Set(streams.HeaderEncoding, streams.EncodingZstd)
				js.PublishMsg(context.Background(), m, natsjs.WithMsgID(fmt.Sprint("b", i)))
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	kills := 0
	for ; kills < 5; kills++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "RELAY_TEST_CHILD="+s.URL())
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	mid := e.state(streams.Events).Msgs
	stop, err := newRelay(s.NATS(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	eventually(t, "RAW empty", func() bool {
		return e.state(streams.Raw).Msgs == 0 && e.state(streams.Raw).LastSeq == batches && e.state(streams.Events).Msgs >= batches
	})
	seen := map[string]int{}
	st, _ := js.Stream(context.Background(), streams.Events)
	for seq := uint64(1); seq <= e.state(streams.Events).LastSeq; seq++ {
		m, err := st.GetMsg(context.Background(), seq)
		if err != nil {
			t.Fatal(err)
		}
		ld, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
		if err != nil {
			t.Fatal(err)
		}
		lrs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		for k := range lrs.Len() {
			v, _ := lrs.At(k).Attributes().Get(event.AttrID)
			seen[v.AsString()]++
		}
	}
	for i := range batches * records {
		if n := seen[strconv.Itoa(i)]; n != 1 {
			t.Errorf("record %d is there %d times", i, n)
		}
	}
	if len(seen) != batches*records || mid == 0 {
		t.Errorf("%d records, want %d; %d messages came through the killed processes", len(seen), batches*records, mid)
	}
	if n := len(e.letters()); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}
