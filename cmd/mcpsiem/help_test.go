package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelpTeaches: every command says what it is for, shows how it is used, says its exit codes, and fits a terminal of 80 columns.
func TestHelpTeaches(t *testing.T) {
	n := 0
	each(newRoot(), func(c *cobra.Command) {
		if c.Name() == "help" || strings.HasPrefix(c.CommandPath(), "mcpsiem completion") {
			return // Cobra's own
		}
		n++
		var b bytes.Buffer
		writeHelp(&b, c, 80)
		text := b.String()
		if _, only := c.Annotations[isGroup]; c.Short == "" || !only && c.Example == "" {
			t.Errorf("%s: no summary or no example", c.CommandPath())
		}
		if strings.Count(strings.Join(strings.Fields(text), " "), exitCodes) != 1 {
			t.Errorf("%s: no exit codes", c.CommandPath())
		}
		for _, l := range strings.Split(c.Example, "\n") {
			if l != "" && !strings.HasPrefix(l, "  ") {
				t.Errorf("%s: the example %q is not indented", c.CommandPath(), l)
			}
		}
		examples := false
		for _, l := range strings.Split(text, "\n") {
			switch {
			case l == "Examples:", l == "Usage:":
				examples = true
			case l == "":
				examples = false
			}
			if utf8.RuneCountInString(l) > 80 && !examples {
				t.Errorf("%s: %d columns: %s", c.CommandPath(), utf8.RuneCountInString(l), l)
			}
		}
	})
	if n < 60 {
		t.Errorf("only %d commands", n)
	}
}

// TestUsageErrors: what is wrong with a command line is an error of usage that says what it should be, without repeating what was given.
func TestUsageErrors(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		root := newRoot()
		root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return needed(c) }
		root.SetArgs(args)
		root.SetOut(&bytes.Buffer{})
		err := root.ExecuteContext(context.Background())
		if err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
		var coded *exitError
		if errors.As(err, &coded) && coded.code != exitUsage {
			t.Errorf("%v: code %d", args, coded.code)
		}
	}
	f("0 arguments are given; use it as: mcpsiem findings show ID (see `mcpsiem findings show --help`)", "findings", "show")
	f("2 arguments are given; use it as: mcpsiem query \"SQL\" (see `mcpsiem query --help`)", "query", "a", "b")
	f("`mcpsiem status` takes no arguments, only flags (see `mcpsiem status --help`)", "status", "secret")
	f("--framework NAME, --from TIME, --out FILE, --to TIME must be given (see `mcpsiem evidence export --help`)", "evidence", "export")
	f("`mcpsiem findings` has no command \"shwo\"; did you mean show? (see `mcpsiem findings --help`)", "findings", "shwo")
	f("`mcpsiem` has no command \"finding\"; did you mean findings? (see `mcpsiem --help`)", "finding", "list")
	f("unknown flag: --formt (see `mcpsiem query --help`)", "query", "--formt", "json")
}

// TestCompletion asks for completions as shells do.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"roles.yaml": "accounts:\n  - {name: ann, role: analyst, tenants: [acme]}\n  - {name: eve, role: auditor}\n",
		"sinks.yaml": "sinks:\n  - {name: archive, type: parquet, config: {directory: /tmp/x}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(want string, args ...string) {
		t.Helper()
		root := newRoot()
		var b bytes.Buffer
		root.SetOut(&b)
		root.SetErr(&bytes.Buffer{})
		root.SetArgs(append([]string{"__complete"}, args...))
		if err := root.ExecuteContext(context.Background()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range strings.Split(b.String(), "\n") {
			if v, _, _ := strings.Cut(l, "\t"); l != "" && !strings.HasPrefix(l, "Completion ended") {
				got = append(got, v)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %q, want %q", args, strings.Join(got, " "), want)
		}
	}
	f("json json-full :4", "query", "--format", "js")
	f("soc2 :4", "evidence", "export", "--framework", "s")
	f("C1.2 :4", "evidence", "export", "--framework", "soc2", "--control", "C1")
	f("open,acknowledged open,accepted open,all :6", "findings", "list", "--status", "open,a")
	f("analyst auditor admin :4", "roles", "add", "bob", "--role", "")
	f("ann eve :4", "roles", "remove", "--state", dir, "")
	f("eve :4", "roles", "sql", "--state", dir, "ann", "")
	f("archive :4", "sink", "test", "--state", dir, "")
	f("archive :4", "replay", "--state", dir, "--sink", "")
	f(":4", "findings", "show", "--state", dir, "") // nothing runs there
	f(":4", "findings", "list", "--state", dir, "--tenant", "")
	f(":16", "tail", "--state", "")
	f(":0", "ingest", "")
	f(":4", "status", "")
	if got := ruleIDs(&cobra.Command{}); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "database_dump\t") }) {
		t.Errorf("%d rules", len(got))
	}
}

// TestMetavar: the argument of a flag is named beside it, and again in the text only where that is a part of the sentence.
func TestMetavar(t *testing.T) {
	for usage, want := range map[string]string{
		"ClickHouse user `NAME` (env X)":         "NAME|ClickHouse user (env X)",
		"of this `TENANT` only":                  "TENANT|of this TENANT only",
		"`FORMAT`: table, json":                  "FORMAT|table, json",
		"`WHO` answers for it":                   "WHO|WHO answers for it",
		"look back `DURATION`, e.g. 12h":         "DURATION|look back DURATION, e.g. 12h",
		"public key of the log `FILE or KEY`":    "FILE or KEY|public key of the log",
		"how long to wait `DURATION`; 0 for all": "DURATION|how long to wait; 0 for all",
	} {
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.String("x", "", usage)
		if name, text := metavar(f.Lookup("x")); name+"|"+text != want {
			t.Errorf("%s: %s|%s, want %s", usage, name, text, want)
		}
	}
}
