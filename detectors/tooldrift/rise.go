package tooldrift

// What a list shows that no earlier list of its server did.

import (
	"slices"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// watched are the content signals of a list that say something when they rise, in the order in which findings name them, and how severe
// that is. Those of content.PoisonSignals count by their threshold too.
var watched = []struct{ signal, severity string }{
	{content.SignalInjection, engine.Medium},
	{content.SignalHiddenText, engine.High},
	{content.SignalExfilLink, engine.High},
	{"conceal", engine.High},
	{"override", engine.High},
	{"authority", engine.Medium},
	{"sequencing", engine.Medium},
	{"preference", engine.Medium},
	{"sensitive_file", engine.High},
	{"remote_code", engine.High},
	{"encoded_text", engine.Medium},
}

// risen is what a list shows beyond all lists before it.
type risen struct {
	names    []string // watched signals
	severity string   // of the worst of them; empty if there are none
	caps     []string // dangerous capabilities
	poison   string   // the strongest of content.PoisonSignals, if it reaches the threshold and no earlier list had as much
	score    float64
}

// slack is what two scores of the same text may differ by.
const slack = 0.005

// learn remembers what the list shows and says what of it is new. Of a server's first list nothing is, nor what a list shows while there is
// no change to blame for it: the caller judges that.
func (d *detector) learn(e *event.Event, s *state, known bool) (r risen) {
	if name, score := content.Poison(e.Signals, d.conf.PoisonThreshold); name != "" && (!known || score > s.Signals[name]+slack) {
		r.poison, r.score = name, score
	}
	for _, w := range watched {
		now, before := e.Signals[w.signal], s.Signals[w.signal]
		if now <= before {
			continue
		}
		if known && now >= before+d.conf.Rise {
			r.names = append(r.names, w.signal)
			r.severity = engine.WorseSeverity(r.severity, w.severity)
		}
		if s.Signals == nil {
			s.Signals = map[string]float64{}
		}
		s.Signals[w.signal] = now
	}
	for _, name := range e.Capabilities {
		if isDangerous(name) && !slices.Contains(s.Caps, name) {
			s.Caps = append(s.Caps, name)
			if known {
				r.caps = append(r.caps, name)
			}
		}
	}
	return r
}
