package rule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
)

// FixtureResult is one case of a fixture that was run.
type FixtureResult struct {
	File     string   `json:"file"`
	Case     string   `json:"case"`
	Problems []string `json:"problems,omitempty"` // in every way in which the rules did not do what was expected
}

// RunFixtures runs the fixtures (*.detect) of a folder against rules: NAME.detect against the rule NAME, or, where no rule has that name,
// against all of them. untested are the rules that no fixture makes fire.
func RunFixtures(dir string, s *Set) (results []FixtureResult, untested []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.detect"))
	if err != nil {
		return nil, nil, err
	}
	fired := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		f, err := detecttest.Parse(name, text)
		if err != nil {
			results = append(results, FixtureResult{File: name, Problems: []string{err.Error()}})
			continue
		}
		var defs []engine.Definition
		if r := s.Find(strings.TrimSuffix(filepath.Base(name), ".detect")); r != nil {
			defs = append(defs, r.Definition())
		} else {
			for _, r := range s.Rules {
				defs = append(defs, r.Definition())
			}
		}
		if len(defs) == 0 {
			return nil, nil, fmt.Errorf("there are no rules to run %s against", name)
		}
		for i := range f.Cases {
			raised, problems := f.Check(i, defs)
			for _, r := range raised {
				fired[r.RuleID] = true
			}
			results = append(results, FixtureResult{File: name, Case: f.Cases[i].Name, Problems: problems})
		}
	}
	for _, r := range s.Rules {
		if !fired[r.ID] {
			untested = append(untested, r.ID)
		}
	}
	return results, untested, nil
}
