// Package fault kills mcpsiem's processes at random moments under load and asks an oracle what became of the events.
//
// Every event that was acknowledged is an obligation: when the faults end it must be in the store exactly once. Nothing may
// be there that was never sent. A run in which too little was acknowledged, or nothing was killed, does not count as passed.
package fault

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var (
	rounds = flag.Int("rounds", 3, "how many processes to kill")
	seeded = flag.Uint64("seed", 0, "repeat the choices of an earlier run; 0: new ones")
	bin    = flag.String("bin", "../../bin", "folder with mcpsiem and mcptap")
)

func TestMain(m *testing.M) {
	if os.Getenv("FAULT_ECHO_SERVER") != "" {
		echoServer(os.Stdin, os.Stdout)
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// echoServer answers every request with its id.
func echoServer(r io.Reader, w io.Writer) {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadBytes('\n')
		if err != nil {
			return
		}
		var req struct {
			ID json.RawMessage `json:"id"`
		}
		if json.Unmarshal(line, &req) == nil && req.ID != nil {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"done"}]}}`+"\n", req.ID)
		}
	}
}

// site is one installation under test, restarted after each kill as an init system would.
type site struct {
	t     *testing.T
	state string
	ports []string
	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan error
}

func (s *site) up() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(filepath.Dir(s.state), "up.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	args := append([]string{"up", "--state", s.state}, s.ports...)
	cmd := exec.Command(filepath.Join(*bin, "mcpsiem"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	// The engine lives in the same process group, so that nothing outlives the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	os.Remove(filepath.Join(s.state, "endpoints.json"))
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(s.state, "endpoints.json")); err == nil {
			return
		}
		select {
		case err := <-done:
			b, _ := os.ReadFile(log.Name())
			s.t.Fatalf("mcpsiem ended at start: %v\n%s", err, b)
		default:
		}
	}
	s.t.Fatal("mcpsiem is not ready after two minutes")
}

func (s *site) endpoint() string {
	b, err := os.ReadFile(filepath.Join(s.state, "endpoints.json"))
	var e struct {
		OTLP string `json:"otlp_http"`
	}
	if err != nil || json.Unmarshal(b, &e) != nil {
		return ""
	}
	return "http://" + e.OTLP
}

// kill ends a process without warning and brings the site back.
func (s *site) kill(victim string) {
	s.t.Helper()
	switch victim {
	case "mcpsiem":
		s.cmd.Process.Kill()
		<-s.done
		s.up()
	case "clickhouse":
		for _, pid := range children(s.cmd.Process.Pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// children lists the child processes of pid.
func children(pid int) []int {
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		// pid (comm) state ppid …; comm may hold spaces and parentheses
		_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')'):]), " ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			out = append(out, n)
		}
	}
	return out
}

// oracle remembers what was acknowledged, and everything that was ever sent.
type oracle struct {
	mu    sync.Mutex
	acked map[string]bool
	sent  map[string]bool
}

func (o *oracle) note(set map[string]bool, ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		set[id] = true
	}
}

// post sends batches over OTLP until stop; only a 200 is an acknowledgement. A batch that was refused or whose answer was
// lost is sent again unchanged, as a tap does.
func (o *oracle) post(ctx context.Context, s *site, worker int) {
	token, err := os.ReadFile(filepath.Join(s.state, "secrets", "otlp.token"))
	if err != nil {
		panic(err)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		var ids []string
		var records []string
		for i := range 20 {
			id := fmt.Sprintf("otlp-%d-%d-%d", worker, n, i)
			ids = append(ids, id)
			msg := fmt.Sprintf(`{"time":"%s","mcpsiem.server.name":"otlp","mcpsiem.direction":"client_to_server","message":{"jsonrpc":"2.0","id":"%s","method":"tools/call","params":{"name":"work","arguments":{"to":"someone@example.com"}}}}`,
				time.Now().UTC().Format(time.RFC3339Nano), id)
			body, _ := json.Marshal(msg)
			records = append(records, `{"body":{"stringValue":`+string(body)+`}}`)
		}
		payload := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Join(records, ",") + `]}]}]}`
		o.note(o.sent, ids)
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint()+"/v1/logs", strings.NewReader(payload))
			if err == nil {
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
				var resp *http.Response
				if resp, err = client.Do(req); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						o.note(o.acked, ids)
						break
					}
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// startTap starts a real tap around the echo server.
func startTap(t *testing.T, s *site) (*exec.Cmd, io.WriteCloser, *bufio.Reader) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(*bin, "mcptap"), "stdio", "--name", "tapped", "--endpoint", s.endpoint(),
		"--token-file", filepath.Join(s.state, "secrets", "otlp.token"), "--state-dir", filepath.Join(filepath.Dir(s.state), "tap"), "--", self)
	cmd.Env = append(os.Environ(), "FAULT_ECHO_SERVER=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewReader(out)
}

// tap talks through a tap until stop. What passed it is an obligation: the tap spools while nobody takes its events, and what it has not got rid of
// when it ends the next one sends.
func (o *oracle) tap(ctx context.Context, s *site, t *testing.T) (wait func()) {
	cmd, in, answers := startTap(t, s)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for n := 0; ctx.Err() == nil; n++ {
			id := fmt.Sprintf("tap-%d", n)
			o.note(o.sent, []string{id, id + "-answer"})
			fmt.Fprintf(in, `{"jsonrpc":"2.0","id":"%s","method":"tools/call","params":{"name":"work","arguments":{"n":%d}}}`+"\n", id, n)
			if _, err := answers.ReadBytes('\n'); err != nil {
				t.Errorf("the tapped server went away: %v", err)
				return
			}
			o.note(o.acked, []string{id, id + "-answer"})
			time.Sleep(2 * time.Millisecond)
		}
		in.Close()
		cmd.Wait()
	}()
	return func() { <-finished }
}

// end stops the site in order, and at once if it does not.
func (s *site) end() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(30 * time.Second):
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	}
}

func TestFault(t *testing.T) {
	if _, err := os.Stat(filepath.Join(*bin, "mcpsiem")); err != nil {
		t.Fatalf("build first: make build (%v)", err)
	}
	dir := t.TempDir()
	s := &site{t: t, state: filepath.Join(dir, "state"), ports: []string{"--any-port"}}
	s.up()
	// Restarts keep their ports, as an installation does.
	s.ports = keepPorts(t, s.state)
	defer s.end()
	o := &oracle{acked: map[string]bool{}, sent: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	waitTap := o.tap(ctx, s, t)
	var posters sync.WaitGroup
	for w := range 2 {
		posters.Go(func() { o.post(ctx, s, w) })
	}
	var kills atomic.Int32
	rnd := rand.New(rand.NewPCG(newSeed(t), 0))
	victims := []string{"mcpsiem", "clickhouse"}
	for i := range *rounds {
		time.Sleep(time.Duration(500+rnd.IntN(2500)) * time.Millisecond)
		v := victims[(i+rnd.IntN(2))%2]
		t.Logf("round %d: kill %s", i+1, v)
		s.kill(v)
		kills.Add(1)
	}
	time.Sleep(2 * time.Second) // a fresh event flows after the last fault
	stop()
	posters.Wait()
	waitTap()
	next, in, _ := startTap(t, s)
	o.judge(t, s)
	in.Close()
	next.Wait()
	if kills.Load() == 0 || len(o.acked) < 200 {
		t.Errorf("only %d kills and %d acknowledged events: this run shows nothing", kills.Load(), len(o.acked))
	}
}

func newSeed(t *testing.T) uint64 {
	seed := *seeded
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return seed
}

// keepPorts turns the ports that an installation chose into flags.
func keepPorts(t *testing.T, state string) []string {
	b, err := os.ReadFile(filepath.Join(state, "endpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e map[string]any
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	var out []string
	for flag, key := range map[string]string{"--otlp-http": "otlp_http", "--otlp-grpc": "otlp_grpc", "--nats": "nats", "--clickhouse": "clickhouse", "--clickhouse-http": "clickhouse_http", "--health": "health", "--metrics": "metrics"} {
		out = append(out, flag, strings.TrimPrefix(fmt.Sprint(e[key]), "nats://"))
	}
	return out
}

// judge compares the store with the oracle until every obligation is met or two minutes have passed.
func (o *oracle) judge(t *testing.T, s *site) {
	t.Helper()
	var missing, twice, invented []string
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		stored := map[string]int{}
		out, err := exec.Command(filepath.Join(*bin, "mcpsiem"), "query", "--state", s.state, "--format", "tsv",
			`SELECT request_id, kind, count() FROM events WHERE server IN ('otlp', 'tapped') AND kind IN ('request', 'response') AND capture != 'absent' GROUP BY ALL`).Output()
		if err == nil {
			for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
				f := strings.Split(line, "\t")
				if i == 0 || len(f) != 3 {
					continue
				}
				id := f[0]
				if f[1] == "response" {
					id += "-answer"
				}
				stored[id], _ = strconv.Atoi(f[2])
			}
		}
		missing, twice, invented = nil, nil, nil
		for id := range o.acked {
			if stored[id] == 0 {
				missing = append(missing, id)
			}
		}
		for id, n := range stored {
			if n > 1 {
				twice = append(twice, id)
			}
			if !o.sent[id] {
				invented = append(invented, id)
			}
		}
		if len(missing)+len(twice)+len(invented) == 0 || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("%d sent, %d acknowledged, %d of them missing, %d stored more than once, %d never sent", len(o.sent), len(o.acked), len(missing), len(twice), len(invented))
	for name, ids := range map[string][]string{"missing": missing, "stored more than once": twice, "never sent": invented} {
		if len(ids) > 0 {
			t.Errorf("%d events %s, e.g. %v", len(ids), name, ids[:min(5, len(ids))])
		}
	}
	if t.Failed() {
		status, _ := exec.Command(filepath.Join(*bin, "mcpsiem"), "status", "--state", s.state).CombinedOutput()
		t.Logf("where they are:\n%s", status)
	}
}
