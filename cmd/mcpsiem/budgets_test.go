package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/state"
)

func TestBudgetsValidate(t *testing.T) {
	dir := t.TempDir()
	f := func(text, out, problem string, args ...string) {
		t.Helper()
		path := filepath.Join(dir, "budgets.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		c := newRoot()
		c.SetArgs(append([]string{"budgets", "--validate", "--state=" + dir}, args...))
		c.SetOut(&b)
		err := c.Execute()
		var coded *exitError
		switch {
		case problem != "" && (err == nil || !strings.Contains(err.Error(), problem) || !errors.As(err, &coded) || coded.code != exitUsage):
			t.Errorf("%v, want %s", err, problem)
		case problem == "" && (err != nil || !strings.HasPrefix(b.String(), out)):
			t.Errorf("%q, %v", b.String(), err)
		}
	}
	f("version: a\nbudgets:\n  - {name: a, team: a, period: day, tokens: 5}\n", "version a+", "")
	f("version: a\nbudgets:\n  - {name: a, team: a, period: year, tokens: 5}\n", "", "line 3: period must be day or month")
	f("", "", "no such file", "--file=/does/not/exist")
}

// What the operator puts into the state folder is in the configuration that `up` makes.
func TestConfigNamesOperatorsFiles(t *testing.T) {
	d, err := state.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config := func() string {
		t.Helper()
		paths, err := writeConfig(d, state.Endpoints{Metrics: "127.0.0.1:1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if s := config(); strings.Contains(s, "budget: {file") || strings.Contains(s, "directory: {file") || strings.Contains(s, "residency_violation: {file") {
		t.Error("files that are not there are named")
	}
	for _, path := range []string{d.Directory(), d.Budgets(), d.Residency()} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := config()
	for _, want := range []string{"directory: {file: '" + d.Directory() + "'}", "residency_violation: {file: '" + d.Residency() + "'}", "budget: {file: '" + d.Budgets() + "'}", "rate_limit: {file: '" + d.Budgets() + "'}"} {
		if !strings.Contains(s, want) {
			t.Errorf("the configuration does not say %s", want)
		}
	}
}
