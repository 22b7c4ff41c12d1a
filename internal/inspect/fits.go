package inspect

import "github.com/mcpsiem/mcpsiem/internal/inspect/signal"

// fits looks at an argument's value as it was sent, beside its argument's name. What escapes hide is not undone here: %20 fits a URL, a blank
// does not.
func (w *worker) fits(b []byte) {
	if !w.body || w.quiet {
		return
	}
	var name []byte
	if len(w.path) > 0 {
		name = w.path[len(w.path)-1]
	}
	if signal.Endpoint(name) {
		if s := signal.EndpointMisfit(b); s > 0 {
			w.signals.AtLeast(signal.EndpointCommand, s)
		}
	}
	if w.part() != signal.Arguments {
		return
	}
	if s := signal.InternalAddress(b); s >= 0.5 && !signal.IsProse(name) && !w.inProse() {
		w.signals.AtLeast(signal.SSRF, s)
	}
	if w.shellTool || signal.IsShell(name) {
		if s := signal.Dangerous(b); s > 0 {
			w.signals.AtLeast(signal.DangerousCommand, s)
		}
		return
	}
	if signal.IsProse(name) || w.inProse() {
		return
	}
	if s := signal.Misfit(name, b); s > 0 {
		w.signals.AtLeast(signal.Shape, s)
	}
}
