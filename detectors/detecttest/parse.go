// Package detecttest reads and runs detection fixtures: scripts of events and expected findings. README.md has the language.
package detecttest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Script is a fixture file.
type Script struct {
	Name   string
	Config map[string]map[string]any // detector configuration by rule id
	Cases  []Case
}

// Case is one story.
type Case struct {
	Name  string
	Line  int
	steps []step
}

// step is one event, or the expectations after some.
type step struct {
	line   int
	event  *plog.Logs
	expect []expectation // with none: no finding
}

type expectation struct {
	line     int
	rule     string
	severity string
	fields   []fieldMatch
}

type fieldMatch struct {
	name, value string
	contains    bool
}

// base is when every case starts.
var base = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC).UnixNano()

// Parse reads a fixture.
func Parse(name string, text []byte) (*Script, error) {
	p := &parser{script: &Script{Name: name, Config: map[string]map[string]any{}}}
	for i, line := range strings.Split(string(text), "\n") {
		p.line = i + 1
		words, err := split(line)
		if err == nil && len(words) > 0 {
			err = p.statement(words, line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
		}
	}
	if err := p.endCase(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
	}
	if len(p.script.Cases) == 0 {
		return nil, fmt.Errorf("%s: the file has no case", name)
	}
	return p.script, nil
}

type parser struct {
	script *Script
	line   int
	given  []word // of the file
	cur    *Case
	// of the current case
	caseGiven []word
	at        int64
	events    int
	numbers   map[string]int64 // last tap sequence by tap and epoch
	open      []openRequest
}

type openRequest struct {
	method, tool, id string
	start            int64
}

// word is a blank-separated part of a line, cut at the first = or ~ outside quotes.
type word struct {
	text, value string
	op          byte // '=', '~' or 0
}

// split cuts a line into words and drops its comment.
func split(line string) ([]word, error) {
	var out []word
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' || line[i] == '\r' {
			i++
			continue
		}
		if line[i] == '#' {
			break
		}
		var w word
		var b strings.Builder
		quoted := false
		for ; i < len(line) && (quoted || line[i] != ' ' && line[i] != '\t' && line[i] != '\r'); i++ {
			switch c := line[i]; {
			case c == '"':
				quoted = !quoted
			case !quoted && w.op == 0 && (c == '=' || c == '~'):
				w.op, w.text = c, b.String()
				b.Reset()
			default:
				b.WriteByte(c)
			}
		}
		if quoted {
			return nil, fmt.Errorf("a quote is not closed")
		}
		if w.op == 0 {
			w.text = b.String()
		} else {
			w.value = b.String()
			if w.text == "" {
				return nil, fmt.Errorf("a name is missing before %q", string(w.op))
			}
		}
		out = append(out, w)
	}
	return out, nil
}

func (p *parser) statement(words []word, line string) error {
	first := words[0]
	if first.op != 0 || first.text == "" {
		return fmt.Errorf("%q is no statement; begin with given, case, config, expect or a time", first.text)
	}
	switch first.text {
	case "case":
		if err := p.endCase(); err != nil {
			return err
		}
		name := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "case"))
		if name == "" {
			return fmt.Errorf("a case needs a name")
		}
		p.cur = &Case{Name: name, Line: p.line}
		p.caseGiven, p.at, p.events, p.open = nil, 0, 0, nil
		p.numbers = map[string]int64{}
		return nil
	case "given":
		if err := onlyFields(words[1:]); err != nil {
			return err
		}
		if p.cur == nil {
			p.given = append(p.given, words[1:]...)
		} else {
			p.caseGiven = append(p.caseGiven, words[1:]...)
		}
		return nil
	case "config":
		return p.config(words[1:])
	case "expect":
		if p.cur == nil {
			return fmt.Errorf("expect belongs into a case")
		}
		return p.expect(words[1:])
	}
	if c := first.text[0]; c != '+' && (c < '0' || c > '9') {
		return fmt.Errorf("%q is no statement; begin with given, case, config, expect or a time", first.text)
	}
	if p.cur == nil {
		return fmt.Errorf("events belong into a case")
	}
	if len(words) < 2 {
		return fmt.Errorf("after the time, say what happens, for example call, result or tick")
	}
	at, err := p.time(first.text)
	if err != nil {
		return err
	}
	return p.addEvent(at, words[1:])
}

func (p *parser) endCase() error {
	if p.cur == nil {
		return nil
	}
	if !slices.ContainsFunc(p.cur.steps, func(s step) bool { return s.event == nil }) {
		return fmt.Errorf("case %q expects nothing: say `expect none` if that is meant", p.cur.Name)
	}
	p.script.Cases = append(p.script.Cases, *p.cur)
	p.cur = nil
	return nil
}

func onlyFields(words []word) error {
	for _, w := range words {
		if w.op != '=' {
			return fmt.Errorf("%q is no field=value", w.text)
		}
		if w.text == "received" || w.text == "body" {
			continue
		}
		if _, _, err := eventField(w.text); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) config(words []word) error {
	if p.cur != nil {
		return fmt.Errorf("config belongs before the first case")
	}
	if len(words) == 0 || words[0].op != 0 {
		return fmt.Errorf("config needs the id of a rule")
	}
	c := p.script.Config[words[0].text]
	if c == nil {
		c = map[string]any{}
		p.script.Config[words[0].text] = c
	}
	for _, w := range words[1:] {
		if w.op != '=' {
			return fmt.Errorf("%q is no key=value", w.text)
		}
		switch n, err := strconv.ParseFloat(w.value, 64); {
		case err == nil:
			c[w.text] = n
		case w.value == "true" || w.value == "false":
			c[w.text] = w.value == "true"
		case strings.Contains(w.value, ","):
			c[w.text] = strings.Split(w.value, ",")
		default:
			c[w.text] = w.value
		}
	}
	return nil
}

// time reads a TIME as ns since the start of the case.
func (p *parser) time(s string) (int64, error) {
	rel := strings.HasPrefix(s, "+")
	d, err := time.ParseDuration(strings.TrimPrefix(s, "+"))
	if err != nil {
		return 0, fmt.Errorf("%q is no time such as 0s, 1.5s or +200ms", s)
	}
	at := int64(d)
	if rel {
		at += p.at
	}
	return at, nil
}

func (p *parser) expect(words []word) error {
	if len(words) == 0 || words[0].op != 0 {
		return fmt.Errorf("expect needs the id of a rule, or none")
	}
	steps := p.cur.steps
	last := len(steps) - 1
	if words[0].text == "none" {
		if len(words) > 1 {
			return fmt.Errorf("expect none stands alone")
		}
		if last >= 0 && steps[last].event == nil {
			return fmt.Errorf("expect none cannot follow another expect without an event between")
		}
		p.cur.steps = append(steps, step{line: p.line})
		return nil
	}
	x := expectation{line: p.line, rule: words[0].text}
	words = words[1:]
	if len(words) > 0 && words[0].op == 0 {
		x.severity = words[0].text
		words = words[1:]
	}
	for _, w := range words {
		if w.op == 0 {
			return fmt.Errorf("%q is no field=value or field~text", w.text)
		}
		if _, err := findingField(w.text); err != nil {
			return err
		}
		x.fields = append(x.fields, fieldMatch{w.text, w.value, w.op == '~'})
	}
	if last >= 0 && steps[last].event == nil {
		if len(steps[last].expect) == 0 {
			return fmt.Errorf("an expect cannot follow expect none without an event between")
		}
		steps[last].expect = append(steps[last].expect, x)
		return nil
	}
	p.cur.steps = append(steps, step{line: p.line, expect: []expectation{x}})
	return nil
}

// message is what a verb makes of an event.
type message struct {
	name, kind, direction, method, outcome string
	arg                                    string // tool, method, action or none
	tools                                  bool
}

var verbs = map[string]message{
	"call":            {event.NameRequest, event.KindRequest, event.ClientToServer, "tools/call", "", "tool", false},
	"result":          {event.NameResponse, event.KindResponse, event.ServerToClient, "tools/call", event.OutcomeOK, "tool", false},
	"tool-error":      {event.NameResponse, event.KindResponse, event.ServerToClient, "tools/call", event.OutcomeToolError, "tool", false},
	"tools":           {event.NameResponse, event.KindResponse, event.ServerToClient, "tools/list", event.OutcomeOK, "", true},
	"request":         {event.NameRequest, event.KindRequest, event.ClientToServer, "", "", "method", false},
	"response":        {event.NameResponse, event.KindResponse, event.ServerToClient, "", event.OutcomeOK, "method", false},
	"error":           {event.NameResponse, event.KindError, event.ServerToClient, "", event.OutcomeRPCError, "method", false},
	"notification":    {event.NameNotification, event.KindNotification, event.ClientToServer, "", "", "method", false},
	"server-request":  {event.NameRequest, event.KindRequest, event.ServerToClient, "", "", "method", false},
	"invalid":         {event.NameInvalid, event.KindInvalid, event.ServerToClient, "", "", "", false},
	"tick":            {event.NameNotification, event.KindNotification, event.ClientToServer, "notifications/tick", "", "", false},
	"audit":           {event.NameAudit, event.KindRecord, "", "", event.OutcomeOK, "action", false},
	"tap-start":       {event.NameTapStart, event.KindRecord, "", "", "", "", false},
	"tap-stop":        {event.NameTapStop, event.KindRecord, "", "", "", "", false},
	"tap-loss":        {event.NameTapLoss, event.KindRecord, "", "", "", "", false},
	"server-exit":     {event.NameServerExit, event.KindRecord, "", "", "", "", false},
	"transport-error": {event.NameTransport, event.KindRecord, event.ServerToClient, "", event.OutcomeTransportError, "", false},
}

// toolDef reads NAME:HASH and what may follow: a number of tokens, +CAPABILITY, SIGNAL@SCORE.
func toolDef(a string) (d event.ToolDef, err error) {
	part := strings.Split(a, ":")
	if len(part) < 2 {
		return d, fmt.Errorf("%q is no tool: write NAME:HASH or NAME:HASH:TOKENS", a)
	}
	d.Name, d.Hash = part[0], part[1]
	for _, x := range part[2:] {
		if c, ok := strings.CutPrefix(x, "+"); ok && c != "" {
			d.Capabilities = append(d.Capabilities, c)
			continue
		}
		if name, score, ok := strings.Cut(x, "@"); ok && name != "" {
			n, err := strconv.ParseFloat(score, 64)
			if err != nil {
				return d, fmt.Errorf("%q is no score of a signal", x)
			}
			if d.Signals == nil {
				d.Signals = map[string]float64{}
			}
			d.Signals[name] = n
			continue
		}
		n, err := strconv.ParseInt(x, 10, 64)
		if err != nil {
			return d, fmt.Errorf("%q is no number of tokens, +CAPABILITY or SIGNAL@SCORE", x)
		}
		d.Tokens = n
	}
	return d, nil
}

func (p *parser) addEvent(at int64, words []word) error {
	m, ok := verbs[words[0].text]
	if !ok || words[0].op != 0 {
		return fmt.Errorf("%q is nothing that can happen; see the table of events in the README", words[0].text)
	}
	words = words[1:]
	var args []string
	for len(words) > 0 && words[0].op == 0 {
		args = append(args, words[0].text)
		words = words[1:]
	}
	if err := onlyFields(words); err != nil {
		return err
	}
	var e event.Event
	e.Name, e.Kind, e.Direction, e.Method, e.Outcome = m.name, m.kind, m.direction, m.method, m.outcome
	switch {
	case m.tools:
		for _, a := range args {
			d, err := toolDef(a)
			if err != nil {
				return err
			}
			e.ToolDefs = append(e.ToolDefs, d)
		}
	case m.arg != "" && len(args) == 1:
		switch m.arg {
		case "tool":
			e.Tool = args[0]
		case "action":
			e.AuditAction = args[0]
		default:
			e.Method = args[0]
		}
	case m.arg != "" || len(args) > 0:
		return fmt.Errorf("a %s is needed once, here are %d words", or(m.arg, "field=value"), len(args))
	}
	e.Tenant, e.Server, e.PrincipalID, e.ClientName = event.DefaultTenant, "server-1", "user-1", "client-1"
	e.ConversationID, e.Transport, e.SourceKind, e.ClockSource, e.Capture = "conversation-1", event.TransportStdio, "tap", "tap", event.CaptureComplete
	e.TapID, e.TapEpoch = "tap-1", base
	e.Time = base + at
	e.Received = e.Time
	p.at = at

	logs := plog.NewLogs()
	lr := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	e.Encode(lr)
	for _, list := range [][]word{p.given, p.caseGiven, words} {
		for _, w := range list {
			if w.text == "received" {
				r, err := p.time(w.value)
				if err != nil {
					return err
				}
				lr.SetObservedTimestamp(pcommon.Timestamp(base + r))
				continue
			}
			if w.text == "body" {
				lr.Body().SetStr(strings.ReplaceAll(w.value, "'", `"`))
				continue
			}
			if err := setField(lr.Attributes(), w); err != nil {
				return err
			}
		}
	}
	event.Decode(pcommon.NewResource(), lr, &e) // as the fields say now

	if e.TapID != "" {
		run := e.TapID + "/" + strconv.FormatInt(e.TapEpoch, 10)
		if e.TapSeq == 0 {
			e.TapSeq = p.numbers[run] + 1
		}
		p.numbers[run] = e.TapSeq
		if e.ID == "" {
			e.ID = event.TapID(e.TapID, e.TapEpoch, e.TapSeq)
		}
	} else if e.ID == "" {
		e.ID = event.SourceID(p.script.Name, p.cur.Name, strconv.Itoa(p.events))
	}
	p.events++
	switch e.Kind {
	case event.KindRequest:
		e.ExchangeID, e.ExchangeStart = or(e.ExchangeID, e.ID), e.Time
		p.open = append(p.open, openRequest{e.Method, e.Tool, e.ExchangeID, e.Time})
	case event.KindResponse, event.KindError:
		for i := len(p.open) - 1; i >= 0 && e.ExchangeID == ""; i-- {
			if o := p.open[i]; o.method == e.Method && o.tool == e.Tool {
				e.ExchangeID, e.ExchangeStart, e.DurationNanos = o.id, o.start, e.Time-o.start
				p.open = slices.Delete(p.open, i, i+1)
			}
		}
	}
	logs = plog.NewLogs()
	e.Encode(logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	p.cur.steps = append(p.cur.steps, step{line: p.line, event: &logs})
	return nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

var (
	eventFields   = fieldIndex(event.Schema, func(f event.Field) (string, string, string) { return f.Column, f.Attr, f.Type })
	findingFields = fieldIndex(finding.Schema, func(f finding.Field) (string, string, string) { return f.Column, f.Attr, f.Type })
)

type field struct{ attr, typ string }

func fieldIndex[F any](schema []F, of func(F) (column, attr, typ string)) map[string]field {
	m := map[string]field{}
	for _, f := range schema {
		column, attr, typ := of(f)
		if column != "" && column != "-" {
			m[column] = field{attr, typ}
		}
		m[attr] = field{attr, typ}
	}
	return m
}

// eventField finds the field that name means, and the entry for a field that is a map.
func eventField(name string) (field, string, error) {
	if f, ok := eventFields[name]; ok {
		return f, "", nil
	}
	if col, entry, ok := strings.Cut(name, "."); ok {
		if f, ok := eventFields[col]; ok && (f.typ == "labels" || f.typ == "scores") && entry != "" {
			return f, entry, nil
		}
	}
	return field{}, "", fmt.Errorf("%q is no field of an event; docs/event.md lists them", name)
}

func findingField(name string) (string, error) {
	if name == "time" {
		return name, nil
	}
	if _, ok := findingFields[name]; ok {
		return name, nil
	}
	if col, entry, ok := strings.Cut(name, "."); ok {
		if f, ok := findingFields[col]; ok && f.typ == "labels" && entry != "" {
			return name, nil
		}
	}
	return "", fmt.Errorf("%q is no field of a finding; docs/finding.md lists them", name)
}

// setField puts a field=value onto a record.
func setField(m pcommon.Map, w word) error {
	f, entry, err := eventField(w.text)
	if err != nil {
		return err
	}
	bad := func() error { return fmt.Errorf("%s cannot be %q: it is of type %s", w.text, w.value, f.typ) }
	switch f.typ {
	case "string":
		m.PutStr(f.attr, w.value)
	case "bool":
		b, err := strconv.ParseBool(w.value)
		if err != nil {
			return bad()
		}
		m.PutBool(f.attr, b)
	case "int":
		n, err := strconv.ParseInt(w.value, 10, 64)
		if err != nil {
			return bad()
		}
		m.PutInt(f.attr, n)
	case "float":
		n, err := strconv.ParseFloat(w.value, 64)
		if err != nil {
			return bad()
		}
		m.PutDouble(f.attr, n)
	case "strings":
		s := m.PutEmptySlice(f.attr)
		for _, x := range strings.Split(w.value, ",") {
			if x != "" {
				s.AppendEmpty().SetStr(x)
			}
		}
	case "ints":
		s := m.PutEmptySlice(f.attr)
		for _, x := range strings.Split(w.value, ",") {
			n, err := strconv.ParseInt(x, 10, 64)
			if err != nil {
				return bad()
			}
			s.AppendEmpty().SetInt(n)
		}
	case "labels", "scores":
		if entry == "" {
			return fmt.Errorf("%s is a map: write %s.NAME=value", w.text, w.text)
		}
		v, ok := m.Get(f.attr)
		if !ok || v.Type() != pcommon.ValueTypeMap {
			v = m.PutEmpty(f.attr)
			v.SetEmptyMap()
		}
		if f.typ == "labels" {
			v.Map().PutStr(entry, w.value)
			break
		}
		n, err := strconv.ParseFloat(w.value, 64)
		if err != nil {
			return bad()
		}
		v.Map().PutDouble(entry, n)
	default:
		return fmt.Errorf("%s cannot be set here; the README says how", w.text)
	}
	return nil
}
