package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSystemd lets systemd check the units, with the built programs in the places of the installed ones.
func TestSystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatalf("this test needs systemd-analyze: %v", err)
	}
	dir := t.TempDir()
	units, err := filepath.Glob(filepath.Join(root(t), "deploy/systemd/*.service"))
	if err != nil || len(units) != 3 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	for _, u := range units {
		b, err := os.ReadFile(u)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "/usr/bin/", filepath.Dir(mcpsiem(t))+"/")
		text = regexp.MustCompile(`(?m)^(User|Group)=mcpsiem$`).ReplaceAllString(text, "$1=root") // the account of the installation
		name := strings.Replace(filepath.Base(u), "@", "@x", 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || strings.Contains(string(out), name+":") {
			t.Errorf("%s: %v\n%s", filepath.Base(u), err, out)
		}
		for _, want := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "SystemCallFilter=@system-service", "CapabilityBoundingSet=\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s is missing", filepath.Base(u), want)
			}
		}
	}
}
