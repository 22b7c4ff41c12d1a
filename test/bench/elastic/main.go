// Command elastic measures the elastic exporter beside contrib's elasticsearchexporter: the same events, the same sink, turn and turn about, each in a
// process of its own on one core. It is a module of its own, so that the product does not depend on what it is measured against.
//
// An event is about 1 KB. Both exporters send synchronously: no queue, no retry, gzip or plain. contrib's writes its mapping mode otel, which is its default. What
// counts is the CPU time of the process, which other work on the machine disturbs less than the clock; the making of the events is not in it.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/elasticsearchexporter"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/exporters/elastic"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

const (
	batchSize = 512
	batches   = 64
)

type result struct {
	Who    string  `json:"who"`
	Events int     `json:"events"`
	CPU    float64 `json:"cpu_s"`
	Wall   float64 `json:"wall_s"`
	RSS    int64   `json:"max_rss_kib"`
}

func main() {
	child := flag.String("child", "", "exporter to run: ours or contrib")
	url := flag.String("url", "", "sink")
	zip := flag.Bool("gzip", true, "compress")
	events := flag.Int("events", 400_000, "events for each measurement")
	rounds := flag.Int("rounds", 5, "measurements of each")
	flag.Parse()
	if *child != "" {
		if err := run(*child, *url, *zip, *events); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := compare(*events, *rounds); err != nil {
		log.Fatal(err)
	}
}

func compare(events, rounds int) error {
	var wire atomic.Int64
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasSuffix(r.URL.Path, "_bulk") {
			_, _ = io.WriteString(w, `{"version":{"number":"9.1.3","build_flavor":"default"}}`)
			return
		}
		b, _ := io.ReadAll(r.Body)
		wire.Add(int64(len(b)))
		if r.Header.Get("Content-Encoding") == "gzip" {
			zr, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			b, _ = io.ReadAll(zr)
		}
		items := strings.Repeat(`,{"create":{"status":201}}`, bytes.Count(b, []byte{'\n'})/2)
		_, _ = io.WriteString(w, `{"errors":false,"items":[`+strings.TrimPrefix(items, ",")+`]}`)
	}))
	defer sink.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, gz := range []bool{true, false} {
		name := "gzip "
		if !gz {
			name = "plain"
		}
		rates := map[string][]float64{}
		rss := map[string][]float64{}
		bytes := map[string]float64{}
		for range rounds {
			for _, who := range []string{"ours", "contrib"} {
				before := wire.Load()
				cmd := exec.Command(self, "-child", who, "-url", sink.URL, fmt.Sprintf("-gzip=%v", gz), "-events", fmt.Sprint(events))
				cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
				cmd.Stderr = os.Stderr
				out, err := cmd.Output()
				if err != nil {
					return fmt.Errorf("cannot measure %s: %w", who, err)
				}
				sc := bufio.NewScanner(strings.NewReader(string(out)))
				for sc.Scan() {
					var r result
					if json.Unmarshal(sc.Bytes(), &r) == nil && r.Who == who {
						rates[who] = append(rates[who], float64(r.Events)/r.CPU)
						rss[who] = append(rss[who], float64(r.RSS)/1024)
						bytes[who] = float64(wire.Load()-before) / float64(r.Events)
					}
				}
			}
		}
		for _, who := range []string{"ours", "contrib"} {
			m, lo, hi := median(rates[who])
			mem, _, _ := median(rss[who])
			fmt.Printf("%s %-8s %8.0f events/CPU-s (%.0f to %.0f), %5.0f B/event on the wire, %4.0f MiB resident at most\n", name, who, m, lo, hi, bytes[who], mem)
		}
		a, _, _ := median(rates["ours"])
		b, _, _ := median(rates["contrib"])
		fmt.Printf("%s ratio    %8.2f\n", name, a/b)
	}
	return nil
}

func median(v []float64) (m, lo, hi float64) {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2], s[0], s[len(s)-1]
}

func run(who, url string, zip bool, events int) error {
	var f exporter.Factory
	conf := map[string]any{}
	switch who {
	case "ours":
		f = elastic.NewFactory()
		conf = map[string]any{"endpoints": []any{url}, "auth": map[string]any{"anonymous": true}, "health_check": map[string]any{"enabled": false}, "connections": 1}
		if !zip {
			conf["compression"] = "none"
		}
	case "contrib":
		f = elasticsearchexporter.NewFactory()
		conf = map[string]any{"endpoints": []any{url}, "logs_index": "logs-mcpsiem.event-default", "sending_queue": map[string]any{"enabled": false}, "retry": map[string]any{"enabled": false}}
		if !zip {
			conf["compression"] = "none"
		}
	default:
		return fmt.Errorf("who is %q?", who)
	}
	cfg := f.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(conf).Unmarshal(&cfg); err != nil {
		return err
	}
	ctx := context.Background()
	exp, err := f.CreateLogs(ctx, exportertest.NewNopSettings(f.Type()), cfg)
	if err != nil {
		return err
	}
	if err := exp.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	var lds []plog.Logs
	for i := range batches {
		lds = append(lds, makeBatch(i))
	}
	for _, ld := range lds[:8] { // warm
		if err := exp.ConsumeLogs(ctx, ld); err != nil {
			return err
		}
	}
	start, cpu0 := time.Now(), cpu()
	n := 0
	for i := 0; n < events; i++ {
		if err := exp.ConsumeLogs(ctx, lds[i%batches]); err != nil {
			return err
		}
		n += batchSize
	}
	used, wall := cpu()-cpu0, time.Since(start)
	if err := exp.Shutdown(ctx); err != nil {
		return err
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result{who, n, used.Seconds(), wall.Seconds(), u.Maxrss})
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// makeBatch makes one batch as it comes out of EVENTS: calls of some people to some servers, with prose and paths that differ.
func makeBatch(seed int) plog.Logs {
	rnd := rand.New(rand.NewPCG(uint64(seed), 3))
	words := func(n int) string {
		var b strings.Builder
		for range n {
			for range 2 + rnd.IntN(7) {
				b.WriteByte("etaoinshrdlucmfwypvbgk"[min(rnd.IntN(22), rnd.IntN(22))])
			}
			b.WriteByte(' ')
		}
		return b.String()
	}
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	prefix := event.TapPrefix(fmt.Sprint("laptop-", seed%9), 17)
	for i := range batchSize {
		t := 1_800_000_000_000_000_000 + int64(seed)*1_000_000_000 + int64(i)*1_234_567
		e := event.Event{Name: event.NameRequest, Time: t, Received: t + 50_000_000}
		e.ID = prefix.ID(int64(seed*batchSize + i))
		e.ExchangeID = e.ID
		e.SourceKind, e.TapID, e.TapEpoch, e.TapSeq = "tap", fmt.Sprint("laptop-", seed%9), 17, int64(seed*batchSize+i)
		e.Tenant, e.PrincipalID, e.PrincipalKind, e.PrincipalMethod, e.PrincipalVerified = "acme", fmt.Sprint("user-", seed%9), "user", "os_user", true
		e.ClientName, e.Server, e.HostName, e.Transport = "claude", []string{"files", "github", "jira"}[seed%3], fmt.Sprint("laptop-", seed%9), "stdio"
		e.ConversationID, e.Direction, e.Kind, e.Method = "c-"+prefix.ID(int64(i/50)), event.ClientToServer, event.KindRequest, "tools/call"
		e.Tool = []string{"read_text_file", "search_code", "create_issue", "list_directory"}[rnd.IntN(4)]
		e.RequestID, e.BodySize, e.Capture, e.TokensArguments = fmt.Sprint(i), 300, event.CaptureComplete, int64(rnd.IntN(90))
		e.Body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":{"path":"/home/user/%d/%x.go","text":"%s"}}}`, i, e.Tool, rnd.IntN(99), rnd.Uint64(), words(18))
		e.Encode(lrs.AppendEmpty())
	}
	event.Hoist(ld)
	return ld
}
