package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// burst raises every third request of a principal within ten seconds, and every request that gets no response in five: it has
// memory, windows and timers, as the detectors to be tested with it have.
type burst struct{}

type burstState struct {
	Times []int64          `json:"times"`
	Open  map[string]int64 `json:"open"`
	Total int              `json:"total"`
}

func (burst) Wants(e *event.Event) bool {
	return e.Kind == event.KindRequest || e.Kind == event.KindResponse
}

func (burst) Observe(c *Context, e *event.Event, s *burstState) {
	if s.Open == nil {
		s.Open = map[string]int64{}
	}
	if e.Tool == "panic" {
		panic("as asked")
	}
	if e.Kind == event.KindResponse {
		delete(s.Open, e.ExchangeID)
		return
	}
	s.Total++
	s.Times = append(s.Times, c.Now)
	s.Times = slices.DeleteFunc(s.Times, func(t int64) bool { return t < c.Now-10*sec })
	if len(s.Open) < 100 {
		s.Open[e.ExchangeID] = c.Now
		c.SetTimer(c.Now + 5*sec)
	}
	if len(s.Times) == 3 {
		s.Times = s.Times[:0]
		c.Emit(Alert{Scope: []string{strconv.Itoa(s.Total)}, Summary: "Three requests.", Why: map[string]string{"total": strconv.Itoa(s.Total)}})
	}
}

func (burst) Timer(c *Context, s *burstState) {
	next := int64(0)
	var silent []string
	for id, at := range s.Open {
		if at+5*sec <= c.Watermark {
			silent = append(silent, id)
		} else if next == 0 || at+5*sec < next {
			next = at + 5*sec
		}
	}
	slices.Sort(silent)
	for _, id := range silent {
		delete(s.Open, id)
		c.Emit(Alert{Scope: []string{"silent", id}, Severity: Low, Summary: "No answer.", EventIDs: []string{id}})
	}
	if next != 0 {
		c.SetTimer(next)
	}
}

const sec = int64(1e9)

func burstDefinition(change func(*Spec)) Definition {
	spec := Spec{ID: "burst", Version: "1", Title: "Burst", Severity: High, Confidence: 0.5, Key: KeyPrincipal}
	if change != nil {
		change(&spec)
	}
	return Define(spec, struct{}{}, func(struct{}) (Detector[burstState], error) { return burst{}, nil })
}

// stateless raises every tool error, once a minute for each tool.
type stateless struct{}

func (stateless) Wants(e *event.Event) bool { return e.Outcome == event.OutcomeToolError }
func (stateless) Observe(c *Context, e *event.Event, _ *struct{}) {
	c.Emit(Alert{Scope: []string{e.Tool}, Window: 60e9, Summary: "A tool failed."})
}

var statelessDefinition = Define(Spec{ID: "stateless", Version: "1", Title: "Error", Severity: Low, Confidence: 1, Key: KeyMessage}, struct{}{},
	func(struct{}) (Detector[struct{}], error) { return stateless{}, nil })

func newEngine(t testing.TB, change func(*Spec)) *Engine {
	var s Settings
	s.Lateness, s.FutureSkew, s.DedupeCapacity = 2e9, DefaultFutureSkew, 1000
	for _, d := range []Definition{burstDefinition(change), statelessDefinition} {
		in, err := d.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Detectors = append(s.Detectors, in)
	}
	g, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const start = 1_767_600_000 * sec

// ev makes one event at the second.
func ev(at float64, change func(*event.Event)) event.Event {
	var e event.Event
	e.Name, e.Kind, e.Direction, e.Method = event.NameRequest, event.KindRequest, event.ClientToServer, "tools/call"
	e.Time = start + int64(at*1e9)
	e.Received = e.Time
	e.Tenant, e.PrincipalID, e.Server, e.Tool = "default", "alice", "server", "tool"
	if change != nil {
		change(&e)
	}
	if e.ExchangeID == "" {
		e.ExchangeID = e.ID
	}
	return e
}

func logsOf(events ...event.Event) plog.Logs {
	ld := plog.NewLogs()
	recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range events {
		events[i].Encode(recs.AppendEmpty())
	}
	return ld
}

func findingsOf(ld plog.Logs) (out []finding.Finding) {
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		for j := range rl.ScopeLogs().Len() {
			for k := range rl.ScopeLogs().At(j).LogRecords().Len() {
				var f finding.Finding
				finding.Decode(rl.Resource(), rl.ScopeLogs().At(j).LogRecords().At(k), &f)
				out = append(out, f)
			}
		}
	}
	return out
}

// asSet is findings as comparable text by id; a finding that comes twice with the same id must be the same.
func asSet(t interface{ Fatalf(string, ...any) }, list []finding.Finding) map[string]string {
	m := map[string]string{}
	for _, f := range list {
		text := fmt.Sprintf("%+v", f)
		if old, ok := m[f.ID]; ok && old != text {
			t.Fatalf("one id, two findings:\n%s\n%s", old, text)
		}
		m[f.ID] = text
	}
	return m
}

// sink takes findings; it can be told to refuse.
type sink struct {
	got    []finding.Finding
	refuse func(plog.Logs) error
}

func (s *sink) consume(_ context.Context, ld plog.Logs) error {
	if s.refuse != nil {
		if err := s.refuse(ld); err != nil {
			return err
		}
	}
	s.got = append(s.got, findingsOf(ld)...)
	return nil
}

// bursts counts the findings that came of counting, not of waiting.
func (s *sink) bursts() (n int) {
	for _, f := range s.got {
		if f.Severity == High {
			n++
		}
	}
	return n
}

var errBusy = errors.New("busy")

// memStore is a Store that can be torn.
type memStore struct {
	snaps [][]byte // newest first
	tear  bool     // the next Save leaves half of what it should
	fail  bool
}

func (s *memStore) Load(context.Context) ([][]byte, error) { return s.snaps, nil }
func (s *memStore) Save(_ context.Context, b []byte) error {
	if s.fail {
		return errBusy
	}
	if s.tear {
		s.tear = false
		s.snaps = append([][]byte{slices.Clone(b[:len(b)/2])}, s.snaps...)
		return errBusy
	}
	s.snaps = append([][]byte{slices.Clone(b)}, s.snaps...)
	s.snaps = s.snaps[:min(len(s.snaps), 2)]
	return nil
}

// memStream is a stream of messages with sequences from 1 and one durable consumer.
type memStream struct {
	created  int64
	first    uint64
	messages []plog.Logs
	floor    uint64
	broken   error
	reads    int
}

func (s *memStream) Bounds(context.Context, string, string) (Bounds, error) {
	return Bounds{Created: s.created, First: max(s.first, 1), Last: uint64(len(s.messages)), AckFloor: s.floor}, s.broken
}

func (s *memStream) Read(_ context.Context, _, _ string, first, last uint64, f func(uint64, plog.Logs) error) error {
	s.reads++
	if s.broken != nil {
		return s.broken
	}
	for n := max(first, s.first, 1); n <= min(last, uint64(len(s.messages))); n++ {
		if err := f(n, s.copy(n)); err != nil {
			return err
		}
	}
	return nil
}

func (s *memStream) copy(n uint64) plog.Logs {
	ld := plog.NewLogs()
	s.messages[n-1].CopyTo(ld)
	return ld
}
