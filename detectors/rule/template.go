package rule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// template is a sentence with fields in braces. Names pass through engine.Name; content has no field here.
type template []piece

type piece struct {
	text string
	f    field  // if name is that of a field
	name string // empty: text
}

// computed are the names in a sentence that are no fields of the event.
var computed = map[string]string{
	"count":  "how many events",
	"value":  "the number that was compared",
	"window": "the rule's window",
	"usual":  "what is usual (baseline)",
	"values": "the values counted (value_count), or the new or rare value",
	"span":   "time from the first to the last event",
}

// showable reports whether a finding may show the field.
func showable(f field) bool {
	return f.typ != messageField && f.typ != toolsField && f.name != "time"
}

func templateNames() []string {
	var out []string
	for n, f := range fields {
		if showable(f) {
			out = append(out, n)
		}
	}
	for n := range computed {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// suggestIn is suggest for the quoted word in a message.
func suggestIn(text string, names []string) string {
	_, rest, ok := strings.Cut(text, `"`)
	if !ok {
		return ""
	}
	word, _, _ := strings.Cut(rest, `"`)
	return suggest(word, names)
}

func parseTemplate(s, kind string) (template, string) {
	if len(s) > 500 {
		return nil, "it is longer than 500 bytes"
	}
	var out template
	for {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			break
		}
		if s[i] == '}' {
			return nil, "a brace is closed that was not opened"
		}
		if i > 0 {
			out = append(out, piece{text: s[:i]})
		}
		name, rest, ok := strings.Cut(s[i+1:], "}")
		if !ok {
			return nil, "a brace is not closed"
		}
		name, s = strings.TrimSpace(name), rest
		if f, ok := fields[name]; ok {
			if !showable(f) {
				return nil, fmt.Sprintf("{%s} is content or cannot be shown: a summary has names only", name)
			}
			out = append(out, piece{name: name, f: f})
			continue
		}
		if _, ok := computed[name]; !ok {
			return nil, fmt.Sprintf("there is no field %q", name)
		}
		out = append(out, piece{name: name})
	}
	if s != "" {
		out = append(out, piece{text: s})
	}
	_ = kind
	return out, ""
}

// fill is the values of the template's fields in an event, fit for a sentence.
func (t template) fill(e *event.Event) []string {
	out := make([]string, 0, len(t))
	for i := range t {
		if t[i].f.name != "" {
			out = append(out, engine.Name(t[i].f.text(e)))
		}
	}
	return out
}

// write makes the sentence of the values that fill gave and the computed ones.
func (t template) write(filled []string, comp map[string]string) string {
	var b strings.Builder
	n := 0
	for i := range t {
		p := &t[i]
		switch {
		case p.name == "":
			b.WriteString(p.text)
		case p.f.name != "":
			if n < len(filled) {
				b.WriteString(filled[n])
			}
			n++
		default:
			if v := comp[p.name]; v != "" {
				b.WriteString(v)
			} else {
				b.WriteString("unknown")
			}
		}
	}
	return b.String()
}
