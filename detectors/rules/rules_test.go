package rules

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/rule"
)

// Every rule of the pack is right, says what an analyst needs, and fires where its fixtures say so and nowhere else.
func TestPack(t *testing.T) {
	s, problems, err := Load(true, nil)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	if len(s.Rules) < 20 || len(s.Off) > 0 {
		t.Errorf("%d rules, %d off", len(s.Rules), len(s.Off))
	}
	for _, r := range s.Rules {
		t.Run(r.ID, func(t *testing.T) {
			for name, text := range map[string]string{"description": r.Description, "remediation": r.Remediation, "false_positives": r.FalsePositives, "gaps": r.Gaps} {
				if len(text) < 10 {
					t.Errorf("%s says nothing", name)
				}
			}
			if len(r.References) == 0 || r.Owner == "" || filepath.Base(r.Source) != r.ID+".yaml" {
				t.Errorf("references %v, owner %q, file %s", r.References, r.Owner, r.Source)
			}
			if !r.Indexed() {
				t.Error("is asked for every event")
			}
			text, err := os.ReadFile(r.ID + ".detect")
			if err != nil {
				t.Fatal(err)
			}
			f, err := detecttest.Parse(r.ID+".detect", text)
			if err != nil {
				t.Fatal(err)
			}
			fired, quiet := false, false
			for i := range f.Cases {
				raised, bad := f.Check(i, []engine.Definition{r.Definition()})
				for _, p := range bad {
					t.Error(p)
				}
				fired = fired || len(raised) > 0
				quiet = quiet || len(raised) == 0
			}
			if !fired || !quiet {
				t.Errorf("its fixtures make it fire: %v, leave it silent: %v", fired, quiet)
			}
		})
	}
	all, _ := filepath.Glob("*.detect")
	for _, name := range all {
		if s.Find(strings.TrimSuffix(name, ".detect")) == nil {
			t.Errorf("%s has no rule", name)
		}
	}
}

var update = flag.Bool("update", false, "write docs/rules and schemas/rule.schema.json")

// The catalogue and the schema for editors are what the rules and the code say.
func TestDocs(t *testing.T) {
	s, _, err := Load(true, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{filepath.Join("..", "..", "schemas", "rule.schema.json"): string(rule.JSONSchema())}
	for name, text := range rule.Pages(s) {
		want[filepath.Join("..", "..", "docs", "rules", name)] = text
	}
	for path, text := range want {
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("%s is not what the rules say: run go generate ./detectors/rules (%v)", path, err)
		}
	}
}

func TestLintFindsNothing(t *testing.T) {
	s, _, err := Load(true, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rule.Lint(s) {
		if !strings.Contains(p.Text, "too broad") {
			t.Error(p)
		}
	}
}
