// Command whole measures the way from OTLP to a queryable row: mcpsiem, and beside it in the same run a Collector of
// contrib's parts (otlp -> redaction -> clickhouse), writing to the same ClickHouse.
//
// Both get the same events in the same batches from the same sender. The first figure per CPU second is of the collector's
// process alone, the second counts ClickHouse's too, merges included as far as they fall into the run. Wall-clock figures depend on the machine, figures per CPU second much less.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

var (
	bin     = flag.String("bin", "bin", "folder with mcpsiem")
	peerBin = flag.String("peer", "bin/peer", "the Collector to compare with")
	events  = flag.Int("events", 60_000, "events to send to each, per run")
	batch   = flag.Int("batch", 250, "events in a request")
	probes  = flag.Int("probes", 100, "single events whose way to the store is timed")
	runs    = flag.Int("runs", 3, "runs of each, alternating")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "whole:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "mcpsiem-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, err := startOurs(dir)
	if err != nil {
		return err
	}
	defer ours.stop()
	peer, err := startPeer(dir, ours)
	if err != nil {
		return err
	}
	defer peer.stop()
	fmt.Printf("%d events of %d bytes of JSON-RPC each, %d in a request\n\n", *events, len(message(0, 0)), *batch)
	fmt.Printf("%-34s %12s %14s %18s %10s\n", "", "events/s", "events/CPU-s", "and engine's CPU-s", "RSS MB")
	alone, total := map[string][]float64{}, map[string][]float64{}
	for r := range *runs {
		for _, s := range []*system{ours, peer} {
			m, err := s.throughput(r)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			alone[s.name] = append(alone[s.name], m.perCPU)
			total[s.name] = append(total[s.name], m.perTotalCPU)
			fmt.Printf("%-34s %12.0f %14.0f %18.0f %10.0f\n", s.name, m.perSecond, m.perCPU, m.perTotalCPU, m.rss)
		}
	}
	fmt.Println()
	for _, c := range []struct {
		what   string
		values map[string][]float64
	}{{"collector alone", alone}, {"collector and ClickHouse", total}} {
		a, b := median(c.values[ours.name]), median(c.values[peer.name])
		fmt.Printf("median events per CPU second, %s: %.0f and %.0f, ratio %.2f\n", c.what, a, b, a/b)
	}
	for _, s := range []*system{ours, peer} {
		p50, p99, err := s.latency()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("%-34s sent to queryable: p50 %v, p99 %v (%d single events)\n", s.name, p50.Round(time.Millisecond), p99.Round(time.Millisecond), *probes)
	}
	return nil
}

// system is one collector under measurement.
type system struct {
	name   string
	cmd    *exec.Cmd
	url    string // OTLP base
	token  string
	engine int // pid of ClickHouse
	count  func(where string) (int, error)
	marker string // SQL condition on the marker %s
}

type endpoints struct {
	PID            int    `json:"pid"`
	OTLP           string `json:"otlp_http"`
	ClickHouse     string `json:"clickhouse"`
	ClickHouseHTTP string `json:"clickhouse_http"`
}

func startOurs(dir string) (*system, error) {
	state := filepath.Join(dir, "state")
	cmd := exec.Command(filepath.Join(*bin, "mcpsiem"), "up", "--any-port", "--state", state)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var e endpoints
	for range 1200 {
		b, err := os.ReadFile(filepath.Join(state, "endpoints.json"))
		if err == nil && json.Unmarshal(b, &e) == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if e.PID == 0 {
		return nil, fmt.Errorf("mcpsiem did not start")
	}
	secret := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(state, "secrets", name))
		return strings.TrimSpace(string(b))
	}
	s := &system{name: "mcpsiem (all stages)", cmd: cmd, url: "http://" + e.OTLP, token: secret("otlp.token"), marker: "conversation_id = '%s'"}
	for _, pid := range children(cmd.Process.Pid) {
		s.engine = pid
	}
	admin := secret("clickhouse-admin.password")
	s.count = func(where string) (int, error) {
		return query(e.ClickHouseHTTP, admin, "SELECT count() FROM mcpsiem.events WHERE "+where)
	}
	chAddr, chHTTP, chPassword = e.ClickHouse, e.ClickHouseHTTP, admin
	return s, nil
}

var chAddr, chHTTP, chPassword string

func startPeer(dir string, ours *system) (*system, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	metrics, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "peer.yaml")
	// Rules for classes that mcpsiem finds too: e-mail, cards, common tokens.
	err = os.WriteFile(config, []byte(fmt.Sprintf(`
receivers:
  otlp: {protocols: {http: {endpoint: "127.0.0.1:%d"}}}
processors:
  redaction:
    allow_all_keys: true
    redact_all_types: true
    blocked_values:
      - '[a-zA-Z0-9._%%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}'
      - '4[0-9]{12}(?:[0-9]{3})?'
      - '(5[1-5][0-9]{14})'
      - '3[47][0-9]{13}'
      - 'gh[pousr]_[A-Za-z0-9]{36}'
      - 'AKIA[0-9A-Z]{16}'
      - 'xox[baprs]-[0-9A-Za-z-]{10,}'
      - 'eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+'
exporters:
  clickhouse:
    endpoint: tcp://%s
    database: mcpsiem
    logs_table_name: peer_logs
    username: admin
    password: "%s"
    create_schema: true
    sending_queue: {enabled: true, queue_size: 10000}
service:
  pipelines: {logs: {receivers: [otlp], processors: [redaction], exporters: [clickhouse]}}
  telemetry:
    logs: {level: error}
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]}
`, port, chAddr, chPassword, metrics)), 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(*peerBin, "--config", config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 300 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return &system{
		name: "contrib otlp+redaction+clickhouse", cmd: cmd, url: fmt.Sprintf("http://127.0.0.1:%d", port), engine: ours.engine,
		marker: "LogAttributes['mcpsiem.conversation.id'] = '%s'",
		count: func(where string) (int, error) {
			return query(chHTTP, chPassword, "SELECT count() FROM mcpsiem.peer_logs WHERE "+where)
		},
	}, nil
}

func (s *system) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

// message is a call of about 1 KB with an address and a card number in it, as redaction has to find.
func message(run, n int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"create_ticket","arguments":{"title":"Order %d-%d is late","reporter":"user%d@example.com","body":"%s","payment":{"card":"4111 1111 1111 1111","amount":%d.50,"currency":"EUR"},"labels":["late","order","priority-%d"],"due":"2026-12-%02dT10:00:00Z"}}}`,
		n, run, n, n%500, strings.Repeat("The customer writes that the parcel did not arrive and asks where it is. ", 8), n%900, n%4, n%28+1)
}

// request encodes events from..to as a tap would ship them.
func request(marker string, run, from, to int) []byte {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	epoch := int64(run + 1)
	prefix := event.TapPrefix(marker, epoch)
	for n := from; n < to; n++ {
		msg := message(run, n)
		id := prefix.ID(int64(n + 1))
		e := event.Event{Name: event.NameRequest, Time: time.Now().UnixNano(), Body: msg, Fields: event.Fields{
			ID: id, SourceKind: "tap", TapID: marker, TapEpoch: epoch, TapSeq: int64(n + 1), ClockSource: "tap", Tenant: "default",
			ClientName: "bench", ClientVersion: "1.0", Server: "tickets", HostName: "bench", OSUser: "bench", PID: 1234, Transport: event.TransportStdio,
			NetworkTransport: "pipe", ProtocolVersion: "2025-11-25", Era: "legacy", ConversationID: marker, Direction: event.ClientToServer,
			Kind: event.KindRequest, Method: "tools/call", Tool: "create_ticket", RequestID: strconv.Itoa(n), RequestIDType: "number",
			ExchangeID: id, ExchangeStart: time.Now().UnixNano(), BodySize: int64(len(msg)), Capture: event.CaptureComplete,
		}}
		e.Encode(lrs.AppendEmpty())
	}
	b, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	if err != nil {
		panic(err)
	}
	return b
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}

// post sends until it is taken, as an OTLP sender does.
func (s *system) post(body []byte) error {
	for range 2000 {
		req, err := http.NewRequest(http.MethodPost, s.url+"/v1/logs", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-protobuf")
		if s.token != "" {
			req.Header.Set("Authorization", "Bearer "+s.token)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			time.Sleep(10 * time.Millisecond)
		default:
			return fmt.Errorf("answered %s", resp.Status)
		}
	}
	return fmt.Errorf("refused for too long")
}

type measurement struct{ perSecond, perCPU, perTotalCPU, rss float64 }

func (s *system) throughput(run int) (measurement, error) {
	marker := fmt.Sprintf("run-%d-%d", run, rand.Uint32())
	var bodies [][]byte
	for from := 0; from < *events; from += *batch {
		bodies = append(bodies, request(marker, run, from, min(from+*batch, *events)))
	}
	cpu, engine, began := cpuSeconds(s.cmd.Process.Pid), cpuSeconds(s.engine), time.Now()
	work := make(chan []byte)
	errs := make(chan error, 4)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for b := range work {
				if err := s.post(b); err != nil {
					errs <- err
					return
				}
			}
		})
	}
feed:
	for _, b := range bodies {
		select {
		case work <- b:
		case <-time.After(time.Minute):
			break feed
		}
	}
	close(work)
	wg.Wait()
	select {
	case err := <-errs:
		return measurement{}, err
	default:
	}
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		n, err := s.count(fmt.Sprintf(s.marker, marker))
		if err == nil && n == *events {
			break
		}
		if time.Now().After(deadline) {
			return measurement{}, fmt.Errorf("%d of %d events are stored after five minutes (%v)", n, *events, err)
		}
	}
	took := time.Since(began).Seconds()
	used := cpuSeconds(s.cmd.Process.Pid) - cpu
	n := float64(*events)
	return measurement{n / took, n / used, n / (used + cpuSeconds(s.engine) - engine), rssMB(s.cmd.Process.Pid)}, nil
}

func (s *system) latency() (p50, p99 time.Duration, err error) {
	var all []time.Duration
	for i := range *probes {
		marker := fmt.Sprintf("probe-%d-%d", i, rand.Uint32())
		body := request(marker, 0, 0, 1)
		began := time.Now()
		if err := s.post(body); err != nil {
			return 0, 0, err
		}
		for {
			n, err := s.count(fmt.Sprintf(s.marker, marker))
			if err != nil {
				return 0, 0, err
			}
			if n > 0 {
				break
			}
			if time.Since(began) > time.Minute {
				return 0, 0, fmt.Errorf("an event is not queryable after a minute")
			}
			time.Sleep(5 * time.Millisecond)
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100], nil
}

func query(addr, password, sql string) (int, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/", strings.NewReader(sql))
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth("admin", password)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("query failed: %s", bytes.TrimSpace(b))
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
