// Package rules is the pack of rules that this binary brings along: one YAML file each, with its fixtures beside it.
//
// To add one, copy a pair of files. docs/rules.md has the language of rules, detectors/detecttest/README.md that of fixtures. A site's
// own rules are written the same way and lie in its rules folder.
package rules

import (
	"embed"
	"fmt"

	"github.com/mcpsiem/mcpsiem/detectors/rule"
)

//go:generate go test . -run TestDocs -update

//go:embed *.yaml
var files embed.FS

// Documents are the files of the pack.
func Documents() ([]rule.Document, error) {
	names, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("cannot list the built-in rules: %w", err)
	}
	var out []rule.Document
	for _, n := range names {
		text, err := files.ReadFile(n.Name())
		if err != nil {
			return nil, fmt.Errorf("cannot read the built-in rule %s: %w", n.Name(), err)
		}
		out = append(out, rule.Document{Name: "builtin/" + n.Name(), Text: text, Builtin: true})
	}
	return out, nil
}

// Load compiles the built-in rules, if they are wanted, together with those of folders. Problems of the folders' files are told
// beside what is right. reserved are ids that rules cannot have.
func Load(builtin bool, dirs []string, reserved ...string) (*rule.Set, rule.Problems, error) {
	docs, err := rule.ReadDirs(dirs)
	if err != nil {
		return nil, nil, err
	}
	return With(builtin, docs, reserved...)
}

// With is Load of documents that are read already.
func With(builtin bool, docs []rule.Document, reserved ...string) (*rule.Set, rule.Problems, error) {
	if builtin {
		own, err := Documents()
		if err != nil {
			return nil, nil, err
		}
		docs = append(own, docs...)
	}
	s, p := rule.Parse(docs, reserved...)
	return s, p, nil
}
