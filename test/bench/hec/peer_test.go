package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/ackextension"
	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/splunkhecreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/mcpsiem/mcpsiem/exporters/splunkhec"
)

// peer is contrib's HEC receiver with its acknowledgements: an implementation of HEC that is not ours.
type peer struct {
	mu  sync.Mutex
	ids map[string]int
	one plog.LogRecord // the last record
	res map[string]any // the attributes of its resource
}

type host struct {
	component.Host
	ext map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.ext }

func (p *peer) consume(_ context.Context, ld plog.Logs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				id, _ := lr.Body().Map().Get("event_id")
				p.ids[id.Str()]++
				p.one, p.res = plog.NewLogRecord(), rl.Resource().Attributes().AsRaw()
				lr.CopyTo(p.one)
			}
		}
	}
	return nil
}

func startPeer(t *testing.T, ack bool) (*peer, string) {
	t.Helper()
	ctx := context.Background()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p := &peer{ids: map[string]int{}}
	conf := map[string]any{"endpoint": addr}
	h := host{componenttest.NewNopHost(), map[component.ID]component.Component{}}
	if ack {
		f := ackextension.NewFactory()
		ext, err := f.Create(ctx, extensiontest.NewNopSettings(f.Type()), f.CreateDefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if err := ext.Start(ctx, h); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ext.Shutdown(ctx) })
		h.ext[component.NewID(f.Type())] = ext
		conf["ack"] = map[string]any{"extension": f.Type().String()}
	}
	f := splunkhecreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(conf).Unmarshal(&cfg); err != nil {
		t.Fatal(err)
	}
	next, err := consumer.NewLogs(p.consume)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.CreateLogs(ctx, receivertest.NewNopSettings(f.Type()), cfg, next)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(ctx, h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Shutdown(ctx) })
	return p, "http://" + addr
}

func TestContribReceiver(t *testing.T) {
	f := func(name string, ack bool, conf map[string]any) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			p, url := startPeer(t, ack)
			token := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
				t.Fatal(err)
			}
			fac := splunkhec.NewFactory()
			cfg := fac.CreateDefaultConfig()
			all := map[string]any{"endpoint": url, "token": map[string]any{"file": token}, "index": "mcp", "ack": map[string]any{"timeout": "20s"}, "health_check": map[string]any{"required": true}}
			for k, v := range conf {
				all[k] = v
			}
			if err := confmap.NewFromStringMap(all).Unmarshal(&cfg); err != nil {
				t.Fatal(err)
			}
			exp, err := fac.CreateLogs(ctx, exportertest.NewNopSettings(fac.Type()), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := exp.Start(ctx, componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
			defer exp.Shutdown(ctx)
			const n = 5
			start := time.Now()
			for i := range n {
				if err := exp.ConsumeLogs(ctx, makeBatch(i)); err != nil {
					t.Fatal(err)
				}
			}
			if d := time.Since(start); ack && d < n*90*time.Millisecond {
				t.Errorf("%v for %d batches: acknowledgements were not asked for", d, n)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.ids) != n*batchSize {
				t.Fatalf("%d events, want %d", len(p.ids), n*batchSize)
			}
			for id, k := range p.ids {
				if k != 1 {
					t.Errorf("event %s is there %d times", id, k)
				}
			}
			if got := fmt.Sprint(p.res["com.splunk.index"], " ", p.res["com.splunk.sourcetype"]); got != "mcp mcpsiem:event" {
				t.Errorf("envelope %v", p.res)
			}
			if p.one.Timestamp() < 1_800_000_000_000_000_000 {
				t.Errorf("time %d", p.one.Timestamp())
			}
			m, _ := p.one.Body().Map().Get("message")
			if v, ok := m.Map().Get("method"); !ok || v.Str() != "tools/call" {
				t.Errorf("message %v", m.AsRaw())
			}
			if v, ok := p.one.Attributes().Get("mcp_tenant"); !ok || v.Str() != "acme" {
				t.Errorf("indexed fields %v", p.one.Attributes().AsRaw())
			}
		})
	}
	f("gzip", false, nil)
	f("plain", false, map[string]any{"compression": "none"})
	f("acknowledged", true, nil)
	f("acknowledged, small requests", true, map[string]any{"max_content_length": 65536, "max_event_bytes": 32768})
}
