package crosstenant

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestDeclared(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "owners.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Definition.New(map[string]any{"file": file})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("", "")
	f("owners: [{tenant: acme, servers: [a*]}]", "")
	f("owners: [{servers: [a*]}]", "names no tenant")
	f("owners: [{tenant: a, servers: ['[']}]", "no pattern")
	f("owners: [{tenant: a, resources: [file]}]", "scheme")
	f("owners: [{tenant: a, marks: [AB]}]", "shorter")
	f("owners: [{tenant: a, mark: [ABCD]}]", "mark")
	f("shared: [{}]", "neither")
	if _, err := Definition.New(map[string]any{"file": "none.yaml"}); err == nil {
		t.Error("a missing file is taken")
	}
}

func TestConfig(t *testing.T) {
	f := func(key string, v any) {
		t.Helper()
		if _, err := Definition.New(map[string]any{key: v}); err == nil {
			t.Errorf("%s: %v is taken", key, v)
		}
	}
	f("support", 0)
	f("warmup", 0)
	f("max_shared", 1)
	f("fingerprints", 10)
	f("repeat", "1s")
	f("per_principal", []string{"["})
}

func TestMarks(t *testing.T) {
	d, err := ReadDeclared("testdata/owners.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := func(tenant, body, owner string) {
		t.Helper()
		e := eventWith(body)
		if got, _ := d.foreign(tenant, &e); got != owner {
			t.Errorf("%s %s: %q", tenant, body, got)
		}
	}
	f("globex", `{"id":"ACME-17"}`, "acme")
	f("acme", `{"id":"ACME-17"}`, "")
	f("globex", `{"id":"GLOBEX-17"}`, "")
}

func TestLedgerIsBounded(t *testing.T) {
	l := ledger{limit: 100}
	for i := range uint64(10_000) {
		l.seen(i<<3|uint64(shingle.Value), owner{tenant: 7, principal: 8, minute: 1, exchange: 3})
	}
	if n := len(l.now) + len(l.before); n > 200 {
		t.Errorf("%d entries", n)
	}
	var r ledger
	if err := r.read(l.append(nil)); err != nil || len(r.now) != len(l.now) || len(r.before) != len(l.before) {
		t.Errorf("%v", err)
	}
}

// What is no state is refused, and never a panic.
func FuzzState(f *testing.F) {
	var s state
	s.ledger.limit = 10
	s.ledger.seen(8, owner{tenant: 2, principal: 3})
	b, err := s.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s state
		if s.UnmarshalBinary(b) != nil {
			return
		}
		if _, err := s.MarshalBinary(); err != nil {
			t.Fatal(err)
		}
	})
}
