package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/exporters/elastic/elastictest"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestElasticSetup(t *testing.T) {
	s := elastictest.New(t)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(elastictest.APIKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(args ...string) (string, error) {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(append([]string{"elastic", "setup", "--state", t.TempDir()}, args...))
		err := root.ExecuteContext(t.Context())
		if strings.Contains(out.String(), elastictest.APIKey) {
			t.Errorf("the key is in %s", out.String())
		}
		return out.String(), err
	}
	var r struct {
		Server string
		DryRun bool `json:"dry_run"`
		Steps  []struct{ Result string }
	}
	for _, dry := range []bool{true, false} {
		args := []string{"--url", s.URL, "--api-key-file", key, "--json"}
		if dry {
			args = append(args, "--dry-run")
		}
		out, err := do(args...)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.Server != "elasticsearch" || r.DryRun != dry || len(r.Steps) != 10 {
			t.Errorf("%+v, %v", r, err)
		}
		if put, _ := s.Put(); dry == (len(put) > 0) {
			t.Errorf("dry run %v: %d put", dry, len(put))
		}
	}
	if out, err := do("--url", s.URL, "--api-key-file", key, "--namespace", "prod"); err != nil || !strings.Contains(out, "data stream logs-mcpsiem.event-prod") || !strings.Contains(out, "not recorded") {
		t.Errorf("%s %v", out, err)
	}
	nats := natsdtest.New(t)
	spec, _ := streams.DefaultSpec(streams.Events)
	trail, err := streams.Ensure(t.Context(), nats.JS(), spec)
	if err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(natsdtest.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := do("--url", s.URL, "--api-key-file", key, "--nats-url", nats.URL(), "--nats-user", natsdtest.User, "--nats-password-file", password); err != nil || !strings.Contains(out, "recorded in the audit trail") {
		t.Errorf("%s %v", out, err)
	}
	if info, err := trail.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("%d records of the setup, %v", info.State.Msgs, err)
	}
	f := func(want string, code int, args ...string) {
		t.Helper()
		_, err := do(args...)
		var coded *exitError
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &coded) != (code != exitFailure) || coded != nil && coded.code != code {
			t.Errorf("%v: %v, want %q with code %d", args, err, want, code)
		}
	}
	f("which cluster", exitUsage)
	f("base URL", exitUsage, "--url", "es:9200", "--anonymous")
	f("--api-key-file", exitUsage, "--url", s.URL)
	f("--kibana-url", exitUsage, "--url", s.URL, "--anonymous", "--rules")
	f("namespace must be", exitUsage, "--url", s.URL, "--anonymous", "--namespace", "A")
	f("at least a day", exitUsage, "--url", s.URL, "--anonymous", "--keep-events", "0")
	f("credential", exitFailure, "--url", s.URL, "--anonymous")
	f("cannot ask the cluster", exitUnreachable, "--url", "http://127.0.0.1:1", "--anonymous")
}
