package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	jsexporter "github.com/mcpsiem/mcpsiem/exporters/jetstream"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
	jsreceiver "github.com/mcpsiem/mcpsiem/receivers/jetstream"
)

// workerURL in the environment makes the test's binary a worker.
const workerURL = "MCPSIEM_TEST_WORKER"

// worker is a process of the detect role with partitions, until it is killed.
func worker(url string) error {
	ctx := context.Background()
	conn := map[string]any{"url": url, "username": natsdtest.User, "password": natsdtest.Password}
	host := componenttest.NewNopHost()

	ef := jsexporter.NewFactory()
	ec := ef.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"nats": conn, "stream": streams.Findings, "create_stream": false}).Unmarshal(ec); err != nil {
		return err
	}
	exp, err := ef.CreateLogs(ctx, exportertest.NewNopSettings(ef.Type()), ec)
	if err != nil {
		return err
	}
	if err := exp.Start(ctx, host); err != nil {
		return err
	}
	df := NewFactory()
	dc := df.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"nats": conn, "snapshot_bucket": "detect", "snapshot_interval": "1s"}).Unmarshal(dc); err != nil {
		return err
	}
	det, err := df.CreateLogsToLogs(ctx, connectortest.NewNopSettings(Type), dc, exp)
	if err != nil {
		return err
	}
	if err := det.Start(ctx, host); err != nil {
		return err
	}
	rf := jsreceiver.NewFactory()
	rc := rf.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"nats": conn, "stream": streams.Events, "durable": "detect", "create_stream": false, "ack_wait": "1s",
		"retry": map[string]any{"initial": "20ms", "max": "50ms"}, "partitions": map[string]any{"count": 4, "lease": "2s"}}).Unmarshal(rc); err != nil {
		return err
	}
	rec, err := rf.CreateLogs(ctx, receivertest.NewNopSettings(rf.Type()), rc, det)
	if err != nil {
		return err
	}
	if err := rec.Start(ctx, host); err != nil {
		return err
	}
	select {}
}

// traffic is batches of events of several servers and tenants whose tool definitions change, with gaps in the taps' numbering and error answers.
func traffic(seed uint64, n int) (out []plog.Logs) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	seq := map[string]int64{}
	at := int64(1_767_600_000e9)
	for range n {
		ld := plog.NewLogs()
		recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for range 1 + rnd.IntN(4) {
			at += rnd.Int64N(20e9)
			server := fmt.Sprint("server-", rnd.IntN(6))
			tap := "tap-" + server
			seq[tap] += 1 + int64(rnd.IntN(12)/11) // now and then one is missing
			var e event.Event
			e.Name, e.Kind, e.Method, e.Direction = event.NameResponse, event.KindResponse, "tools/list", event.ServerToClient
			e.Time, e.Received = at, at
			e.Tenant, e.Server, e.PrincipalID = fmt.Sprint("tenant-", rnd.IntN(2)), server, fmt.Sprint("user-", rnd.IntN(3))
			e.TapID, e.TapSeq = tap, seq[tap]
			e.ID = event.TapID(tap, 0, e.TapSeq)
			e.ToolDefs = []event.ToolDef{{Name: fmt.Sprint("tool-", rnd.IntN(3)), Hash: fmt.Sprint(rnd.IntN(3))}}
			e.Encode(recs.AppendEmpty())
		}
		out = append(out, ld)
	}
	return out
}

// Three processes share four partitions and are killed again and again, others come in their place: what they raise is what one process raises
// that nobody disturbs, and each finding is in the stream once.
func TestWorkersAreKilled(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { workersAreKilled(t, seed) })
	}
}

func workersAreKilled(t *testing.T, seed uint64) {
	const messages = 600
	all := traffic(seed, messages)

	one := newSink()
	alone := newConnector(t, connectortest.NewNopSettings(Type), one, map[string]any{})
	start(t, alone)
	for _, ld := range all {
		again := plog.NewLogs()
		ld.CopyTo(again)
		if err := alone.ConsumeLogs(t.Context(), again); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, alone)
	want, rules := map[string]string{}, map[string]int{}
	for len(one.got) > 0 {
		f := <-one.got
		want[f.ID] = f.RuleID + " " + f.Summary
		rules[f.RuleID]++
	}
	t.Logf("%d findings: %v", len(want), rules)
	if len(want) < 50 || len(rules) < 2 {
		t.Fatalf("the traffic raises %d findings of %d rules", len(want), len(rules))
	}

	r := newRig(t)
	spec, _ := streams.DefaultSpec(streams.Findings)
	spec.MaxBytes = 64 << 20
	if _, err := streams.Ensure(t.Context(), r.js, spec); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var workers []*exec.Cmd
	spawn := func() *exec.Cmd {
		c := exec.Command(self)
		c.Env = append(os.Environ(), workerURL+"="+r.srv.URL())
		c.Dir = t.TempDir()
		log, err := os.Create(filepath.Join(c.Dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		c.Stdout, c.Stderr = log, log
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	kill := func(c *exec.Cmd) {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	for range 3 {
		workers = append(workers, spawn())
	}
	t.Cleanup(func() {
		for _, c := range workers {
			kill(c)
		}
	})
	rnd := rand.New(rand.NewPCG(seed, 2))
	moved := map[string]bool{} // owners seen, by partition and pin
	for i, ld := range all {
		r.publish(streams.SubjectEvents, ld)
		time.Sleep(time.Duration(rnd.IntN(8)) * time.Millisecond)
		if i%150 == 149 {
			for p := range 4 {
				if c, err := r.js.Consumer(t.Context(), streams.Events, fmt.Sprintf("detect-4-%d", p)); err == nil && len(c.CachedInfo().PriorityGroups) > 0 {
					moved[fmt.Sprint(p, c.CachedInfo().PriorityGroups[0].PinnedClientID)] = true
				}
			}
			k := rnd.IntN(len(workers))
			kill(workers[k])
			workers[k] = spawn()
		}
	}
	deadline := time.Now().Add(60 * time.Second)
	for p := range 4 {
		for {
			c, err := r.js.Consumer(t.Context(), streams.Events, fmt.Sprintf("detect-4-%d", p))
			if err == nil && c.CachedInfo().AckFloor.Stream >= messages {
				moved[fmt.Sprint(p, c.CachedInfo().PriorityGroups[0].PinnedClientID)] = true
				break
			}
			if time.Now().After(deadline) {
				for _, w := range workers {
					if b, err := os.ReadFile(filepath.Join(w.Dir, "log")); err == nil && len(b) > 0 {
						t.Logf("%s", b)
					}
				}
				t.Fatalf("partition %d does not come to the end: %v", p, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	got := findingsIn(t, r.nc)
	if !maps.Equal(got, want) {
		for id, x := range want {
			if got[id] == "" {
				t.Errorf("missing: %s", x)
			}
		}
		for id, x := range got {
			if want[id] == "" {
				t.Errorf("nobody else raises: %s", x)
			}
		}
	}
	if len(moved) <= 4 {
		t.Errorf("no partition moved: %d owners of 4 partitions", len(moved))
	}
	t.Logf("%d owners of 4 partitions", len(moved))
}

// findingsIn are those in the stream FINDINGS, of which none may be there twice.
func findingsIn(t *testing.T, nc *nats.Conn) map[string]string {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), streams.Findings)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for seq := uint64(1); ; seq++ {
		m, err := st.GetMsg(t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		ld, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
		if err != nil {
			t.Fatal(err)
		}
		var f finding.Finding
		rl := ld.ResourceLogs().At(0)
		finding.Decode(rl.Resource(), rl.ScopeLogs().At(0).LogRecords().At(0), &f)
		if out[f.ID] != "" {
			t.Errorf("twice in the stream: %s", strings.TrimSpace(f.Summary))
		}
		out[f.ID] = f.RuleID + " " + f.Summary
	}
}
