package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// marker stands in malformed messages; what cannot be examined must not show up anywhere.
const marker = "XYZZY-CONTENT-7f31"

// TestHostileInput sends messages through a real tap into the whole pipeline that no decoder should trust, and looks for
// what passed, what was recorded, and where content leaked to.
func TestHostileInput(t *testing.T) {
	lines := map[string]struct {
		line string
		want string // SQL that counts the events as they should be recorded
	}{
		"not JSON":          {marker + " is not JSON", "kind = 'invalid' AND capture = 'withheld'"},
		"cut off":           {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + marker, "kind = 'invalid' AND capture = 'withheld'"},
		"invalid UTF-8":     {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":{\"a\":\"\xff\xfe" + marker + "\"}}", "has(anomalies, 'invalid_utf8')"},
		"duplicate key":     {`{"jsonrpc":"2.0","id":2,"method":"tools/list","method":"tools/call","params":{"name":"dup"}}`, "has(anomalies, 'duplicate_key') AND request_id = '2'"},
		"case-variant key":  {`{"jsonrpc":"2.0","id":3,"method":"tools/list","Method":"tools/call","params":{}}`, "has(anomalies, 'case_variant_key') AND request_id = '3' AND method = 'tools/list'"},
		"unknown method":    {`{"jsonrpc":"2.0","id":4,"method":"vendor/future","params":{}}`, "method = 'vendor/future' AND kind = 'request'"},
		"deeply nested":     {`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"deep","arguments":` + strings.Repeat("[", 100_000) + `"` + marker + `"` + strings.Repeat("]", 100_000) + `}}`, "withheld_reason != '' AND body = '' AND body_size > 200000 AND body_size < 1000000"},
		"fifty megabytes":   {`{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"big","arguments":{"x":"` + strings.Repeat("A", 50<<20) + `"}}}`, "capture = 'withheld' AND body_size > 52000000"},
		"nothing but space": {"   ", ""},
		"huge number":       {`{"jsonrpc":"2.0","id":1e400,"method":"ping"}`, "method = 'ping'"},
		"lone surrogate":    {`{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"s","arguments":{"a":"\ud800"}}}`, "request_id = '8'"},
	}
	var input bytes.Buffer
	for _, l := range lines {
		input.WriteString(l.line + "\n")
	}

	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	up := exec.Command(filepath.Join(bin, "mcpsiem"), "up", "--any-port", "--state", state)
	var said bytes.Buffer
	up.Stderr, up.Stdout = &said, &said
	up.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			up.Process.Signal(syscall.SIGTERM)
			up.Wait()
		}
	}
	defer stop()
	var e struct {
		OTLP    string `json:"otlp_http"`
		Metrics string `json:"metrics"`
	}
	for range 600 {
		if b, err := os.ReadFile(filepath.Join(state, "endpoints.json")); err == nil && json.Unmarshal(b, &e) == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if e.OTLP == "" {
		t.Fatalf("mcpsiem did not start:\n%s", said.String())
	}

	tap := exec.Command(filepath.Join(bin, "mcptap"), "stdio", "--name", "hostile", "--endpoint", "http://"+e.OTLP,
		"--token-file", filepath.Join(state, "secrets", "otlp.token"), "--state-dir", filepath.Join(dir, "tap"), "--shutdown-timeout", "60s", "--", "cat")
	tap.Stdin = bytes.NewReader(input.Bytes())
	var tapSaid bytes.Buffer
	tap.Stderr = &tapSaid
	out, err := tap.Output()
	if err != nil {
		t.Fatalf("the tap failed: %v\n%s", err, tapSaid.String())
	}
	if !bytes.Equal(out, input.Bytes()) {
		t.Errorf("the tap changed what passed: %d bytes in, %d out", input.Len(), len(out))
	}

	count := func(where string) string {
		out, _ := exec.Command(filepath.Join(bin, "mcpsiem"), "query", "--state", state, "--format", "tsv",
			"SELECT count() FROM events WHERE server = 'hostile' AND direction = 'client_to_server' AND kind != 'record' AND "+where).Output()
		f := strings.Fields(string(out))
		if len(f) == 0 {
			return "no answer"
		}
		return f[len(f)-1]
	}
	for name, l := range lines {
		if l.want == "" {
			continue
		}
		got := ""
		for range 300 {
			if got = count(l.want); got != "0" && got != "no answer" {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got == "0" || got == "no answer" {
			t.Errorf("%s: no event with %s", name, l.want)
		}
	}
	if n := count("position(body, '" + marker + "') > 0"); n != "0" {
		t.Errorf("%s events hold content that could not be examined", n)
	}

	// Nothing of it in metrics, logs, what the commands say, or dead letters.
	resp, err := http.Get("http://" + e.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	places := map[string][]byte{"metrics": metrics, "tap's standard error": tapSaid.Bytes()}
	if b, err := exec.Command(filepath.Join(bin, "mcpsiem"), "dlq", "list", "--state", state, "--json").Output(); err != nil || len(b) > 0 {
		t.Errorf("dead letters: %q, %v", b, err)
	}
	stop()
	places["standard error of up"] = said.Bytes()
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		// Streams and spools are encrypted and the store is redacted: the marker must not be on the disk at all.
		b, err := os.ReadFile(path)
		places[strings.TrimPrefix(path, dir)] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, b := range places {
		if bytes.Contains(b, []byte(marker)) {
			t.Errorf("content in %s", place)
		}
	}
	if len(places) < 20 {
		t.Errorf("only %d places looked at", len(places))
	}
	fmt.Fprintf(os.Stderr, "looked at %d places\n", len(places))
}
