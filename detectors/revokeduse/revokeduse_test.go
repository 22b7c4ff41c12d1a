package revokeduse

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

func TestFile(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "revoked.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Definition.New(map[string]any{"file": file})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "ghp_") {
			t.Errorf("the error quotes a token: %v", err)
		}
	}
	const good = "00112233445566778899aabbccddeeff"
	f("", "")
	f("revoked: [{credential: "+good+", at: 2026-01-05T09:00:00Z}]", "")
	f("revoked: [{credential: ghp_secret, at: 2026-01-05T09:00:00Z}]", "entry 1 is no fingerprint")
	f("revoked: ghp_secret", "not the YAML")
	f("revoked: [{credential: "+good+"}]", "no time")
}

func TestConfig(t *testing.T) {
	f := func(key string, v any) {
		t.Helper()
		if _, err := Definition.New(map[string]any{key: v}); err == nil {
			t.Errorf("%s: %v is taken", key, v)
		}
	}
	f("memory", "1s")
	f("repeat", "1s")
	f("file", "none.yaml")
}
