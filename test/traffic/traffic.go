// Package traffic makes traffic from a seed, ordinary and with planted violations, and measures detectors with it.
package traffic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/inspect"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
)

// Start is when all traffic begins: a Monday.
var Start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// Traffic is events in order of time, and the violations among them.
type Traffic struct {
	Events     []event.Event
	Violations []Violation
	Units      float64 // what false alarms are counted by
	Unit       string
}

// Violation is something that must be found.
type Violation struct {
	Kind     string
	From, To int64             // when, ns
	Rules    []string          // detectors that may find it
	Match    map[string]string // fields of the finding that must be so: tenant, principal, tool, client
	events   map[string]bool   // of it: a finding with one of them as evidence is of it
}

// Result is what a measurement found.
type Result struct {
	Found, Planted map[string]int // by kind of violation
	False          map[string]int // medium or worse that belongs to no violation, by rule
	Units          float64
	Unit           string
	Events         int
}

// Add adds another measurement.
func (r *Result) Add(o *Result) {
	if r.Found == nil {
		*r = Result{Found: map[string]int{}, Planted: map[string]int{}, False: map[string]int{}}
	}
	for k, n := range o.Found {
		r.Found[k] += n
	}
	for k, n := range o.Planted {
		r.Planted[k] += n
	}
	for k, n := range o.False {
		r.False[k] += n
	}
	r.Units += o.Units
	r.Unit = o.Unit
	r.Events += o.Events
}

// Measure runs detectors with their defaults, or with the configuration given by their ids, over the traffic.
func (t *Traffic) Measure(defs []engine.Definition, conf map[string]map[string]any) (*Result, error) {
	s := engine.Settings{Lateness: engine.DefaultLateness, FutureSkew: engine.DefaultFutureSkew}
	for _, d := range defs {
		in, err := d.New(conf[d.Spec.ID])
		if err != nil {
			return nil, err
		}
		s.Detectors = append(s.Detectors, in)
	}
	g, err := engine.New(s)
	if err != nil {
		return nil, err
	}
	var found []finding.Finding
	collect := func(ld plog.Logs) {
		for i := range ld.ResourceLogs().Len() {
			rl := ld.ResourceLogs().At(i)
			for j := range rl.ScopeLogs().Len() {
				recs := rl.ScopeLogs().At(j).LogRecords()
				for k := range recs.Len() {
					var f finding.Finding
					finding.Decode(rl.Resource(), recs.At(k), &f)
					f.EventIDs = slices.Clone(f.EventIDs)
					found = append(found, f)
				}
			}
		}
	}
	for batch := range slices.Chunk(t.Events, 500) {
		ld := plog.NewLogs()
		recs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for i := range batch {
			batch[i].Encode(recs.AppendEmpty())
		}
		g.Apply(ld)
		collect(g.Findings())
	}
	if _, stats := g.Stats(); true {
		for _, st := range stats {
			if st.Panics > 0 {
				return nil, fmt.Errorf("detector %s panicked", st.ID)
			}
		}
	}
	r := &Result{Found: map[string]int{}, Planted: map[string]int{}, False: map[string]int{}, Units: t.Units, Unit: t.Unit, Events: len(t.Events)}
	hit := make([]bool, len(t.Violations))
	for i := range found {
		f := &found[i]
		if engine.WorseSeverity(f.Severity, engine.Medium) != f.Severity { // below medium
			continue
		}
		of := false
		for v := range t.Violations {
			if t.Violations[v].explains(f) {
				hit[v], of = true, true
			}
		}
		if !of {
			r.False[f.RuleID]++
		}
	}
	for v, ok := range hit {
		r.Planted[t.Violations[v].Kind]++
		if ok {
			r.Found[t.Violations[v].Kind]++
		}
	}
	return r, nil
}

func (v *Violation) explains(f *finding.Finding) bool {
	if !slices.Contains(v.Rules, f.RuleID) {
		return false
	}
	for _, id := range f.EventIDs {
		if v.events[id] {
			return true
		}
	}
	if len(v.Match) == 0 || f.Time < v.From || f.Time > v.To {
		return false
	}
	for k, want := range v.Match {
		got := map[string]string{"tenant": f.Tenant, "principal": f.PrincipalID, "tool": f.Tool, "client": f.ClientName}[k]
		if got != want {
			return false
		}
	}
	return true
}

// maker makes events.
type maker struct {
	rng    *rand.Rand
	eng    *inspect.Engine
	sess   *inspect.Session
	n      int
	events []event.Event
}

func newMaker(seed uint64) (*maker, error) {
	key := make([]byte, pseudonym.KeySize)
	for i := range key {
		key[i] = byte(seed >> (i % 8))
	}
	m, err := pseudonym.NewMaster(key)
	if err != nil {
		return nil, err
	}
	e, err := inspect.New(inspect.Config{Master: m})
	if err != nil {
		return nil, err
	}
	return &maker{rng: rand.New(rand.NewPCG(seed, 7)), eng: e, sess: e.Session()}, nil
}

// add finishes an event: its ids, and what inspection learns of its body.
func (m *maker) add(e event.Event, at time.Duration, body string) *event.Event {
	e.Time = Start.Add(at).UnixNano()
	e.Received = e.Time
	e.SourceKind, e.ClockSource, e.Capture = "json", "source", event.CaptureComplete
	e.ID = event.SourceID("traffic", fmt.Sprint(m.n))
	m.n++
	if body != "" {
		out := m.sess.Inspect(&inspect.Input{Tenant: e.Tenant, Server: e.Server, Tool: e.Tool, Method: e.Method, Kind: e.Kind, Direction: e.Direction, Time: e.Time, Body: []byte(body)})
		e.Fingerprints = slices.Clone(out.Fingerprints)
		e.BodyFingerprint = out.BodyFingerprint
		e.Body, e.BodySize = string(out.Body), int64(len(body))
		e.DataClasses = slices.Clone(out.Classes)
	}
	m.events = append(m.events, e)
	return &m.events[len(m.events)-1]
}

// call adds a call and its result, and returns their event ids.
func (m *maker) call(base event.Event, at time.Duration, tool, args, result string) (request, response string) {
	e := base
	e.Name, e.Kind, e.Direction, e.Method, e.Tool = event.NameRequest, event.KindRequest, event.ClientToServer, "tools/call", tool
	e.TokensArguments = int64(len(args)/4 + 5)
	request = m.add(e, at, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+args+`}}`).ID
	m.events[len(m.events)-1].ExchangeID = request
	e.Name, e.Kind, e.Direction, e.Outcome = event.NameResponse, event.KindResponse, event.ServerToClient, event.OutcomeOK
	e.TokensArguments, e.TokensResult, e.ExchangeID = 0, int64(len(result)/4), request
	response = m.add(e, at+200*time.Millisecond, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":`+fmt.Sprintf("%q", result)+`}]}}`).ID
	return request, response
}

// finish sorts the events by time.
func (m *maker) finish() []event.Event {
	slices.SortStableFunc(m.events, func(a, b event.Event) int {
		switch {
		case a.Time < b.Time:
			return -1
		case a.Time > b.Time:
			return 1
		}
		return 0
	})
	m.sess.Close()
	return m.events
}
