package setup

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

const secret = "s3cr3t-that-is-nowhere-else"

// filled answers every question of a form.
func filled(f Form) Sink {
	s := Sink{Name: "my-" + f.Type, Type: f.Type, Values: map[string]string{}}
	for _, q := range f.Fields {
		switch {
		case q.Secret:
			s.Values[q.Key] = secret
		case q.Default == "":
			s.Values[q.Key] = q.Example
		}
	}
	return s
}

func answers() Answers {
	a := Answers{Tenant: "acme", Retention: "soc2", Issuer: &Issuer{Issuer: "https://id.example.com/", JWKSURL: "https://id.example.com/jwks", Audiences: []string{"mcp"}, IDClaim: "email"}}
	for _, f := range Available() {
		a.Sinks = append(a.Sinks, filled(f))
	}
	return a
}

func must(t *testing.T, d state.Dir, a Answers) *Plan {
	t.Helper()
	p, err := Make(context.Background(), d, a)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func never(t *testing.T) func(File) (bool, error) {
	return func(f File) (bool, error) {
		t.Errorf("asked whether to replace %s", f.Path)
		return false, nil
	}
}

// TestForms: what each form comes to is what its exporter takes, and secrets are in files of their own and nowhere else.
func TestForms(t *testing.T) {
	d := state.Dir(t.TempDir())
	p := must(t, d, answers())
	if _, err := p.Write(never(t)); err != nil {
		t.Fatal(err)
	}
	secrets, want := 0, 0
	for _, f := range Available() {
		for _, q := range f.Fields {
			if q.Secret {
				want++
			}
		}
	}
	for _, f := range p.Files {
		st, err := os.Stat(f.Path)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Path, st, err)
		}
		b, _ := os.ReadFile(f.Path)
		if f.Secret {
			secrets++
			if string(b) != secret+"\n" || filepath.Dir(f.Path) != d.Path("secrets") {
				t.Errorf("%s is not the secret", f.Path)
			}
		} else if strings.Contains(string(b), secret) {
			t.Errorf("%s holds the secret", f.Path)
		}
	}
	if secrets != want || want < 2 {
		t.Errorf("%d secrets", secrets)
	}
	list, err := distro.ReadSinks(d.Sinks())
	if err != nil || len(list) != len(Available()) {
		t.Errorf("%d sinks, %v", len(list), err)
	}
	site, err := os.ReadFile(Site(d))
	if err != nil || !strings.Contains(string(site), "default_tenant: acme") || !strings.Contains(string(site), "id_claim: email") {
		t.Errorf("site.yaml: %v\n%s", err, site)
	}
}

// TestAgain: the same answers change nothing, others ask first, and what a person wrote into sinks.yaml stays.
func TestAgain(t *testing.T) {
	d := state.Dir(t.TempDir())
	if _, err := must(t, d, answers()).Write(never(t)); err != nil {
		t.Fatal(err)
	}
	for _, f := range must(t, d, answers()).Files {
		if f.State != Same {
			t.Errorf("%s: %s the second time", f.Path, f.State)
		}
	}
	other := answers()
	other.Tenant = "globex"
	p := must(t, d, other)
	written, err := p.Write(func(f File) (bool, error) { return false, nil })
	if err != nil || len(written) != 0 {
		t.Errorf("wrote %d files although it was told not to (%v)", len(written), err)
	}
	if site, _ := os.ReadFile(Site(d)); !strings.Contains(string(site), "acme") {
		t.Error("site.yaml was replaced")
	}

	d = state.Dir(t.TempDir())
	mine := "# mine\nsinks:\n  - name: hand # by hand\n    type: ocsf\n    config: {file: {dir: /x}}\n"
	if err := os.WriteFile(d.Sinks(), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	p = must(t, d, Answers{Sinks: []Sink{filled(Forms[0])}})
	asked := 0
	if _, err := p.Write(func(File) (bool, error) { asked++; return true, nil }); err != nil || asked != 1 {
		t.Fatalf("asked %d times, %v", asked, err)
	}
	b, _ := os.ReadFile(d.Sinks())
	for _, want := range []string{"# mine", "# by hand", "name: hand", "name: my-splunkhec"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("sinks.yaml lost %q:\n%s", want, b)
		}
	}
}

func TestRefused(t *testing.T) {
	f := func(a Answers, want string) {
		t.Helper()
		d := state.Dir(t.TempDir())
		_, err := Make(context.Background(), d, a)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the secret is in the error")
		}
		if left, _ := os.ReadDir(string(d)); len(left) > 0 {
			t.Errorf("%d files were written", len(left))
		}
	}
	f(Answers{Tenant: " a"}, "tenant")
	f(Answers{Retention: "forever"}, "there are")
	f(Answers{Issuer: &Issuer{Issuer: "https://x"}}, "key set")
	f(Answers{Issuer: &Issuer{Issuer: "https://x", JWKSURL: "ftp://x"}}, "site.yaml")
	f(Answers{Sinks: []Sink{{Name: "x", Type: "fax"}}}, "there is no form")
	f(Answers{Sinks: []Sink{{Name: "x", Type: "splunkhec", Values: map[string]string{"token": secret}}}}, "endpoint is needed")
	f(Answers{Sinks: []Sink{{Name: "x", Type: "splunkhec", Values: map[string]string{"token": secret, "endpoint": "nonsense"}}}}, "endpoint must be")
	f(Answers{Sinks: []Sink{{Name: "detect", Type: "splunkhec", Values: map[string]string{"token": secret, "endpoint": "https://x:1"}}}}, "taken by the pipeline")
	f(Answers{Sinks: []Sink{{Name: "../x", Type: "splunkhec"}}}, "letters")
}

func TestParseSink(t *testing.T) {
	ok := func(text, name string, values, files []string) {
		t.Helper()
		s, got, err := ParseSink(text)
		if err != nil || s.Name != name {
			t.Fatalf("%v %v", s, err)
		}
		for _, k := range values {
			if s.Values[k] == "" {
				t.Errorf("no %s", k)
			}
		}
		for _, k := range files {
			if got[k] == "" {
				t.Errorf("no file for %s", k)
			}
		}
	}
	ok("type=splunkhec,endpoint=https://s:8088,token-file=/t", "splunkhec", []string{"endpoint"}, []string{"token"})
	ok("type=elastic,name=es,endpoints=https://a https://b,auth.api_key-file=/t", "es", []string{"endpoints"}, []string{"auth.api_key"})
	refused := func(text, want string) {
		t.Helper()
		if _, _, err := ParseSink(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	refused("type=splunkhec,token="+secret, "does not belong on a command line")
	refused("type=splunkhec,colour=red", "it has endpoint, token-file, index")
	refused("type=splunkhec,endpoint-file=x", "is no secret")
	refused("splunkhec", "KEY=VALUE")
	refused("type=fax", "there is no form")
	if !slices.ContainsFunc(Forms, func(f Form) bool { return f.Type == "splunkhec" }) {
		t.Error("no form for Splunk")
	}
}
