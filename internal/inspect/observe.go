package inspect

import (
	"bytes"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/capability"
	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
	"github.com/mcpsiem/mcpsiem/internal/inspect/view"
)

// What detectors learn of a message: signals, samples, capabilities.

// tool notes what the message is about.
func (w *worker) tool(in *Input) {
	w.list = strings.HasSuffix(in.Method, "/list") || in.Method == "initialize" || in.Method == "server/discover"
	w.toServer = in.Direction != event.ServerToClient
	w.shellTool = signal.IsShell([]byte(in.Tool))
	w.writes = w.toServer && in.Tool != "" && w.e.cfg.Tools.Tool(in.Server, in.Tool)&capability.Writes != 0
}

// part is where in the message the current text stands.
func (w *worker) part() signal.Part {
	if !w.body || len(w.path) == 0 {
		return signal.Other
	}
	switch string(w.path[0]) {
	case "params":
		if len(w.path) > 1 {
			switch string(w.path[1]) {
			case "arguments":
				return signal.Arguments
			case "uri", "argument": // of a resource to read, of a value to complete
				if w.toServer {
					return signal.Arguments
				}
			}
		}
		if !w.toServer { // a server's request or notification: text for the client's model
			return signal.Result
		}
	case "result", "error":
		if string(w.path[0]) == "result" && (w.list || len(w.path) > 1 && (string(w.path[1]) == "tools" || string(w.path[1]) == "instructions")) {
			return signal.Definition
		}
		return signal.Result
	}
	return signal.Other
}

// observe notes what a view of a text does.
func (w *worker) observe(t *class.Text, key class.Key) {
	part := w.part()
	name := []byte(nil)
	if len(w.path) > 0 {
		name = w.path[len(w.path)-1]
	}
	into := &w.signals
	if w.tools.open {
		into = &w.tools.signals
	}
	into.Text()
	is := &argument{}
	if part == signal.Arguments {
		is = w.argument(name)
	}
	commands := part == signal.Arguments && (w.shellTool || is.shell)
	writing := part == signal.Arguments && (is.writing || w.inProse()) // documents and source code are full of commands and paths
	for _, m := range t.Marks {
		if commands || writing {
			switch signal.Phrases[m.Mark].Signal {
			case signal.ShellMeta, signal.SQL, signal.Traversal, signal.RemoteCode:
				continue
			}
		}
		into.Mark(int(m.Mark), t.B, int(m.End), part)
	}
	if w.inEncoded > 0 && len(t.Marks) > 0 {
		into.AtLeast(signal.EncodedText, 0.5)
	}
	if part != signal.Arguments {
		w.scoreText(t.B, part, name)
		return
	}
	if !writing && (signal.FetchAndRun(t.B) || signal.EncodedShell(t.B)) {
		w.signals.AtLeast(signal.RemoteCodeStrong, 0.95)
	}
	if commands || is.prose || w.inProse() {
		return
	}
	if s := signal.Shell(t.B); s > 0 {
		w.signals.AtLeast(signal.ShellMeta, s)
	}
	if s := signal.TemplateExpression(t.B); s > 0 {
		w.signals.AtLeast(signal.Template, s)
	}
}

// inProse says that the current text is a part of an argument that holds edits of a text.
func (w *worker) inProse() bool {
	for _, n := range w.path[min(len(w.path), 2):] {
		switch string(n) {
		case "edits", "messages", "content", "replacements":
			return true
		}
	}
	return false
}

// asText looks at a body that is no JSON, for signals and classes only.
func (w *worker) asText(in *Input) {
	w.body = true
	defer func() { w.body = false }()
	w.path = append(w.path[:0], []byte("params"), []byte("arguments"))
	if !w.toServer {
		w.path = append(w.path[:0], []byte("result"))
	}
	w.text(bytes.ToValidUTF8(in.Body, []byte("\uFFFD")), class.Key{Whole: class.None}, false, 0)
}

// finish fills in signals and samples.
func (w *worker) finish(in *Input, out *Output) {
	s := &w.signals
	h, inside := w.hidden, w.tools.inside
	hide(s, view.Hidden{ZeroWidth: h.ZeroWidth - inside.ZeroWidth, Tags: h.Tags - inside.Tags, Bidi: h.Bidi - inside.Bidi})
	for _, f := range w.found {
		w.sample.Value(w.values[f.from:f.to])
	}
	w.holds(s, w.found)
	s.Finish()
	// A list is what the worst of its definitions is; scores of several do not add up.
	for i := range w.tools.worst {
		if v := w.tools.worst[i]; v > 0 {
			s.AtLeast(signal.ID(i), v)
		}
	}
	out.Signals = s.Export()
	out.Fingerprints = w.sample.Export()
	w.leads(in, out)
	out.Tools = w.tools.out
}

// hide notes what characters that people do not see say.
func hide(s *signal.Set, h view.Hidden) {
	if h.Tags > 0 {
		s.AtLeast(signal.HiddenText, 0.95)
	}
	if h.ZeroWidth >= 3 {
		s.AtLeast(signal.HiddenText, min(0.8, 0.3+0.02*float64(h.ZeroWidth)))
	}
	if h.Bidi > 0 {
		s.AtLeast(signal.HiddenText, 0.6)
	}
}

// holds notes what sensitive values say.
func (w *worker) holds(s *signal.Set, found []finding) {
	for _, f := range found {
		c := &w.e.scanner.Classes[f.class]
		if c.Name == "private_key" {
			s.AtLeast(signal.PrivateKey, 1)
		}
		if c.Leaks() {
			switch f.part {
			case signal.Arguments:
				s.AtLeast(signal.SecretInArguments, 1)
			case signal.Result:
				s.AtLeast(signal.SecretInResult, 1)
			case signal.Definition:
				s.AtLeast(signal.SecretInDefinition, 1)
			}
		} else if c.Tags&(class.PII|class.PCI|class.PHI) != 0 && c.Name != "blob" {
			switch f.part {
			case signal.Arguments:
				s.Add(signal.PIIInArguments, 0.3)
			case signal.Result:
				s.Add(signal.PIIInResult, 0.1)
			}
		}
	}
}

// capabilities says what the called tool, or the tools listed, can do.
func (w *worker) capabilities(in *Input) []string {
	c := w.caps
	if in.Tool != "" && in.Method == "tools/call" {
		c |= w.e.cfg.Tools.Tool(in.Server, in.Tool)
	}
	return c.Names()
}

// definition collects a member of a tool's definition; value is the JSON text that follows its name.
func (j *jsonWalker) definition(name []byte) {
	w := j.w
	switch {
	case j.nest == 4:
		switch string(name) {
		case "name", "description":
			if j.src[j.i] != '"' {
				return
			}
			save := j.i
			v, escaped, err := j.scanString()
			j.i = save
			if err != nil {
				return
			}
			if string(name) == "name" {
				if escaped {
					v = unescapeJSON(nil, v[:min(len(v), 4096)])
				}
				w.def.Name = strings.ToValidUTF8(string(v[:min(len(v), 256)]), "")
			} else {
				w.def.Description = string(v[:min(len(v), 256)])
			}
		}
	case j.nest == 5 && string(j.names[4]) == "annotations":
		v := j.src[j.i] == 't'
		switch string(name) {
		case "readOnlyHint":
			w.def.ReadOnly = &v
		case "destructiveHint":
			w.def.Destructive = &v
		case "openWorldHint":
			w.def.OpenWorld = &v
		}
	case j.nest == 6 && string(j.names[5]) == "properties" && (string(j.names[4]) == "inputSchema" || string(j.names[4]) == "input_schema"):
		if len(w.def.Arguments) < 64 && len(name) <= 64 {
			w.def.Arguments = append(w.def.Arguments, string(name))
		}
	}
}

func (j *jsonWalker) inTools() bool { return j.nest >= 4 && j.ofTools() }

// ofTools says that the walker is in the list of tools of a result.
func (j *jsonWalker) ofTools() bool {
	return j.top && !j.again && string(j.names[1]) == "result" && string(j.names[2]) == "tools"
}
