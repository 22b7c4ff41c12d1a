package inspect

// What detectors learn of each definition of a list of tools, so that a list is not judged by its length.

import (
	"github.com/mcpsiem/mcpsiem/internal/inspect/capability"
	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
	"github.com/mcpsiem/mcpsiem/internal/inspect/view"
)

// maxTools is how many definitions of a message are reported each by itself. Those behind count in the message's signals.
const maxTools = 4096

// ToolSignals is what was found in one definition of a tools/list result. Definitions in which nothing was found are not listed.
type ToolSignals struct {
	Index        int    // in result.tools, from 0
	Name         string // as the server wrote it, at most 256 bytes
	Signals      map[string]float64
	Capabilities []string
}

// toolScan is the state of the definition being read.
type toolScan struct {
	open    bool
	next    int // index of the next definition
	signals signal.Set
	hidden  view.Hidden // of the message before the definition
	inside  view.Hidden // of all definitions so far
	found   int         // values found before it
	text    []byte      // what the definition says in words
	names   []named
	worst   [len(signal.Names)]float64
	out     []ToolSignals
}

func (t *toolScan) reset() {
	t.open, t.next, t.out, t.inside = false, 0, nil, view.Hidden{}
	t.names = t.names[:0]
	clear(t.worst[:])
}

// beginTool begins an element of result.tools.
func (w *worker) beginTool() {
	t := &w.tools
	t.open, t.hidden, t.found = true, w.hidden, len(w.found)
	t.signals.Reset()
	t.text = t.text[:0]
	w.def = capability.Definition{Arguments: w.def.Arguments[:0]}
}

// endTool ends it and notes what it holds.
func (w *worker) endTool() {
	t := &w.tools
	t.open = false
	i := t.next
	t.next++
	caps := w.e.cfg.Tools.Definition("", &w.def)
	w.caps |= caps
	h := w.hidden
	h.ZeroWidth -= t.hidden.ZeroWidth
	h.Tags -= t.hidden.Tags
	h.Bidi -= t.hidden.Bidi
	hide(&t.signals, h)
	t.inside.ZeroWidth += h.ZeroWidth
	t.inside.Tags += h.Tags
	t.inside.Bidi += h.Bidi
	w.holds(&t.signals, w.found[t.found:])
	w.scoreTool()
	w.shadow()
	t.signals.Finish()
	signals := t.signals.Export()
	for id := range t.worst {
		t.worst[id] = max(t.worst[id], t.signals.Score(signal.ID(id)))
	}
	if len(t.out) < maxTools && (signals != nil || caps != 0) {
		t.out = append(t.out, ToolSignals{i, w.def.Name, signals, caps.Names()})
	}
}
