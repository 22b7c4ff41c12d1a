package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestEvalCommand(t *testing.T) {
	data := t.TempDir()
	if err := os.MkdirAll(filepath.Join(data, "mcp"), 0o755); err != nil {
		t.Fatal(err)
	}
	row := `{"id":"a","label":"benign","msg":{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"fine"}]}}}` + "\nnot a row\n"
	if err := os.WriteFile(filepath.Join(data, "mcp", "tool_result_benign.jsonl"), []byte(row), 0o644); err != nil {
		t.Fatal(err)
	}
	rows := filepath.Join(t.TempDir(), "rows")
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs([]string{"eval", "--data", data, "--json", "--rows", rows})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	var r struct {
		Slices []struct {
			Slice   string
			N, Hits int
			CI      [2]float64
		}
		Malformed []struct{ Rows int }
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Slices) != 1 || r.Slices[0].Slice != "tool_result_benign" || r.Slices[0].N != 1 || r.Slices[0].Hits != 0 || r.Slices[0].CI[1] == 0 || len(r.Malformed) != 1 || r.Malformed[0].Rows != 1 {
		t.Errorf("%s", out.String())
	}
	if b, err := os.ReadFile(rows); err != nil || bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("rows: %s %v", b, err)
	}
}

func TestEvalUsage(t *testing.T) {
	f := func(args ...string) {
		t.Helper()
		if code := run(append([]string{"eval"}, args...)); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	f()
	f("--data", filepath.Join(t.TempDir(), "none"))
	f("--data", t.TempDir())
	f("--data", t.TempDir(), "--rows", filepath.Join(t.TempDir(), "none", "rows"))
	f("unexpected")
}
