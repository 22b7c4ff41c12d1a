package schemas

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGeneratedIsCurrent fails where generated code, schemas or references lag behind the YAML files.
func TestGeneratedIsCurrent(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"schemas", "internal/event", "internal/finding", "docs", "exporters/clickhouse"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"event", "finding"} {
		src, err := os.ReadFile(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "schemas", name+".yaml"), src, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "run", "./gen", "-root", root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range []string{"internal/event/event_gen.go", "internal/finding/finding_gen.go", "schemas/event.schema.json", "schemas/finding.schema.json", "docs/event.md", "docs/finding.md",
		"exporters/clickhouse/event_columns_gen.go", "exporters/clickhouse/finding_columns_gen.go"} {
		want, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", f))
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(got) {
			t.Errorf("%s is stale: run `go generate ./schemas`", f)
		}
	}
}
