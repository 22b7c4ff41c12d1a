package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func newSink() *cobra.Command {
	c := &cobra.Command{
		Use:     "sink",
		GroupID: "look",
		Short:   "List the systems that events and findings go to, and test the way to one",
		Long: `A sink is another system that gets events and findings: Splunk, Elasticsearch, files, a pager. sinks.yaml in the state folder names them
(docs/sinks.md). Each reads the streams through consumers of its own, so that one that is away delays nobody.

How far each is:            mcpsiem status
Send it again what it lost: mcpsiem replay --sink NAME --from TIME
What it lacks:              mcpsiem reconcile NAME --from TIME`,
	}
	c.AddCommand(newSinkList(), newSinkTest())
	return c
}

// sinks reads the sinks.yaml of the installation.
func (t *target) sinks(ctx context.Context) ([]distro.Sink, error) {
	list, err := distro.ReadSinks(state.Dir(t.stateDir).Sinks())
	return list, withCode(exitUsage, err)
}

func (t *target) sink(ctx context.Context, name string) (distro.Sink, error) {
	list, err := t.sinks(ctx)
	if err != nil {
		return distro.Sink{}, err
	}
	s, err := distro.FindSink(list, name)
	return s, withCode(exitUsage, err)
}

func newSinkList() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the sinks of sinks.yaml with how far each is", Args: cobra.NoArgs,
		Example: "  mcpsiem sink list\n  mcpsiem sink list --json | jq '.[] | select(.streams[].lag_batches > 0)'",
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := t.sinks(c.Context())
			if err != nil {
				return err
			}
			out := make([]sinkStatus, 0, len(list))
			if len(list) > 0 {
				var r report
				if err := t.streamStatus(c.Context(), &r); err != nil {
					fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: how far they are is not known:", err)
				}
				out = sinkStatuses(list, &r, t.sinkCounters(c.Context()))
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(out)
			}
			if len(out) == 0 {
				_, err := fmt.Fprintf(c.OutOrStdout(), "no sinks; write %s (docs/sinks.md)\n", state.Dir(t.stateDir).Sinks())
				return err
			}
			return printSinks(c.OutOrStdout(), out)
		},
	}
	t.bind(c, true, false)
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return c
}

// testStep is one step of `sink test`.
type testStep struct {
	Step   string `json:"step"` // configuration, route, consumer, published, delivered, confirmed
	Stream string `json:"stream,omitempty"`
	OK     bool   `json:"ok"`
	Millis int64  `json:"ms"` // since the test began
	Detail string `json:"detail"`
}

type testReport struct {
	Sink  string     `json:"sink"`
	Type  string     `json:"type"`
	OK    bool       `json:"ok"`
	IDs   []string   `json:"ids"` // of the marked records, to look for on the other side
	Steps []testStep `json:"steps"`
}

// testServer marks the records of a test.
const testServer = "mcpsiem-sink-test"

type sinkTest struct {
	sink     distro.Sink
	tenant   string
	severity string
	timeout  time.Duration

	begin  time.Time
	report testReport
	say    func(testStep)
}

func newSinkTest() *cobra.Command {
	var t target
	st := sinkTest{}
	var asJSON bool
	c := &cobra.Command{
		Use: "test NAME", Short: "Send a marked event the whole way to a sink and wait until it is there", Args: cobra.ExactArgs(1),
		Long: `Send one marked event, and one marked finding where the sink takes findings, through the stream to this sink and no other, by the same
consumer and exporter as everything else, and wait until the sink's consumer has confirmed them: then the other side has them, as
far as it can say. The finding is resolved afterwards. The server's name in them is ` + testServer + `.

Exit code 5 with the step that failed and why: configuration, route (the sink's own filter would hold the record back), consumer
(nothing reads the stream for this sink), published, delivered, confirmed.`,
		Example: "  mcpsiem sink test splunk\n  mcpsiem sink test pager --severity high\n  mcpsiem sink test archive --tenant acme --json",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if st.sink, err = t.sink(c.Context(), args[0]); err != nil {
				return err
			}
			if !slices.Contains(sink.Severities, st.severity) {
				return withCode(exitUsage, fmt.Errorf("--severity must be one of %s", strings.Join(sink.Severities, ", ")))
			}
			st.say = func(s testStep) {
				if !asJSON {
					printStep(c.OutOrStdout(), s)
				}
			}
			err = st.run(c.Context(), &t)
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				err = errors.Join(err, enc.Encode(st.report))
			}
			var coded *exitError
			if err != nil && !errors.As(err, &coded) {
				err = withCode(exitCheck, err)
			}
			return err
		},
	}
	t.bind(c, true, false)
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.StringVar(&st.tenant, "tenant", event.DefaultTenant, "tenant of the marked records `TENANT`")
	f.StringVar(&st.severity, "severity", "informational", "of the marked finding `SEVERITY`")
	f.DurationVar(&st.timeout, "timeout", time.Minute, "how long to wait for the sink's confirmation")
	return c
}

func printStep(w io.Writer, s testStep) {
	mark := "ok  "
	if !s.OK {
		mark = "FAIL"
	}
	fmt.Fprintf(w, "%s %6d ms  %-13s %-8s  %s\n", mark, s.Millis, s.Step, s.Stream, s.Detail)
}

// step notes a step; err is why it failed.
func (t *sinkTest) step(name, stream, detail string, err error) error {
	s := testStep{Step: name, Stream: stream, OK: err == nil, Millis: time.Since(t.begin).Milliseconds(), Detail: detail}
	if err != nil {
		s.Detail = err.Error()
	}
	t.report.Steps = append(t.report.Steps, s)
	t.say(s)
	if err != nil {
		return fmt.Errorf("sink %s: %s: %w", t.sink.Name, name, err)
	}
	return nil
}

func (t *sinkTest) run(ctx context.Context, tg *target) error {
	t.begin = time.Now()
	t.report = testReport{Sink: t.sink.Name, Type: t.sink.Type}
	cfg, err := t.sink.ExporterConfig(ctx)
	if err := t.step("configuration", "", "sinks.yaml", err); err != nil {
		return err
	}
	nc, js, err := tg.jetstream(ctx, true)
	if err != nil {
		return err
	}
	defer nc.Close()
	for _, c := range t.sink.Consumers() {
		rec := t.record(c.Stream)
		if err := t.routes(cfg, rec, c.Stream); err != nil {
			return err
		}
		info, err := js.Consumer(ctx, c.Stream, c.Durable)
		detail := ""
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			err = fmt.Errorf("stream %s has no consumer %s: was mcpsiem started with this sinks.yaml?", c.Stream, c.Durable)
		case err == nil:
			i := info.CachedInfo()
			detail = fmt.Sprintf("%s, %d batches before ours", c.Durable, i.NumPending+uint64(i.NumAckPending))
		}
		if err := t.step("consumer", c.Stream, detail, err); err != nil {
			return err
		}
	}
	if err := audit.Write(ctx, js, audit.Record{Action: audit.SinkTest, Target: t.sink.Name, Tenant: t.tenant}); err != nil {
		return err
	}
	for _, c := range t.sink.Consumers() {
		rec := t.record(c.Stream)
		t.report.IDs = append(t.report.IDs, rec.Key())
		if err := t.through(ctx, js, c, rec, true); err != nil {
			return err
		}
		if f := rec.Finding; f != nil {
			f.Status, f.Revision, f.TriagedBy, f.TriageNote = "resolved", time.Now().UnixNano(), audit.Me().ID, "a test of the sink"
			if err := t.through(ctx, js, c, rec, false); err != nil {
				return err
			}
		}
	}
	t.report.OK = true
	return nil
}

// record is the marked record for a stream.
func (t *sinkTest) record(stream string) *sink.Record {
	now := t.begin.UnixNano()
	id := event.SourceID("sink.test", t.sink.Name, stream, fmt.Sprint(now))
	if stream == streams.Findings {
		f := &finding.Finding{Time: now}
		f.ID, f.Group, f.RuleID, f.RuleVersion = id, id, "sink_test", "1"
		f.Title, f.Summary = "Test of a sink", "Somebody asked mcpsiem to test the way to this system. Nothing happened."
		f.Severity, f.Status, f.Confidence, f.Count = t.severity, "open", 1, 1
		f.Tenant, f.Server, f.FirstSeen, f.LastSeen = t.tenant, testServer, now, now
		f.PrincipalID = audit.Me().ID
		return &sink.Record{Finding: f}
	}
	e := &event.Event{Name: event.NameRequest, Time: now, Received: now, Body: `{"jsonrpc":"2.0","id":"sink-test","method":"ping"}`}
	e.ID, e.ExchangeID, e.ExchangeStart = id, id, now
	e.SourceKind, e.ClockSource, e.Kind, e.Direction, e.Capture = audit.SourceKind, "receiver", event.KindRequest, event.ClientToServer, event.CaptureComplete
	e.Tenant, e.Server, e.Method, e.RequestID, e.RequestIDType = t.tenant, testServer, "ping", "sink-test", "string"
	e.BodySize = int64(len(e.Body))
	e.PrincipalID, e.PrincipalKind, e.PrincipalMethod, e.PrincipalVerified = audit.Me().ID, "user", "os_user", true
	return &sink.Record{Event: e}
}

// routes asks the sink's own filter whether it would take the record.
func (t *sinkTest) routes(cfg any, rec *sink.Record, stream string) error {
	v := reflect.Indirect(reflect.ValueOf(cfg))
	field := reflect.Value{}
	if v.Kind() == reflect.Struct {
		field = v.FieldByName("Route")
	}
	if !field.IsValid() {
		return nil
	}
	route, ok := field.Interface().(sink.Route)
	if !ok {
		return nil
	}
	filter, err := route.Compile()
	var reason sink.Reason
	if err == nil {
		if rec.Finding != nil {
			reason = filter.Finding(rec.Finding)
		} else {
			reason = filter.Event(rec.Event)
		}
	}
	switch reason {
	case "":
	case sink.BySeverity:
		err = fmt.Errorf("route.min_severity is %s: test with --severity %s", route.MinSeverity, route.MinSeverity)
	case sink.ByTenant, sink.ByResidency:
		err = fmt.Errorf("route holds back this tenant's records (%s): test with --tenant", reason)
	case sink.ByRecord:
		return t.step("route", stream, "takes no such records (route.records): only the way is tested", nil)
	default:
		return t.step("route", stream, fmt.Sprintf("holds the marked record back (%s): only the way up to the exporter is tested", reason), nil)
	}
	return t.step("route", stream, "takes the record", err)
}

// through sends a record to one consumer and waits until it is settled.
func (t *sinkTest) through(ctx context.Context, js jetstream.JetStream, c distro.Consumer, rec *sink.Record, show bool) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	ld := plog.NewLogs()
	lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	if rec.Finding != nil {
		rec.Finding.Encode(lr)
	} else {
		rec.Event.Encode(lr)
	}
	dead, err := js.Stream(ctx, streams.Dead)
	var deadFrom uint64 = 1
	if err == nil {
		deadFrom = dead.CachedInfo().State.LastSeq + 1
	}
	seq, err := publishFor(ctx, js, c, rec.Key(), ld)
	step := func(name, detail string, err error) error {
		if !show && err == nil {
			return nil
		}
		return t.step(name, c.Stream, detail, err)
	}
	if err := step("published", fmt.Sprintf("%s:%d, %s", c.Stream, seq, rec.Key()), err); err != nil {
		return err
	}
	delivered := false
	var last *jetstream.ConsumerInfo
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		cons, err := js.Consumer(ctx, c.Stream, c.Durable)
		if err == nil {
			last = cons.CachedInfo()
			if !delivered && last.Delivered.Stream >= seq {
				delivered = true
				if err := step("delivered", "given to the exporter", nil); err != nil {
					return err
				}
			}
			if last.AckFloor.Stream >= seq {
				for d, err := range streams.DeadLetters(ctx, js, deadFrom) {
					if err == nil && d.Stream == c.Stream && d.StreamSeq == seq && d.Sink == c.Durable {
						return step("confirmed", "", fmt.Errorf("the sink refused it for good: %s (dead letter %d, see `mcpsiem dlq show %d`)", d.Reason, d.Seq, d.Seq))
					}
				}
				return step("confirmed", "the sink has it", nil)
			}
		}
		if sink.Sleep(ctx, pause) != nil {
			break
		}
	}
	name, why := "confirmed", "the exporter has it and the sink does not take it; the log says why (log/mcpsiem.log in the state folder)"
	if !delivered {
		name, why = "delivered", "nothing reads the stream for this sink"
		if last != nil && last.NumPending+uint64(last.NumAckPending) > 1 {
			why = fmt.Sprintf("%d batches are before it (see `mcpsiem status`)", last.NumPending+uint64(last.NumAckPending)-1)
		}
	}
	return step(name, "", fmt.Errorf("not within %s: %s", t.timeout, why))
}

// publishFor publishes a batch that one consumer alone gets, and that nobody counts as a new one.
func publishFor(ctx context.Context, js jetstream.JetStream, c distro.Consumer, id string, ld plog.Logs) (uint64, error) {
	body, err := streams.Encode(ld)
	if err != nil {
		return 0, err
	}
	schema := event.SchemaVersion
	if c.Stream == streams.Findings {
		schema = finding.SchemaVersion
	}
	m := nats.NewMsg(streams.ReplaySubject(streams.SubjectOf(c.Stream), c.Durable))
	m.Data = body
	m.Header.Set(streams.HeaderCount, fmt.Sprint(ld.LogRecordCount()))
	m.Header.Set(streams.HeaderSchema, fmt.Sprint(schema))
	m.Header.Set(streams.HeaderEncoding, streams.EncodingZstd)
	m.Header.Set(streams.HeaderType, streams.ContentType)
	m.Header.Set(streams.HeaderSink, c.Durable)
	m.Header.Set(streams.HeaderReplayOf, streams.FormatOrigin(c.Stream, 0))
	ack, err := js.PublishMsg(ctx, m, jetstream.WithMsgID("sink-test-"+id), jetstream.WithExpectStream(c.Stream))
	if err != nil {
		return 0, fmt.Errorf("cannot publish to stream %s: %w", c.Stream, err)
	}
	return ack.Sequence, nil
}

func printSinks(w io.Writer, list []sinkStatus) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SINK\tTYPE\tSTREAM\tRECEIVED\tDELIVERED\tFILTERED\tRETRIES\tDEAD\tLAG\tOLDEST\t")
	for _, s := range list {
		for i, st := range s.Streams {
			c := [...]string{"", "", "", "", ""}
			if i == 0 && s.Counters != nil {
				k := s.Counters
				c = [...]string{s.Name, num(k.Received), num(k.Delivered), num(total(k.Filtered)), num(total(k.Retries))}
			}
			name, typ := s.Name, s.Type
			if i > 0 {
				name, typ = "", ""
			}
			lag, oldest := "no consumer", "-"
			if st.Exists {
				lag = fmt.Sprintf("%d batches", st.LagBatches+uint64(st.InFlight))
				if st.LagRecords != nil {
					lag = fmt.Sprintf("%d events", *st.LagRecords)
				}
				if st.LagSeconds > 0 {
					oldest = (time.Duration(st.LagSeconds * float64(time.Second))).Round(time.Second).String()
				}
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, typ, st.Stream, c[1], c[2], c[3], c[4], reasons(st.DeadLettered), lag, oldest)
		}
	}
	return tw.Flush()
}

func num(n uint64) string { return fmt.Sprint(n) }

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// reasons is a count by reason as text.
func reasons(m map[string]uint64) string {
	if len(m) == 0 {
		return "0"
	}
	var out []string
	for k, v := range m {
		out = append(out, fmt.Sprintf("%d %s", v, k))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
