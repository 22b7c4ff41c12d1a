package tooldrift

// What a definition shows that no earlier one of its tool did; where definitions carry no signals of their own, what a list shows that
// no earlier list of its server did.

import (
	"slices"
	"strings"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/tooldef"
)

// watched are the content signals that say something when they rise, in the order in which findings name them, how severe that is, and the
// score below which it is not: a release note or a mention of a file of settings is as much. Those of phrased count by
// their threshold too.
var watched = []watch{
	{content.SignalInjection, engine.Medium, 0.4},
	{content.SignalHiddenText, engine.High, 0},
	{content.SignalExfilLink, engine.High, 0},
	{content.SignalPoisoned, engine.High, 0.6}, // an opinion, not a phrase that can be pointed at: alone never critical
	{"conceal", engine.High, 0},
	{"override", engine.High, 0},
	{"authority", engine.Medium, 0.4},
	{"sequencing", engine.Medium, 0.6},
	{"preference", engine.Medium, 0.6},
	{content.SignalSensitiveFile, engine.High, 0.6},
	{content.SignalRemoteCode, engine.High, 0.6},
	{content.SignalRemoteCodeStrong, engine.High, 0},
	{"encoded_text", engine.Medium, 0.4},
}

type watch struct {
	signal, severity string
	floor            float64
}

// risen is what a definition or a list shows beyond all before it.
type risen struct {
	names    []string // watched signals
	severity string   // of the worst of them, of the capabilities and of what turned; empty if there are none
	caps     []string // dangerous capabilities
	turned   []string // what it now says that it does, or no longer says
	poison   string   // the strongest that phrased finds, if it reaches the threshold and nothing earlier had as much
	score    float64
}

// merge adds what another shows, for a finding about both.
func (r *risen) merge(o risen) {
	for _, p := range []struct {
		to   *[]string
		from []string
	}{{&r.names, o.names}, {&r.caps, o.caps}, {&r.turned, o.turned}} {
		for _, n := range p.from {
			if !slices.Contains(*p.to, n) {
				*p.to = append(slices.Clip(*p.to), n)
			}
		}
	}
	r.severity = engine.WorseSeverity(r.severity, o.severity)
	if o.score > r.score {
		r.poison, r.score = o.poison, o.score
	}
}

// phrased is the strongest of the signals of instructions to a model that rest on what is written there, if it reaches the threshold.
func phrased(signals map[string]float64, threshold float64) (name string, score float64) {
	for _, n := range []string{content.SignalInjection, content.SignalHiddenText, content.SignalExfilLink} {
		if s := signals[n]; s >= threshold && s > score {
			name, score = n, s
		}
	}
	return name, score
}

// slack is what two scores of the same text may differ by.
const slack = 0.005

// facts are what drift remembers of tooldef.Facts.
type facts struct {
	ReadOnly    tooldef.Hint `json:"r,omitempty"`
	Destructive tooldef.Hint `json:"d,omitempty"`
	Act         tooldef.Act  `json:"a,omitempty"`
	Takes       []string     `json:"t,omitempty"`
}

// listing is one list, with what is known of its definitions.
type listing struct {
	e     *event.Event
	s     *state
	known bool // the server listed something before
	own   bool // definitions have signals and capabilities of their own
	whole risen

	read  bool // the body
	facts map[string]tooldef.Facts
}

// learn begins a list. Where definitions have no signals of their own it remembers what the list shows and finds what of it is new. Of a server's
// first list nothing is, nor what a list shows while there is no change to blame for it: the caller judges that.
func (d *detector) learn(e *event.Event, s *state, known bool) listing {
	l := listing{e: e, s: s, known: known}
	l.own = slices.ContainsFunc(e.ToolDefs, func(t event.ToolDef) bool { return len(t.Signals) > 0 || len(t.Capabilities) > 0 })
	if l.own {
		return l
	}
	r := &l.whole
	if name, score := phrased(e.Signals, d.conf.PoisonThreshold); name != "" && (!known || score > s.Signals[name]+slack) {
		r.poison, r.score = name, score
	}
	d.rise(r, e.Signals, s.Signals, known)
	if s.Signals == nil {
		s.Signals = map[string]float64{}
	}
	keep(s.Signals, e.Signals)
	for _, name := range e.Capabilities {
		if isDangerous(name) && !slices.Contains(s.Caps, name) {
			s.Caps = append(s.Caps, name)
			if known {
				r.caps = append(r.caps, name)
			}
		}
	}
	return l
}

// risen is what the list as a whole shows; nothing where its definitions speak for themselves.
func (l *listing) risen() risen { return l.whole }

// rise notes the watched signals that exceed those before.
func (d *detector) rise(r *risen, now, before map[string]float64, known bool) {
	for _, w := range watched {
		if n, b := now[w.signal], before[w.signal]; known && n > b && n >= b+d.conf.Rise {
			r.names = append(r.names, w.signal)
			if n >= w.floor {
				r.severity = engine.WorseSeverity(r.severity, w.severity)
			}
		}
	}
}

// keep raises the remembered scores to those of now.
func keep(into, now map[string]float64) {
	for _, w := range watched {
		if n := now[w.signal]; n > into[w.signal] {
			into[w.signal] = n
		}
	}
}

// of is what the body says of a tool; nil where there is no body to read.
func (l *listing) of(name string) *facts {
	if !l.read {
		l.read, l.facts = true, tooldef.Parse(l.e.Body)
	}
	f, ok := l.facts[name]
	if !ok {
		return nil
	}
	return &facts{f.ReadOnly, f.Destructive, f.Act, f.Takes}
}

// meaning compares a definition that is new with what is remembered of its tool, or of its server where the tool is new, and remembers it.
func (d *detector) meaning(x *change, t *tool, def *event.ToolDef, l *listing) {
	before, now := t.Facts, l.of(def.Name)
	defer func() { t.Facts = now }()
	if !l.own {
		if !x.isNew {
			turn(&x.risen, before, now)
		}
		return
	}
	earlier, can := t.Signals, t.Can
	if x.isNew {
		earlier, can = l.s.Signals, l.s.Caps
	}
	if name, score := phrased(def.Signals, d.conf.PoisonThreshold); name != "" && score > earlier[name]+slack {
		x.poison, x.score = name, score
	}
	d.rise(&x.risen, def.Signals, earlier, true)
	for _, c := range def.Capabilities {
		if isDangerous(c) && !slices.Contains(can, c) {
			x.caps = append(x.caps, c)
		}
	}
	switch {
	case x.isNew:
		x.severity = engine.WorseSeverity(x.severity, novel(x.caps, l.s.Acts))
	default:
		x.severity = engine.WorseSeverity(x.severity, gained(x.caps, before, now))
		turn(&x.risen, before, now)
	}
	if t.Signals == nil && slices.ContainsFunc(watched, func(w watch) bool { return def.Signals[w.signal] > 0 }) {
		t.Signals = map[string]float64{}
	}
	if t.Signals != nil {
		keep(t.Signals, def.Signals)
	}
	for _, c := range def.Capabilities {
		if acts(c) && !slices.Contains(t.Can, c) {
			t.Can = append(t.Can, c)
		}
	}
}

// settle remembers for the server what its list showed, once all its definitions are judged.
func (s *state) settle(e *event.Event) {
	for i := range e.ToolDefs {
		def := &e.ToolDefs[i]
		if len(def.Signals) > 0 {
			if s.Signals == nil {
				s.Signals = map[string]float64{}
			}
			keep(s.Signals, def.Signals)
		}
		for _, c := range def.Capabilities {
			s.Acts = s.Acts || acts(c)
			if isDangerous(c) && !slices.Contains(s.Caps, c) {
				s.Caps = append(s.Caps, c)
			}
		}
	}
}

// novel grades capabilities that a new tool brings to a server.
func novel(caps []string, acted bool) string {
	switch {
	case len(caps) == 0:
		return ""
	case !acted && (slices.Contains(caps, "executes") || slices.Contains(caps, "destroys")):
		return engine.High
	}
	return engine.Medium
}

// gained grades capabilities that a changed definition shows for the first time: by what else changed with them. A definition's wording
// changes often, and its words alone decide nothing.
func gained(caps []string, before, now *facts) (severity string) {
	for _, c := range caps {
		g := engine.High
		if before != nil && now != nil {
			shown := false
			switch c {
			case "executes":
				shown = took(tooldef.TakesCommand, before, now)
			case "sends_outside":
				shown = now.Act == tooldef.Sends && before.Act != tooldef.Sends || took(tooldef.TakesAddress, before, now) || took(tooldef.TakesRecipient, before, now)
			case "destroys":
				shown = now.Act == tooldef.Destroys && before.Act != tooldef.Destroys || now.Destructive == tooldef.Yes && before.Destructive == tooldef.No
			}
			if !shown {
				g = engine.Low
			}
		}
		severity = engine.WorseSeverity(severity, g)
	}
	return severity
}

func took(kind string, before, now *facts) bool {
	return slices.Contains(now.Takes, kind) && !slices.Contains(before.Takes, kind)
}

// turn notes what a tool says of itself and did not say before, or said and does not any more.
func turn(r *risen, before, now *facts) {
	if before == nil || now == nil {
		return
	}
	note := func(what string) {
		r.turned = append(r.turned, what)
		r.severity = engine.WorseSeverity(r.severity, engine.Medium)
	}
	acts := func(f *facts) bool { return f.Act >= tooldef.Writes || slices.Contains(f.Takes, tooldef.TakesCommand) }
	if before.ReadOnly == tooldef.Yes && now.ReadOnly != tooldef.Yes {
		if now.ReadOnly == tooldef.No || acts(now) && !acts(before) {
			note("no longer read-only")
		}
	}
	if before.Act == tooldef.Reads && now.Act == tooldef.Destroys {
		note("destroys where it read")
	}
	if now.ReadOnly == tooldef.Yes && acts(now) && !acts(before) && now.Act != tooldef.Executes {
		note("says read-only and acts")
	}
	if now.ReadOnly == tooldef.Yes && before.ReadOnly != tooldef.Yes && before.Act == tooldef.Destroys && now.Act == tooldef.Destroys {
		note("hides that it destroys")
	}
	if took(tooldef.TakesCommand, before, now) {
		note("takes commands")
	}
}

// grade is how severe the change is by what it shows.
func (x *change) grade() string {
	severity := engine.WorseSeverity(engine.Low, x.severity)
	if x.poison != "" {
		if x.isNew {
			return engine.High
		}
		return engine.Critical
	}
	return severity
}

// says is what the change shows, for its line of evidence.
func (x *change) says() string {
	var parts []string
	if x.poison != "" {
		parts = append(parts, "signal "+x.poison)
	}
	if len(x.caps) > 0 {
		parts = append(parts, "can now: "+strings.Join(x.caps, ", "))
	}
	parts = append(parts, x.turned...)
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

func acts(c string) bool { return isDangerous(c) || c == "writes" }
