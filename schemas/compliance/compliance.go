// Package compliance holds the mappings of frameworks' controls to the files of an evidence bundle. A mapping says what supports evidence for a control,
// never that a control is met: that is for the auditor.
package compliance

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var files embed.FS

// Framework is one file.
type Framework struct {
	ID       string    `yaml:"id"`
	Title    string    `yaml:"title"`
	Version  string    `yaml:"version"`
	Notes    string    `yaml:"notes"`   // what a reader must know, e.g. periods of retention
	Sources  []string  `yaml:"sources"` // where the demands are from
	Controls []Control `yaml:"controls"`
}

// Control is a clause, requirement or criterion of a framework. Demand is a paraphrase.
type Control struct {
	ID       string    `yaml:"id"`
	Title    string    `yaml:"title"`
	Demand   string    `yaml:"demand"`
	Supports []Support `yaml:"supports"`
}

// Support is a file of the bundle and what in it supports evidence for the control.
type Support struct {
	File string `yaml:"file"`
	What string `yaml:"what"`
}

// All lists the frameworks by id.
var All = sync.OnceValues(func() ([]*Framework, error) {
	names, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("cannot list control mappings: %w", err)
	}
	var out []*Framework
	for _, n := range names {
		text, err := files.ReadFile(n.Name())
		if err != nil {
			return nil, fmt.Errorf("cannot read control mapping %s: %w", n.Name(), err)
		}
		f := &Framework{}
		dec := yaml.NewDecoder(bytes.NewReader(text))
		dec.KnownFields(true)
		if err := dec.Decode(f); err != nil {
			return nil, fmt.Errorf("cannot parse control mapping %s: %w", n.Name(), err)
		}
		out = append(out, f)
	}
	return out, nil
})

// Find returns a framework by its id.
func Find(id string) (*Framework, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, f := range all {
		if f.ID == id {
			return f, nil
		}
		ids = append(ids, f.ID)
	}
	return nil, fmt.Errorf("there is no framework of this name; there are %s", strings.Join(ids, ", "))
}

// ControlIDs lists the controls, in the file's order.
func (f *Framework) ControlIDs() []string {
	var out []string
	for _, c := range f.Controls {
		out = append(out, c.ID)
	}
	return slices.Clip(out)
}
