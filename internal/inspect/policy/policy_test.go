package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var classes = []Class{{Name: "email", Tags: []string{"pii"}}, {Name: "card", Tags: []string{"pci", "pii"}}, {Name: "secret", Tags: []string{"secret"}, Secret: true}}

func fieldPath(s string) (out [][]byte) {
	for _, p := range strings.Split(s, ".") {
		out = append(out, []byte(p))
	}
	return out
}

func TestFirstMatchDecides(t *testing.T) {
	p, err := Compile(File{Default: "hash", Rules: []Rule{
		{Tenants: []string{"acme"}, Tools: []string{"crm_*"}, Classes: []string{"email"}, Action: "keep"},
		{Fields: []string{"params.arguments.**"}, Classes: []string{"tag:pci"}, Action: "last_four"},
		{Fields: []string{"result.*.note"}, Classes: []string{"card"}, Action: "mask"},
		{Classes: []string{"sec*"}, Action: "drop"},
	}}, classes)
	if err != nil {
		t.Fatal(err)
	}
	f := func(tenant, tool, field string, class int, want Action) {
		t.Helper()
		var v View
		p.For(&v, tenant, "srv", tool)
		if got := v.Action(class, fieldPath(field)); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	f("acme", "crm_find", "x", 0, Keep)
	f("other", "crm_find", "x", 0, Hash)
	f("acme", "mail", "x", 0, Hash)
	f("acme", "mail", "params.arguments.a.b.c", 1, LastFour)
	f("acme", "mail", "params.arguments", 1, LastFour)
	f("acme", "mail", "params.other", 1, Hash)
	f("acme", "mail", "result.x.note", 1, Mask)
	f("acme", "mail", "result.x.y.note", 1, Hash)
	f("acme", "mail", "any.where", 2, Drop)
}

func TestWithoutFieldsIsAsWith(t *testing.T) {
	p, err := Compile(File{Rules: []Rule{{Classes: []string{"email"}, Action: "mask"}, {Classes: []string{"tag:pii"}, Action: "drop"}}}, classes)
	if err != nil {
		t.Fatal(err)
	}
	var v View
	p.For(&v, "t", "s", "x")
	if v.Paths() || v.Action(0, nil) != Mask || v.Action(1, nil) != Drop || v.Action(2, nil) != Pseudonymise {
		t.Errorf("%v %v %v", v.Action(0, nil), v.Action(1, nil), v.Action(2, nil))
	}
}

func TestCompileFailure(t *testing.T) {
	f := func(want string, file File) {
		t.Helper()
		if _, err := Compile(file, classes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("version 7", File{Version: 7})
	f("keep would store everything", File{Default: "keep"})
	f("not known", File{Rules: []Rule{{Action: "burn"}}})
	f("missing", File{Rules: []Rule{{}}})
	f("no data class matches", File{Rules: []Rule{{Action: "drop", Classes: []string{"emial"}}}})
	f("never stored", File{Rules: []Rule{{Action: "keep", Classes: []string{"secret"}}}})
	f("never stored", File{Rules: []Rule{{Action: "keep", Classes: []string{"tag:secret"}}}})
	f("bad pattern", File{Rules: []Rule{{Action: "drop", Tools: []string{"["}}}})
}

// A rule without classes that keeps does not keep credentials.
func TestKeepAllSparesNoSecret(t *testing.T) {
	p, err := Compile(File{Rules: []Rule{{Tools: []string{"x"}, Action: "keep"}}}, classes)
	if err != nil {
		t.Fatal(err)
	}
	var v View
	p.For(&v, "t", "s", "x")
	if v.Action(0, nil) != Keep || v.Action(2, nil) == Keep {
		t.Error("credentials are kept")
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("version: 1\nrules:\n  - {classes: [email], action: pseudonymize}\n")
	if _, err := Load(file, classes); err != nil {
		t.Error(err)
	}
	write("version: 1\nrulez: []\n")
	if _, err := Load(file, classes); err == nil {
		t.Error("unknown key accepted")
	}
	write("")
	if _, err := Load(file, classes); err != nil {
		t.Errorf("empty policy: %v", err)
	}
	if _, err := Load(file+".missing", classes); err == nil {
		t.Error("missing file accepted")
	}
}
