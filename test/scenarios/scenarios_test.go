package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	bin   = flag.String("bin", "../../bin", "folder with mcpsiem and mcptap")
	npm   = flag.String("npm", "../demo/npm", "folder with the npm packages installed")
	every = flag.Bool("every", false, "play every scenario, not only the quick ones")
)

// TestMain is also a scenario's stdio server, which runs as a process of this program.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "serve:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// TestScenarios plays scenarios against a running mcpsiem: those that are quick, or every one.
func TestScenarios(t *testing.T) {
	var list []*Scenario
	for _, s := range scenarios {
		if s.Quick || *every {
			list = append(list, s)
		}
	}
	h := &harness{}
	var err error
	if h.bin, err = filepath.Abs(*bin); err != nil {
		t.Fatal(err)
	}
	if h.npm, err = filepath.Abs(*npm); err != nil {
		t.Fatal(err)
	}
	if h.self, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := start(ctx, h, list); err != nil {
		t.Fatal(err)
	}
	defer h.stop()
	results, err := h.run(ctx, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Error != "" {
			t.Errorf("%s: %s", r.Name, r.Error)
		}
		for _, m := range r.Missing {
			t.Errorf("%s: not detected: %s; raised were %+v", r.Name, m, r.Others)
		}
		if !r.Quiet {
			t.Errorf("%s: the harmless twin raised %+v", r.Name, r.Twin)
		}
	}
}

// The list is in order: names are unique and plain, both sides exist, and what must be found is at alert severity.
func TestRegistry(t *testing.T) {
	seen, people := map[string]bool{}, map[string]bool{}
	plain := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	for _, s := range scenarios {
		if !plain.MatchString(s.Name) || seen[s.Name] || strings.HasSuffix(s.Name, "-twin") {
			t.Errorf("name %q", s.Name)
		}
		seen[s.Name] = true
		if s.Title == "" || s.Source == "" || s.Traffic == "" || s.Incident == nil || s.Twin == nil || len(s.Want) == 0 {
			t.Errorf("%s is not complete", s.Name)
		}
		for _, w := range s.Want {
			if rank(or(w.Severity, alert)) < rank(alert) {
				t.Errorf("%s wants %s, which alerts nobody", s.Name, w)
			}
		}
		for _, p := range s.People {
			if people[p.ID] {
				t.Errorf("%s: %s belongs to two scenarios", s.Name, p.ID)
			}
			people[p.ID] = true
		}
	}
}

// A finding that falls short in one respect is not the one that was waited for, and a loud twin or an error fails a scenario.
func TestJudge(t *testing.T) {
	s := &Scenario{Name: "s", Want: []Want{{Rule: "r", Severity: "high", Principal: "ann", Server: "x", Tool: "t", Says: "n=5"}}}
	good := found{ID: "1", Rule: "r", Severity: "critical", Principal: "ann", Server: "x", Tool: "t", Why: map[string]string{"n": "5"}, Tenant: "s"}
	f := func(what string, want bool, change func(f *found), more ...found) {
		t.Helper()
		x := good
		if change != nil {
			change(&x)
		}
		h := &harness{findings: append([]found{x}, more...)}
		r := &result{}
		h.judge(s, r)
		if r.OK != want {
			t.Errorf("%s: ok %v, missing %v, quiet %v", what, r.OK, r.Missing, r.Quiet)
		}
	}
	f("as it should be", true, nil)
	f("another rule", false, func(f *found) { f.Rule = "q" })
	f("too low", false, func(f *found) { f.Severity = "medium" })
	f("another principal", false, func(f *found) { f.Principal = "bob" })
	f("another server", false, func(f *found) { f.Server = "y" })
	f("another tool", false, func(f *found) { f.Tool = "u" })
	f("another value", false, func(f *found) { f.Why = nil })
	f("the twin's", false, func(f *found) { f.Tenant = "s-twin" })
	f("a quiet twin", true, nil, found{Tenant: "s-twin", Severity: "low"})
	f("a loud twin", false, nil, found{Tenant: "s-twin", Severity: "medium"})
	f("a loud neighbour", true, nil, found{Tenant: "s2", Severity: "critical"})
	f("a tenant of the scenario", true, func(f *found) { f.Tenant = "s.north" })
}
