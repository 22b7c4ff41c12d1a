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
	is := w.argument(name)
	if s := signal.InternalAddress(b); s >= 0.5 && !is.prose && !w.inProse() {
		w.signals.AtLeast(signal.SSRF, s)
	}
	if w.writes && signal.Path(name) && signal.Startup(b) {
		w.signals.AtLeast(signal.SensitiveFile, 0.8)
	}
	if w.shellTool || is.shell {
		if s := signal.Dangerous(b); s > 0 {
			w.signals.AtLeast(signal.DangerousCommand, s)
		}
		return
	}
	if signal.Serialized(b) {
		w.signals.AtLeast(signal.Shape, 0.8)
	}
	if signal.RunsOption(b) {
		w.signals.AtLeast(signal.Shape, 0.9)
	}
	if is.line && !w.inProse() {
		if s := signal.InLine(b); s > 0 {
			w.signals.AtLeast(signal.Shape, s)
		}
		if s := signal.TemplateExpression(b); s >= 0.85 {
			w.signals.AtLeast(signal.Template, s)
		}
	}
	if is.prose || w.inProse() {
		return
	}
	if s := signal.Breakout(b); s > 0 {
		w.signals.AtLeast(signal.SQL, s)
	}
	if s := signal.Misfit(name, b); s > 0 {
		w.signals.AtLeast(signal.Shape, s)
	}
}

// operator looks at the name of a member of an argument: right below one that takes a word, a comparison is an attack; at any depth, a script that
// the database runs is.
func (w *worker) operator(name []byte) {
	if w.body && len(name) > 5 && name[0] == '$' && signal.ScriptOperator(name) && w.part() == signal.Arguments {
		w.signals.AtLeast(signal.SQL, 0.75)
	}
	if n := len(w.path); w.body && n == 4 && len(name) > 2 && name[0] == '$' && signal.Operator(name) && w.part() == signal.Arguments && signal.Plain(w.path[2]) {
		w.signals.AtLeast(signal.SQL, 0.8)
	}
}

// argument is what the name of an argument says of its values.
type argument struct {
	name                        string
	shell, prose, writing, line bool
}

// argument looks a name up; those of the last arguments are remembered.
func (w *worker) argument(name []byte) *argument {
	a := &w.arguments[0]
	if n := len(name); n > 0 {
		a = &w.arguments[(uint(n)*7+uint(name[0])*3+uint(name[n/2])*5+uint(name[n-1]))%uint(len(w.arguments))]
	}
	if a.name != string(name) || len(name) == 0 {
		*a = argument{shell: signal.IsShell(name), prose: signal.IsProse(name), writing: signal.IsWriting(name), line: signal.Line(name)}
		if len(name) <= 64 { // a longer one is looked at each time
			a.name = string(name)
		}
	}
	return a
}
