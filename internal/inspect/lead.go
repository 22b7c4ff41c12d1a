package inspect

// What detectors learn of where a call leads, and of content in disguise.

import (
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
	"github.com/mcpsiem/mcpsiem/internal/inspect/outward"
	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
)

// orders is the score of a result from which on the names in it are noted.
const orders = 0.2

// plantedOrders is the same for what the text scorer says.
const plantedOrders = 0.5

// longestReversed is how many bytes of an argument are also read backwards.
const longestReversed = 4096

// lead looks at a string of the body as it was sent.
func (w *worker) lead(s []byte) {
	if !w.body || w.quiet {
		return
	}
	switch w.part() {
	case signal.Arguments:
		w.outward.Argument(w.path[len(w.path)-1], s)
	case signal.Result:
		if !w.toServer {
			w.outward.Result(s)
		}
	default:
		if w.toServer && len(w.path) == 2 && string(w.path[0]) == "params" && string(w.path[1]) == "uri" {
			w.outward.Argument(w.path[1], s)
		}
	}
}

// leads fills in what lead has noted.
func (w *worker) leads(in *Input, out *Output) {
	out.Signals = w.outward.Export(out.Signals)
	if in.Direction == event.ServerToClient {
		if out.Signals["injection"] >= orders || out.Signals["planted_instruction"] >= plantedOrders {
			out.Names = w.outward.Names()
		}
		return
	}
	out.Destinations = w.outward.Destinations()
	out.Arguments = w.outward.Fingerprint()
	if in.Method == "tools/call" {
		w.outward.Name([]byte(in.Tool))
		out.Names = w.outward.Names()
	}
}

// mask is what stands for a name that may carry data.
func (w *worker) mask(kind string, value []byte) string {
	if w.writer.Keyless() {
		return "unknown"
	}
	return outward.Short(w.writer.Sum(kind, value))
}

// reversed says that a text holds what is common where one was reversed.
func reversed(b []byte) bool {
	for i, c := range b {
		switch {
		case c > '/': // most of all text
		case c == ' ':
			if t := b[i:min(len(b), i+5)]; string(t) == " eht " || string(t) == " dna " || len(t) > 3 && string(t[:4]) == " fo " {
				return true
			}
		case c == '.':
			if t := b[max(0, i-3):i]; string(t) == "moc" || string(t) == "gro" || string(t) == "ten" {
				return true
			}
		case c == '/':
			if i+2 < len(b) && b[i+1] == '/' && b[i+2] == ':' {
				return true
			}
		}
	}
	return false
}

// otherwise notes that an argument holds text in an encoding, and samples text that was reversed. It replaces nothing.
func (w *worker) otherwise(L *level, b []byte, depth int) {
	if !w.toServer || w.part() != signal.Arguments {
		return
	}
	if w.inEncoded > 0 {
		if len(b) >= 24 {
			w.outward.Encoded()
		}
		return
	}
	if len(b) < 12 || len(b) > longestReversed || depth >= maxNesting {
		return
	}
	if !reversed(b) {
		return
	}
	inner := w.level(depth + 1)
	inner.dec = inner.dec[:0]
	for i := len(b) - 1; i >= 0; i-- {
		inner.dec = append(inner.dec, b[i])
	}
	w.outward.Encoded()
	w.sample.Text(inner.dec)
	t := &inner.text
	t.B, t.Key, t.Strong = inner.dec, class.Key{Whole: class.None}, true
	w.e.scanner.Scan(t)
	mark := w.mark()
	for _, s := range t.Spans {
		from, to := w.value(s.Class, t.B[s.Start:s.End])
		w.sample.Value(w.values[from:to])
	}
	w.reset(mark)
}
