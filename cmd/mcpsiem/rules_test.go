package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The commands over files: what is right, what has a fault, and Sigma in and out.
func TestRulesCommands(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(fails bool, want string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		c := newRules()
		c.SetArgs(args)
		c.SetOut(&out)
		c.SilenceErrors, c.SilenceUsage = true, true
		err := c.Execute()
		text := out.String()
		if err != nil {
			text += err.Error()
		}
		if (err != nil) != fails || !strings.Contains(text, want) {
			t.Errorf("%v: error %v, want %q in %s", args, err, want, text)
		}
	}
	rule := "schema: mcpsiem.rule/v1\nid: mine\nversion: 1.0.0\ntitle: Mine\nseverity: low\nkind: event\nwhen: is_call and tool == 'x'\nsummary: \"{tool}\"\n"
	write("mine.yaml", rule)
	write("mine.detect", "case one\n  0s call x\n  expect mine\n  1s call y\n  expect none\n")
	f(false, "mine", "list", "--dir", dir)
	f(false, "1 cases, 0 failed", "test", dir)
	f(false, "0 faults, 2 warnings", "lint", "--dir", dir)
	f(false, `"faults": []`, "lint", "--dir", dir, "--json")
	out := filepath.Join(dir, "docs")
	f(false, "pages in", "docs", "--dir", dir, "--out", out)
	if _, err := os.Stat(filepath.Join(out, "mine.md")); err != nil {
		t.Error(err)
	}
	f(false, "tool|cased: 'x'", "export", "--sigma", "mine", "--dir", dir)
	f(true, "--sigma", "export")
	f(true, "no rule", "export", "--sigma", "yours")
	write("mine.detect", "case one\n  0s call x\n  expect none\n")
	f(true, "1 cases, 1 failed", "test", dir)
	write("mine.yaml", strings.Replace(rule, "tool ==", "toool ==", 1))
	f(true, "did you mean tool?", "lint", "--dir", dir)
	f(true, "did you mean tool?", "list", "--dir", dir)
	write("credential.yaml", strings.Replace(rule, "id: mine", "id: credential_leak", 1))
	f(true, "is that of a detector", "list", "--dir", dir)
	write("s.yml.sigma", "title: From elsewhere\nlogsource: {product: mcp}\nlevel: high\ndetection: {a: {tool_name: X}, condition: a}\n")
	to := filepath.Join(dir, "imported")
	f(false, "", "import", filepath.Join(dir, "s.yml.sigma"), "--out", to)
	if b, err := os.ReadFile(filepath.Join(to, "sigma_from_elsewhere.yaml")); err != nil || !strings.Contains(string(b), `lower(tool) == "x"`) {
		t.Errorf("%s %v", b, err)
	}
	write("bad.sigma", "title: T\nlogsource: {product: windows}\ndetection: {a: {tool_name: X}, condition: a}\n")
	f(true, "not about MCP", "import", filepath.Join(dir, "bad.sigma"), "--json")
}
