// Package taxonomy holds the threat frameworks that findings refer to: ids and names exactly as published, by version, since
// frameworks renumber and rename between editions.
package taxonomy

import (
	"embed"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var files embed.FS

// Entry is one threat, technique or mitigation of a framework's edition.
type Entry struct {
	Framework, Version, ID, Name string
}

// String is the entry as findings carry it: `framework version id name`.
func (e Entry) String() string {
	return e.Framework + " " + e.Version + " " + e.ID + " " + e.Name
}

type edition struct {
	Framework string `yaml:"framework"`
	Version   string `yaml:"version"`
	Entries   []struct {
		ID   string `yaml:"id"`
		Name string `yaml:"name"`
	} `yaml:"entries"`
}

// All lists every entry, in file order.
var All = sync.OnceValues(func() ([]Entry, error) {
	names, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("cannot list taxonomy files: %w", err)
	}
	var out []Entry
	for _, n := range names {
		text, err := files.ReadFile(n.Name())
		if err != nil {
			return nil, fmt.Errorf("cannot read taxonomy %s: %w", n.Name(), err)
		}
		var editions []edition
		if err := yaml.Unmarshal(text, &editions); err != nil {
			return nil, fmt.Errorf("cannot parse taxonomy %s: %w", n.Name(), err)
		}
		for _, ed := range editions {
			for _, it := range ed.Entries {
				out = append(out, Entry{ed.Framework, ed.Version, it.ID, it.Name})
			}
		}
	}
	return out, nil
})

var index = sync.OnceValue(func() map[string]bool {
	all, _ := All()
	m := make(map[string]bool, len(all))
	for _, e := range all {
		m[e.String()] = true
	}
	return m
})

// Known reports whether ref is an entry, written `framework version id name`.
func Known(ref string) bool { return index()[ref] }
