// Command inspect compares internal/inspect with what one would use instead: contrib's redaction processor, which blocks values by
// regular expressions, and gitleaks' detector of secrets.
//
//	cd test/bench/inspect && go run . [-data DIR]
//
// It is a module of its own, so that the product does not depend on its rivals. All get the same bytes in the same run, in turns; a
// number is the median over the rounds of megabytes for each second of CPU time on one thread, which a busy machine disturbs less than
// wall-clock time. They do not do the same work: the redaction processor looks for 8 regular expressions, gitleaks for secrets alone
// and replaces nothing, while mcpsiem parses the message, undoes encodings, looks for all of its classes and signals, samples for
// detectors, and replaces.
//
// With -data it also measures what each finds on labelled data, laid out as `mcpsiem eval --data` reads it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/redactionprocessor"
	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/detect"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/mcpsiem/mcpsiem/internal/inspect"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
)

// The rules of the redaction processor: those of test/bench/whole, for classes that mcpsiem finds too.
const (
	ruleEmail  = `[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}`
	ruleVisa   = `4[0-9]{12}(?:[0-9]{3})?`
	ruleMaster = `(5[1-5][0-9]{14})`
	ruleAmex   = `3[47][0-9]{13}`
)

var rules = []string{ruleEmail, ruleVisa, ruleMaster, ruleAmex, `gh[pousr]_[A-Za-z0-9]{36}`, `AKIA[0-9A-Z]{16}`, `xox[baprs]-[0-9A-Za-z-]{10,}`, `eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`}

// contender looks at one message and says whether it found anything.
type contender struct {
	name string
	look func(body string) bool
}

func main() {
	rounds := flag.Int("rounds", 5, "rounds")
	data := flag.String("data", "", "also measure quality on the labelled data in `DIR`")
	speed := flag.Bool("speed", true, "measure speed")
	flag.Parse()
	if err := run(*rounds, *data, *speed); err != nil {
		log.Fatal("inspect: ", err)
	}
}

func run(rounds int, data string, speed bool) error {
	runtime.GOMAXPROCS(1)
	zerolog.SetGlobalLevel(zerolog.Disabled) // gitleaks logs through it
	dir, err := os.MkdirTemp("", "mcpsiem-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, err := newOurs(dir)
	if err != nil {
		return err
	}
	red, err := newRedaction(rules...)
	if err != nil {
		return err
	}
	leaks, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return fmt.Errorf("cannot start gitleaks: %w", err)
	}
	if speed {
		measureSpeed(rounds, []contender{
			{"mcpsiem", func(b string) bool {
				out := ours.Inspect(&inspect.Input{Tenant: "default", Method: "tools/call", Kind: "response", Direction: "server_to_client", Body: []byte(b)})
				return len(out.Classes) > 0
			}},
			{"redaction processor", func(b string) bool { return red.redact(b) != b }},
			{"gitleaks", func(b string) bool { return len(leaks.DetectString(b)) > 0 }},
		})
	}
	if data == "" {
		return nil
	}
	return measureQuality(data, ours, leaks)
}

func newOurs(dir string) (*inspect.Session, error) {
	master, err := pseudonym.Ensure(filepath.Join(dir, "master.key"))
	if err != nil {
		return nil, err
	}
	tenants, err := pseudonym.EnsureTenants(filepath.Join(dir, "tenants"))
	if err != nil {
		return nil, err
	}
	e, err := inspect.New(inspect.Config{Master: master, Tenants: tenants})
	if err != nil {
		return nil, err
	}
	return e.Session(), nil
}

// redaction is contrib's processor with one record to pass through it.
type redaction struct {
	p    processor.Logs
	logs plog.Logs
	lr   plog.LogRecord
}

func newRedaction(blocked ...string) (*redaction, error) {
	f := redactionprocessor.NewFactory()
	cfg := f.CreateDefaultConfig().(*redactionprocessor.Config)
	cfg.AllowAllKeys, cfg.RedactAllTypes, cfg.BlockedValues = true, true, blocked
	p, err := f.CreateLogs(context.Background(), processortest.NewNopSettings(component.MustNewType("redaction")), cfg, consumertest.NewNop())
	if err != nil {
		return nil, fmt.Errorf("cannot start the redaction processor: %w", err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		return nil, fmt.Errorf("cannot start the redaction processor: %w", err)
	}
	r := &redaction{p: p, logs: plog.NewLogs()}
	r.lr = r.logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	return r, nil
}

// redact passes a body through. The record is used again, so that nothing but the processor is measured.
func (r *redaction) redact(body string) string {
	r.lr.Attributes().RemoveIf(func(string, pcommon.Value) bool { return true })
	r.lr.Body().SetStr(body)
	if err := r.p.ConsumeLogs(context.Background(), r.logs); err != nil {
		log.Fatal("inspect: the redaction processor failed: ", err)
	}
	return r.lr.Body().Str()
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure looks at body for at least 60 ms of CPU time and says how many MB a CPU second takes.
func measure(c contender, body string) (mbs float64, found bool) {
	found = c.look(body)
	runtime.GC()
	start, times := cpu(), 0
	var spent time.Duration
	for spent < 60*time.Millisecond {
		for range max(1, 20_000/len(body)) {
			c.look(body)
			times++
		}
		spent = cpu() - start
	}
	return float64(times*len(body)) / 1e6 / spent.Seconds(), found
}

func measureSpeed(rounds int, contenders []contender) {
	inputs := inputs()
	speeds := make([][][]float64, len(inputs))
	found := make([][]bool, len(inputs))
	for i := range inputs {
		speeds[i], found[i] = make([][]float64, len(contenders)), make([]bool, len(contenders))
	}
	for r := range rounds {
		for i, in := range inputs {
			for k := range contenders {
				k = (k + r) % len(contenders) // nobody always goes first
				mbs, hit := measure(contenders[k], in.body)
				speeds[i][k], found[i][k] = append(speeds[i][k], mbs), hit
			}
		}
	}
	fmt.Printf("MB for each CPU second on one thread, median of %d rounds; * found something; in brackets how many times as fast mcpsiem is\n\n", rounds)
	fmt.Printf("| message | bytes |")
	for _, c := range contenders {
		fmt.Printf(" %s |", c.name)
	}
	fmt.Printf("\n|---|---|%s\n", strings.Repeat("---|", len(contenders)))
	for i, in := range inputs {
		fmt.Printf("| %s | %d |", in.name, len(in.body))
		base := median(speeds[i][0])
		for k := range contenders {
			m := median(speeds[i][k])
			fmt.Printf(" %.3g", m)
			if found[i][k] {
				fmt.Print("*")
			}
			if k > 0 {
				fmt.Printf(" (%.2gx)", base/m)
			}
			fmt.Print(" |")
		}
		fmt.Println()
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
