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
