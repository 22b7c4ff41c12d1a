// Package e2e tries the commands as a user would, from scripts in testdata: real binaries, real engines.
package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestCommands(t *testing.T) {
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mcpsiem", "mcptap"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			t.Fatalf("build first: make build (%v)", err)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("ROOT", root)
			e.Setenv("BIN", bin)
			e.Setenv("MCPSIEM_STATE", filepath.Join(e.WorkDir, "state"))
			// The engine's library is the user's; everything else is the script's.
			cache := os.Getenv("XDG_CACHE_HOME")
			if cache == "" {
				cache = filepath.Join(os.Getenv("HOME"), ".cache")
			}
			e.Setenv("XDG_CACHE_HOME", cache)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitready": waitReady, "endpoint": endpoint, "waitrows": waitRows, "post": post, "lastline": lastLine,
			"exitcode": exitCode, "waitsealed": waitSealed, "flipbyte": flipByte, "adminsql": adminSQL,
		},
	})
}

// endpoints reads where the installation under test listens, or returns nil while it is not ready.
func endpoints(ts *testscript.TestScript) map[string]any {
	b, err := os.ReadFile(filepath.Join(ts.Getenv("MCPSIEM_STATE"), "endpoints.json"))
	var e map[string]any
	if err != nil || json.Unmarshal(b, &e) != nil {
		return nil
	}
	return e
}

// waitReady waits until `mcpsiem up` is ready.
func waitReady(ts *testscript.TestScript, _ bool, _ []string) {
	for range 1200 {
		if endpoints(ts) != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("mcpsiem is not ready after two minutes")
}

// post PATH FILE [stranger] sends a file of OTLP JSON, with the installation's token unless a stranger does it.
func post(ts *testscript.TestScript, neg bool, args []string) {
	req, err := http.NewRequest(http.MethodPost, "http://"+endpoints(ts)["otlp_http"].(string)+args[0], strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	if len(args) < 3 {
		token, err := os.ReadFile(filepath.Join(ts.Getenv("MCPSIEM_STATE"), "secrets", "otlp.token"))
		ts.Check(err)
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	resp.Body.Close()
	if ok := resp.StatusCode == http.StatusOK; ok == neg {
		ts.Fatalf("answered %s", resp.Status)
	}
}

// endpoint VAR sets VAR to the base URL of OTLP over HTTP.
func endpoint(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], "http://"+endpoints(ts)["otlp_http"].(string))
}

// waitRows N SQL waits until the query's only value is N.
func waitRows(ts *testscript.TestScript, _ bool, args []string) {
	out := ""
	for range 300 {
		if err := ts.Exec("mcpsiem", "query", "--format", "tsv", args[1]); err == nil {
			lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
			if out = lines[len(lines)-1]; out == args[0] {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("%s: got %s, want %s", args[1], out, args[0])
}

// lastLine VAR FILE sets VAR to the last line of a file.
func lastLine(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[1])), "\n")
	ts.Setenv(args[0], strings.TrimSpace(lines[len(lines)-1]))
}
