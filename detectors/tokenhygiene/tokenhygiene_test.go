package tokenhygiene

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

// Somebody has decided about every signal that identity knows.
func TestEverySignalIsInTheTable(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "processors", "identity", "signals.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, r := range rules {
		if have[r.signal] {
			t.Errorf("%s is there twice", r.signal)
		}
		have[r.signal] = true
	}
	n := 0
	ast.Inspect(f, func(x ast.Node) bool {
		v, ok := x.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Signal") {
			return true
		}
		n++
		name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if !have[name] {
			t.Errorf("%s is not in the table: raise it or name it without a severity", name)
		}
		return true
	})
	if n != len(rules) {
		t.Errorf("%d signals, %d rules", n, len(rules))
	}
}
