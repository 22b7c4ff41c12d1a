package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answering answers from a list, and knows what was asked without echo.
type answering struct {
	answers   []string
	secrets   int
	questions []string
}

func (p *answering) Line(question, otherwise string) (string, error) {
	p.questions = append(p.questions, question)
	if len(p.answers) == 0 {
		return "", io.EOF
	}
	a := p.answers[0]
	p.answers = p.answers[1:]
	if a == "" {
		return otherwise, nil
	}
	return a, nil
}

func (p *answering) Secret(q string) (string, error) { p.secrets++; return p.Line(q, "") }

// alone runs a test without the user's own client configurations.
func alone(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
}

func TestInitAsks(t *testing.T) {
	alone(t)
	dir := filepath.Join(t.TempDir(), "state")
	p := &answering{answers: []string{"acme", "https://id.example.com/", "https://id.example.com/jwks", "mcp other", "", "splunkhec", "", "https://splunk.example.com:8088", "t0ken", "", "", "soc2"}}
	var out bytes.Buffer
	if err := runInit(context.Background(), initOptions{state: dir}, p, &out); err != nil {
		t.Fatal(err)
	}
	if p.secrets != 1 || len(p.answers) != 0 {
		t.Errorf("%d secrets asked without echo, %d answers left", p.secrets, len(p.answers))
	}
	for file, want := range map[string]string{
		"site.yaml": "default_tenant: acme", "sinks.yaml": "sink-splunkhec.token", "retention.yaml": "preset: soc2", "secrets/sink-splunkhec.token": "t0ken", "secrets/otlp.token": "",
	} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v\n%s", file, err, b)
		}
		if st, err := os.Stat(filepath.Join(dir, file)); err == nil && st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, st.Mode())
		}
	}
	if strings.Contains(out.String(), "t0ken") {
		t.Error("the secret is on the screen")
	}
}

// A wrong answer is asked for again, and costs none of the others.
func TestInitAsksAgain(t *testing.T) {
	alone(t)
	dir := filepath.Join(t.TempDir(), "state")
	p := &answering{answers: []string{"", "https://id.example.com/", "id.example.com/jwks", "", "https://id.example.com/jwks", "", "", "splunk", "splunkhec", "", "", "https://splunk.example.com:8088", "", "t0ken", "", "", "sox", "soc2"}}
	var out bytes.Buffer
	if err := runInit(context.Background(), initOptions{state: dir}, p, &out); err != nil {
		t.Fatal(err)
	}
	if len(p.answers) != 0 {
		t.Errorf("%q are left", p.answers)
	}
	again := 0
	for _, q := range p.questions {
		if strings.Contains(q, "\n") {
			again++
		}
	}
	if again != 6 {
		t.Errorf("asked again %d times: %q", again, p.questions)
	}
}

func TestInitFlags(t *testing.T) {
	alone(t)
	dir := filepath.Join(t.TempDir(), "state")
	run := func(o initOptions) string {
		t.Helper()
		o.state = dir
		var out bytes.Buffer
		if err := runInit(context.Background(), o, nil, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if out := run(initOptions{tenant: "acme", dryRun: true}); !strings.Contains(out, "default_tenant: acme") || !strings.Contains(out, "dry run") {
		t.Error(out)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dry run made the state folder (%v)", err)
	}
	if out := run(initOptions{}); !strings.Contains(out, "nothing was asked for") {
		t.Error(out)
	}
	run(initOptions{tenant: "acme"})
	if out := run(initOptions{tenant: "acme"}); !strings.Contains(out, "site.yaml: unchanged") {
		t.Error(out)
	}
	if out := run(initOptions{tenant: "globex"}); !strings.Contains(out, "site.yaml: kept") {
		t.Error(out)
	}
	if out := run(initOptions{tenant: "globex", overwrite: true, asJSON: true}); !strings.Contains(out, `"action": "written"`) {
		t.Error(out)
	}
}
