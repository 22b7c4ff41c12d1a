package release

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

// TestGoreleaser reads .goreleaser.yaml as goreleaser does, which refuses unknown keys.
func TestGoreleaser(t *testing.T) {
	p, err := config.Load(filepath.Join("../../..", ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, b := range p.Builds {
		ids = append(ids, b.ID)
		if !slices.Contains(b.Env, "CGO_ENABLED=0") {
			t.Errorf("build %s: cgo is on", b.ID)
		}
	}
	if !slices.Equal(ids, []string{"mcpsiem", "mcptap"}) {
		t.Errorf("builds %v", ids)
	}
	if p.Checksum.Disable || len(p.SBOMs) == 0 || len(p.Signs) == 0 || p.Signs[0].Cmd != "cosign" {
		t.Error("checksums, SBOMs or signatures are missing")
	}
}
