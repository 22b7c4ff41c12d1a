// Package capability says what a tool can do: read private data, read what strangers write, send data out, run code, write, destroy, spend.
// The knowledge is a catalogue (schemas/capabilities.yaml, or an operator's file); a server's own annotations are claims and only ever add.
package capability

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/internal/tooldef"
	"github.com/mcpsiem/mcpsiem/schemas"
)

// Set is a set of capabilities.
type Set uint8

// The capabilities, in the order of Names.
const (
	ReadsPrivate Set = 1 << iota
	ReadsUntrusted
	SendsOutside
	Executes
	Writes
	Destroys
	Spends

	acts = SendsOutside | Executes | Writes | Destroys | Spends
)

var names = []string{"reads_private", "reads_untrusted", "sends_outside", "executes", "writes", "destroys", "spends"}

// Names lists the capabilities of the set.
func (s Set) Names() (out []string) {
	for i, n := range names {
		if s&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// Catalogue is compiled and safe for concurrent use.
type Catalogue struct {
	words   map[string]Set
	readers map[string]bool
	tools   []entry
}

type entry struct {
	server, tool string
	set          Set
}

type file struct {
	Version int                 `yaml:"version"`
	Words   map[string][]string `yaml:"words"`
	Readers []string            `yaml:"readers"`
	Tools   []struct {
		Server       string   `yaml:"server"`
		Tool         string   `yaml:"tool"`
		Capabilities []string `yaml:"capabilities"`
	} `yaml:"tools"`
}

// Default is the built-in catalogue.
func Default() (*Catalogue, error) { return Parse(schemas.Capabilities) }

// Load reads a catalogue file. Its tools come before the built-in ones; its words and readers replace the built-in ones where given.
func Load(name string) (*Catalogue, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read capabilities: %w", err)
	}
	c, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot use capabilities %s: %w", name, err)
	}
	def, err := Default()
	if err != nil {
		return nil, err
	}
	if len(c.words) == 0 {
		c.words = def.words
	}
	if len(c.readers) == 0 {
		c.readers = def.readers
	}
	c.tools = append(c.tools, def.tools...)
	return c, nil
}

// Parse compiles a catalogue.
func Parse(raw []byte) (*Catalogue, error) {
	var f file
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("version %d is not known, want 1", f.Version)
	}
	c := &Catalogue{words: map[string]Set{}, readers: map[string]bool{}}
	for n, words := range f.Words {
		s, err := parse(n)
		if err != nil {
			return nil, err
		}
		for _, w := range words {
			c.words[strings.ToLower(w)] |= s
		}
	}
	for _, w := range f.Readers {
		c.readers[strings.ToLower(w)] = true
	}
	for i, t := range f.Tools {
		e := entry{server: t.Server, tool: t.Tool}
		for _, g := range []*string{&e.server, &e.tool} {
			if *g == "" {
				*g = "*"
			}
			if _, err := path.Match(*g, ""); err != nil {
				return nil, fmt.Errorf("tool %d: bad pattern %q", i+1, *g)
			}
		}
		for _, n := range t.Capabilities {
			s, err := parse(n)
			if err != nil {
				return nil, fmt.Errorf("tool %d: %w", i+1, err)
			}
			e.set |= s
		}
		c.tools = append(c.tools, e)
	}
	return c, nil
}

func parse(name string) (Set, error) {
	for i, n := range names {
		if n == name {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("capability %q is not known: %s", name, strings.Join(names, ", "))
}

// Tool says what a tool of a server can do, by its name.
func (c *Catalogue) Tool(server, tool string) Set {
	for _, e := range c.tools {
		if ok, _ := path.Match(e.server, server); !ok {
			continue
		}
		if ok, _ := path.Match(e.tool, tool); ok {
			return e.set
		}
	}
	return c.name(tool)
}

// Definition is what a tools/list says of a tool.
type Definition struct {
	Name        string
	Description string
	Arguments   []string // names of properties
	ReadOnly    *bool    // annotations, claims of the server
	Destructive *bool
	OpenWorld   *bool
}

// Definition says what a tool can do by its definition: the name's words, the first sentence of its description, telling arguments; a
// claim adds and never takes away.
func (c *Catalogue) Definition(server string, d *Definition) Set {
	for _, e := range c.tools {
		if ok, _ := path.Match(e.server, server); ok {
			if ok, _ := path.Match(e.tool, d.Name); ok {
				return e.set
			}
		}
	}
	s := c.name(d.Name)
	if s == 0 {
		first, _, _ := strings.Cut(d.Description[:min(len(d.Description), 200)], ".")
		s = c.name(first)
	}
	for _, a := range d.Arguments {
		switch tooldef.Kind(a) {
		case tooldef.TakesCommand:
			s |= Executes
		case tooldef.TakesAddress, tooldef.TakesRecipient:
			if s&acts != 0 {
				s |= SendsOutside
			}
		}
		switch strings.ToLower(a) {
		case "script", "code":
			s |= Executes
		case "url", "uri", "website":
			s |= ReadsUntrusted
		case "to", "channel":
			if s&acts != 0 {
				s |= SendsOutside
			}
		case "amount", "price":
			if s&Writes != 0 {
				s |= Spends
			}
		}
	}
	if d.ReadOnly != nil && !*d.ReadOnly && d.Destructive != nil && *d.Destructive {
		s |= Destroys
	}
	if d.OpenWorld != nil && *d.OpenWorld && s&(ReadsPrivate|acts) == 0 {
		s |= ReadsUntrusted
	}
	return s
}

func (c *Catalogue) name(name string) (s Set) {
	if len(name) > 256 {
		name = name[:256]
	}
	reader, first := false, true
	start := 0
	flush := func(end int) {
		if end <= start {
			return
		}
		w := strings.ToLower(name[start:end])
		if first {
			reader, first = c.readers[w], false
		}
		s |= c.words[w]
	}
	for i := range len(name) {
		b := name[i]
		switch {
		case b >= 'A' && b <= 'Z':
			if i > start && (name[i-1] < 'A' || name[i-1] > 'Z') {
				flush(i)
				start = i
			}
		case b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b >= utf8.RuneSelf:
		default:
			flush(i)
			start = i + 1
		}
	}
	flush(len(name))
	if reader {
		s &^= acts
	}
	return s
}
