package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/term"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// jetstream connects to the streams: as the viewer, who can read what is redacted, or as the pipeline.
func (t *target) jetstream(ctx context.Context, pipeline bool) (*nats.Conn, jetstream.JetStream, error) {
	cfg, err := t.nats(pipeline)
	if err != nil {
		return nil, nil, err
	}
	// On a NATS of the operator's the viewer is the user of that name, as deploy/compose/nats/nats.conf has it.
	if !pipeline && (t.natsURL == "" || t.natsUser == "viewer") {
		cfg.InboxPrefix = natsd.ViewerInbox
	}
	nc, err := cfg.Connect(ctx, "mcpsiem-cli", nats.RetryOnFailedConnect(false), nats.MaxReconnects(0))
	if err != nil {
		return nil, nil, withCode(exitUnreachable, fmt.Errorf("%w (see `mcpsiem doctor`)", err))
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}

func newTail() *cobra.Command {
	var t target
	var asJSON, onlyFindings, onlyEvents bool
	var back days
	c := &cobra.Command{
		Use:     "tail",
		GroupID: "look",
		Short:   "Follow events and findings as they come",
		Long: `Print each message that passes the taps, and each finding, one line each, redacted as they are stored. Calls show who,
server, method, tool and, on the answer, outcome, time and tokens. With --json each line is the event or finding in its JSON
form (docs/event.md, docs/finding.md). Ends with Ctrl-C, or when the reader of its output goes away.`,
		Example: "  mcpsiem tail\n  mcpsiem tail --findings\n  mcpsiem tail --since 10m --json | jq 'select(.\"mcpsiem.outcome\" == \"tool_error\")'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			nc, js, err := t.jetstream(c.Context(), false)
			if err != nil {
				return err
			}
			defer nc.Close()
			p := printer{w: c.OutOrStdout(), json: asJSON, color: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""}
			if !asJSON && term.IsTerminal(int(os.Stderr.Fd())) {
				fmt.Fprintln(os.Stderr, "mcpsiem: waiting for messages; Ctrl-C ends")
			}
			var followers []*follower
			for _, name := range []string{streams.Events, streams.Findings} {
				if (name == streams.Events && onlyFindings) || (name == streams.Findings && onlyEvents) {
					continue
				}
				f, err := follow(c.Context(), js, name, time.Duration(back))
				if err != nil {
					return err
				}
				followers = append(followers, f)
			}
			for {
				idle := true
				for _, f := range followers {
					ld, ok, err := f.next(c.Context())
					if c.Context().Err() != nil {
						return nil
					}
					if err != nil {
						return withCode(exitUnreachable, err)
					}
					if !ok {
						continue
					}
					idle = false
					if err := p.print(ld); err != nil {
						return nil // the reader is gone
					}
				}
				if !idle {
					continue
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-time.After(100 * time.Millisecond):
				}
			}
		},
	}
	t.bind(c, true, false)
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON lines")
	f.BoolVar(&onlyFindings, "findings", false, "findings only")
	f.BoolVar(&onlyEvents, "events", false, "events only")
	f.Var(&back, "since", "start this long ago `DURATION`, e.g. 10m, 2d (default: now)")
	c.MarkFlagsMutuallyExclusive("findings", "events")
	return c
}

// follower reads a stream message by message without a consumer, so that watching leaves no trace in the server.
type follower struct {
	stream jetstream.Stream
	seq    uint64 // next to read
}

func follow(ctx context.Context, js jetstream.JetStream, name string, back time.Duration) (*follower, error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, withCode(exitUnreachable, fmt.Errorf("cannot read stream %s: %w", name, err))
	}
	state := s.CachedInfo().State
	f := &follower{s, state.LastSeq + 1}
	if back > 0 && state.Msgs > 0 {
		// Batches are in order of time: halve the range until the first one inside it is found. What was deleted is passed over.
		from := time.Now().Add(-back)
		lo, hi := state.FirstSeq, state.LastSeq+1
		for lo < hi {
			mid := lo + (hi-lo)/2
			m, err := s.GetMsg(ctx, mid, jetstream.WithGetMsgSubject(">"))
			if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil, fmt.Errorf("cannot read stream %s: %w", name, err)
			}
			if err == nil && m.Time.Before(from) {
				lo = m.Sequence + 1
			} else {
				hi = mid
			}
		}
		f.seq = lo
	}
	return f, nil
}

// next returns the next batch, or ok false if there is none yet. Asking for the first one from seq on, rather than for seq, passes over
// what was deleted, and nothing else: a replica that is behind the others has none yet.
func (f *follower) next(ctx context.Context) (ld plog.Logs, ok bool, err error) {
	m, err := f.stream.GetMsg(ctx, f.seq, jetstream.WithGetMsgSubject(">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ld, false, nil
	}
	if err != nil {
		return ld, false, fmt.Errorf("cannot read the stream: %w", err)
	}
	f.seq = m.Sequence + 1
	ld, err = streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
	if err != nil {
		return ld, false, fmt.Errorf("cannot read batch %d: %w", m.Sequence, err)
	}
	return ld, true, nil
}

// printer writes events and findings for people or programs.
type printer struct {
	w     io.Writer
	json  bool
	color bool
}

func (p *printer) print(ld plog.Logs) error {
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				var err error
				if lr.EventName() == finding.EventName {
					var f finding.Finding
					finding.Decode(rl.Resource(), lr, &f)
					err = p.finding(&f)
				} else {
					var e event.Event
					event.Decode(rl.Resource(), lr, &e)
					err = p.event(&e)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *printer) event(e *event.Event) error {
	if p.json {
		return p.line(e)
	}
	who := e.PrincipalID
	switch {
	case who == "":
		who = "-"
	case !e.PrincipalVerified:
		who += "?"
	}
	arrow := "→"
	if e.Direction == event.ServerToClient {
		arrow = "←"
	}
	what := []string{plain(e.Method)}
	for _, s := range []string{e.Tool, e.Prompt, e.ResourceURI} {
		if s != "" {
			what = append(what, plain(s))
		}
	}
	if e.Kind == event.KindRecord || e.Method == "" {
		what[0] = strings.TrimSpace(plain(e.Name + " " + e.Method))
	}
	if e.Outcome != "" {
		what = append(what, p.paint(outcomeColor(e.Outcome), plain(e.Outcome)))
		if e.RPCCode != "" {
			what = append(what, plain(e.RPCCode))
		}
		if e.DurationNanos > 0 {
			what = append(what, time.Duration(e.DurationNanos).Round(10*time.Microsecond).String())
		}
	}
	if n := e.TokensArguments + e.TokensResult + e.TokensDefinitions; n > 0 {
		what = append(what, fmt.Sprintf("%d %s", n, plural(int(n), "token", "tokens")))
	}
	if len(e.DataClasses) > 0 {
		what = append(what, p.paint(33, "["+plain(strings.Join(e.DataClasses, " "))+"]"))
	}
	if len(e.Anomalies) > 0 {
		what = append(what, p.paint(31, plain(strings.Join(e.Anomalies, " "))))
	}
	_, err := fmt.Fprintf(p.w, "%s %s %s %s %s %s\n", time.Unix(0, e.Time).Format("15:04:05.000"), plain(e.Tenant), plain(who), arrow, plain(e.Server), strings.Join(what, " "))
	return err
}

func (p *printer) finding(f *finding.Finding) error {
	if p.json {
		return p.line(struct {
			Time string `json:"time"`
			finding.Fields
		}{time.Unix(0, f.Time).UTC().Format(time.RFC3339Nano), f.Fields})
	}
	color := 33
	if f.Severity == "high" || f.Severity == "critical" {
		color = 31
	}
	_, err := fmt.Fprintf(p.w, "%s %s %s %s %s\n", time.Unix(0, f.Time).Format("15:04:05.000"), plain(f.Tenant), p.paint(color, "FINDING "+f.Severity), shortID(f.ID), plain(f.RuleID+": "+f.Summary))
	return err
}

func (p *printer) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = p.w.Write(append(b, '\n'))
	return err
}

func (p *printer) paint(color int, s string) string {
	if !p.color {
		return s
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", color, s)
}

// plain keeps characters that are not visible (control characters, line breaks, changes of direction) of foreign text away from the terminal.
func plain(s string) string { return strings.Map(visible, s) }

func visible(r rune) rune {
	if !unicode.IsGraphic(r) {
		return unicode.ReplacementChar
	}
	return r
}

// copyPlain copies text of many lines, of which the contents are foreign.
func copyPlain(w io.Writer, r io.Reader) error {
	in, out := bufio.NewReader(r), bufio.NewWriter(w)
	for {
		c, _, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if c != '\n' && c != '\t' {
			c = visible(c)
		}
		if _, err := out.WriteRune(c); err != nil {
			return err
		}
	}
}

func outcomeColor(o string) int {
	if o == event.OutcomeOK {
		return 32
	}
	return 31
}
