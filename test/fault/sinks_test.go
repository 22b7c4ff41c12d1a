package fault

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pq "github.com/parquet-go/parquet-go"

	"github.com/mcpsiem/mcpsiem/exporters/elastic/elastictest"
	"github.com/mcpsiem/mcpsiem/exporters/ocsf"
	"github.com/mcpsiem/mcpsiem/exporters/parquet"
	"github.com/mcpsiem/mcpsiem/exporters/splunkhec/hectest"
)

// mode is what the sinks' other sides do.
type mode int32

const (
	healthy  mode = iota
	away          // refuse every request for now
	dieAfter      // take a request, answer nothing, and have mcpsiem killed before it could acknowledge
	dieFirst      // have mcpsiem killed while the request is under way, and take nothing
	half          // Elastic: take half of a request
	modes
)

func (m mode) String() string {
	return [...]string{"healthy", "sinks are away", "kill after the sink took a request", "kill before the sink took a request", "half a request is taken"}[m]
}

// sides are the other sides: a Splunk and an Elasticsearch that misbehave on demand, and folders.
type sides struct {
	splunk  *hectest.Server
	elastic *elastictest.Server
	dir     string
	mode    atomic.Int32
	hit     chan struct{} // a request met a mode that wants a kill
}

func (s *sides) now() mode {
	m := mode(s.mode.Load())
	if m == dieAfter || m == dieFirst {
		select {
		case s.hit <- struct{}{}:
		default:
		}
	}
	return m
}

func newSides(t *testing.T, dir string) *sides {
	s := &sides{dir: dir, hit: make(chan struct{}, 1)}
	s.splunk = hectest.New(t, func(h *hectest.Server) {
		h.Fault = func(int, *http.Request) hectest.Fault {
			switch s.now() {
			case away:
				return hectest.Fault{Code: 9}
			case dieAfter:
				return hectest.Fault{ResetAfter: true}
			case dieFirst:
				return hectest.Fault{Reset: true, Delay: 50 * time.Millisecond}
			}
			return hectest.Fault{}
		}
	})
	s.elastic = elastictest.New(t, func(h *elastictest.Server) {
		h.Fault = func(int, *http.Request) elastictest.Fault {
			switch s.now() {
			case away:
				return elastictest.Fault{HTTP: 503}
			case dieAfter:
				return elastictest.Fault{ResetAfter: true}
			case dieFirst:
				return elastictest.Fault{Reset: true, Delay: 50 * time.Millisecond}
			case half:
				return elastictest.Fault{Half: true}
			}
			return elastictest.Fault{}
		}
	})
	return s
}

// write makes sinks.yaml, and the overlay by which what was in hand comes again soon.
func (s *sides) write(t *testing.T, state string, late bool) (overlay string) {
	t.Helper()
	for name, v := range map[string]string{"hec.token": hectest.Token, "elastic.key": elastictest.APIKey} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sinks := fmt.Sprintf(`sinks:
- {name: splunk, type: splunkhec, from: everything, config: {endpoint: '%s', token: {file: '%s'}, retry: {initial: 50ms, max: 500ms, max_elapsed: 2s}}}
- {name: elastic, type: elastic, from: everything, config: {endpoints: ['%s'], auth: {api_key: {file: '%s'}}, template_check: false, retry: {initial: 50ms, max: 500ms, max_elapsed: 2s}}}
- {name: lake, type: ocsf, from: everything, config: {file: {dir: '%s', max_bytes: 262144}}}
- {name: archive, type: parquet, from: everything, config: {dir: '%s'}}
`, s.splunk.URL, filepath.Join(s.dir, "hec.token"), s.elastic.URL, filepath.Join(s.dir, "elastic.key"), filepath.Join(s.dir, "lake"), filepath.Join(s.dir, "archive"))
	if late {
		sinks += fmt.Sprintf("- {name: late, type: ocsf, from: everything, config: {file: {dir: '%s', compression: none}}}\n", filepath.Join(s.dir, "late"))
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "sinks.yaml"), []byte(sinks), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "receivers:\n"
	for _, d := range []string{"splunk", "elastic", "lake", "archive"} {
		text += "  jetstream/" + d + ": {ack_wait: 3s}\n"
	}
	text += "  jetstream/archive: {ack_wait: 3s, combine: {max_wait: 500ms}}\n  jetstream/archive-findings: {ack_wait: 3s, combine: {max_wait: 500ms}}\n"
	text = strings.Replace(text, "  jetstream/archive: {ack_wait: 3s}\n", "", 1)
	overlay = filepath.Join(s.dir, "overlay.yaml")
	if err := os.WriteFile(overlay, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// held is how often each sink holds each record.
func (s *sides) held(t *testing.T) map[string]map[string]int {
	t.Helper()
	out := map[string]map[string]int{"splunk": s.splunk.Counts(), "elastic": s.elastic.Counts(), "lake": inFiles(t, filepath.Join(s.dir, "lake")), "archive": inTables(t, filepath.Join(s.dir, "archive"))}
	if _, err := os.Stat(filepath.Join(s.dir, "late")); err == nil {
		out["late"] = inFiles(t, filepath.Join(s.dir, "late"))
	}
	return out
}

func inFiles(t *testing.T, dir string) map[string]int {
	out := map[string]int{}
	files, err := ocsf.Files(dir)
	if err != nil {
		return out // not there yet
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil { // finished meanwhile; it is read again
			continue
		}
		if strings.HasSuffix(f, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err == nil {
				b, err = io.ReadAll(z)
			}
			if err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
		for _, l := range bytes.Split(b, []byte{'\n'}) {
			if uid := ocsf.UID(l); uid != "" {
				out[uid]++
			}
		}
	}
	return out
}

func inTables(t *testing.T, dir string) map[string]int {
	out := map[string]int{}
	files, err := parquet.Files(dir, "events", time.Time{}, time.Now().Add(time.Hour))
	if err != nil {
		t.Error(err)
	}
	type row struct {
		ID string `parquet:"event_id"`
	}
	for _, f := range files {
		rows, err := pq.ReadFile[row](f)
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
		for _, r := range rows {
			out[r.ID]++
		}
	}
	return out
}

// stored are the ids of the events that the store has of the test's traffic.
func stored(t *testing.T, s *site) []string {
	t.Helper()
	out, err := exec.Command(filepath.Join(*bin, "mcpsiem"), "query", "--state", s.state, "--format", "tsv",
		`SELECT replaceAll(toString(event_id), '-', '') AS id FROM events WHERE server = 'otlp'`).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))[1:]
}

// TestFaultSinks kills mcpsiem at random moments and at those that are worst for a sink, lets sinks be away and take half of a request, and stops
// and starts it with one more sink. Each sink must have every event; the ones that promise it exactly once.
func TestFaultSinks(t *testing.T) {
	if _, err := os.Stat(filepath.Join(*bin, "mcpsiem")); err != nil {
		t.Fatalf("build first: make build (%v)", err)
	}
	dir := t.TempDir()
	side := newSides(t, dir)
	s := &site{t: t, state: filepath.Join(dir, "state"), ports: []string{"--any-port"}}
	overlay := side.write(t, s.state, false)
	s.ports = append(s.ports, "--config", overlay)
	s.up()
	s.ports = append(keepPorts(t, s.state), "--config", overlay)
	defer s.end()
	o := &oracle{acked: map[string]bool{}, sent: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var posters sync.WaitGroup
	posters.Go(func() { o.post(ctx, s, 0) })
	rnd := rand.New(rand.NewPCG(newSeed(t), 0))
	order := []mode{dieAfter, away, half, healthy, dieFirst}
	kills, faults := 0, 0
	for i := range *rounds {
		m := order[i%len(order)]
		if i >= len(order) {
			m = mode(rnd.IntN(int(modes)))
		}
		select { // a leftover of an earlier round
		case <-side.hit:
		default:
		}
		side.mode.Store(int32(m))
		switch m {
		case dieAfter, dieFirst:
			select {
			case <-side.hit:
				kills++
				t.Logf("round %d: %s", i+1, m)
				s.kill("mcpsiem")
			case <-time.After(30 * time.Second):
				t.Errorf("round %d: no request came", i+1)
			}
		case away, half:
			t.Logf("round %d: %s", i+1, m)
			time.Sleep(time.Duration(1000+rnd.IntN(1500)) * time.Millisecond)
		default:
			time.Sleep(time.Duration(300+rnd.IntN(1500)) * time.Millisecond)
			kills++
			t.Logf("round %d: kill at a random moment", i+1)
			s.kill("mcpsiem")
		}
		faults++
		side.mode.Store(int32(healthy))
	}
	// An orderly restart with one more sink, under load.
	side.write(t, s.state, true)
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.done; err != nil {
		t.Errorf("mcpsiem did not stop in order: %v", err)
	}
	s.up()
	time.Sleep(time.Second) // a fresh event flows after the last fault
	stop()
	posters.Wait()
	o.judge(t, s)
	if kills == 0 || len(o.acked) < 200 {
		t.Errorf("only %d kills and %d acknowledged events: this run shows nothing", kills, len(o.acked))
	}
	want := stored(t, s)
	missing := map[string]int{}
	var held map[string]map[string]int
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		held = side.held(t)
		clear(missing)
		for sink, got := range held {
			for _, id := range want {
				if got[id] == 0 {
					missing[sink]++
				}
			}
		}
		if len(held) == 5 && total(missing) == 0 {
			break
		}
	}
	if len(held) != 5 {
		t.Errorf("only %d sinks hold something", len(held))
	}
	for sink, got := range held {
		twice, most := 0, 0
		for _, n := range got {
			if n > 1 {
				twice++
			}
			most = max(most, n)
		}
		t.Logf("%-8s %d of %d events, %d missing, %d more than once (at most %d times)", sink, len(want)-missing[sink], len(want), missing[sink], twice, most)
		if missing[sink] > 0 {
			t.Errorf("%s lacks %d events", sink, missing[sink])
		}
		if sink != "splunk" && twice > 0 {
			t.Errorf("%s holds %d events more than once", sink, twice)
		}
		// Splunk does not recognise repetitions: a fault repeats what was under way, tries within a fault included.
		if sink == "splunk" && most > 1+8*(faults+1) {
			t.Errorf("%s holds an event %d times", sink, most)
		}
	}
	side.commands(t, s)
}

// commands checks on the running installation what operators are told of sinks, and mends a sink that lost something.
func (s *sides) commands(t *testing.T, at *site) {
	run := func(want int, args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(*bin, "mcpsiem"), append(args, "--state", at.state)...)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("mcpsiem %v: exit %d, want %d (%v)\n%s", args, code, want, err, out)
		}
		return string(out)
	}
	for _, name := range []string{"splunk", "elastic", "lake", "archive"} {
		if out := run(0, "sink", "test", name); strings.Count(out, "confirmed") < 2 {
			t.Errorf("sink test %s:\n%s", name, out)
		}
	}
	s.mode.Store(int32(away))
	if out := run(5, "sink", "test", "splunk", "--timeout", "2s"); !strings.Contains(out, "FAIL") || !strings.Contains(out, "not within 2s") {
		t.Errorf("test of a Splunk that is away:\n%s", out)
	}
	s.mode.Store(int32(healthy))
	if out := run(0, "sink", "list"); !strings.Contains(out, "archive") || !strings.Contains(out, "parquet") {
		t.Errorf("sink list:\n%s", out)
	}
	if out := run(0, "status"); !strings.Contains(out, "Other systems") {
		t.Errorf("status:\n%s", out)
	}
	run(0, "validate")
	if out := run(0, "reconcile", "archive", "--from", "1h"); !strings.Contains(out, " 0 missing") {
		t.Errorf("reconcile:\n%s", out)
	}
	files, err := parquet.Files(filepath.Join(s.dir, "archive"), "events", time.Time{}, time.Now().Add(time.Hour))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	// The largest: a small one may hold nothing of the last hour.
	largest := slices.MaxFunc(files, func(a, b string) int { return cmp.Compare(sizeOf(t, a), sizeOf(t, b)) })
	if err := os.Remove(largest); err != nil {
		t.Fatal(err)
	}
	run(5, "reconcile", "archive", "--from", "1h")
	if out := run(0, "reconcile", "archive", "--from", "1h", "--replay"); !strings.Contains(out, "sent again") {
		t.Errorf("reconcile --replay:\n%s", out)
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		out, _ := exec.Command(filepath.Join(*bin, "mcpsiem"), "reconcile", "archive", "--from", "1h", "--state", at.state).CombinedOutput()
		if !strings.Contains(string(out), "missing ") && strings.Contains(string(out), " 0 missing") && !bytes.Contains(out, []byte("lacks")) {
			t.Logf("mended: %s", strings.TrimSpace(string(out)))
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the replay did not mend the sink:\n%s", out)
		}
	}
	if out := run(0, "replay", "--sink", "lake", "--from", "1h", "--dry-run"); !strings.Contains(out, "EVENTS: ") {
		t.Errorf("replay --dry-run:\n%s", out)
	}
	before := inFiles(t, filepath.Join(s.dir, "lake"))
	if out := run(0, "replay", "--sink", "lake", "--from", "1h", "--stream", "events"); !strings.Contains(out, "sent") {
		t.Errorf("replay:\n%s", out)
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		again := 0
		for k, n := range inFiles(t, filepath.Join(s.dir, "lake")) {
			if n > before[k] && before[k] > 0 {
				again++
			}
		}
		if again >= len(before)*9/10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d events came again", again, len(before))
		}
	}
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func sizeOf(t *testing.T, file string) int64 {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}
