//go:build rsyslog

// Against a real rsyslogd: make test-rsyslog.

package syslog

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRsyslog(t *testing.T) {
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			conf := fmt.Sprintf(`
global(workDirectory="%[1]s" parser.escapeControlCharactersOnReceive="off")
module(load="imptcp")
input(type="imptcp" path="%[1]s/unused")
input(type="imptcp" port="18514" address="127.0.0.1" supportOctetCountedFraming="on")
template(name="t" type="string" string="%%structured-data%%\t%%app-name%%\t%%msgid%%\t%%msg%%\n")
action(type="omfile" file="%[2]s" template="t")
`, dir, out)
			file := filepath.Join(dir, "conf")
			if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("rsyslogd", "-n", "-f", file, "-i", filepath.Join(dir, "pid"))
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			e := open(t, func(c *Config) { c.Address, c.Format, c.Retry.MaxElapsed = "127.0.0.1:18514", format, 10*time.Second })
			if err := e.consume(context.Background(), records(0, 200)); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for deadline := time.Now().Add(10 * time.Second); len(lines) < 200 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				b, _ := os.ReadFile(out)
				lines = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
			}
			if len(lines) != 200 {
				t.Fatalf("rsyslog has %d lines, want 200", len(lines))
			}
			for i, l := range lines {
				f := strings.Split(l, "\t")
				if len(f) != 4 || f[1] != "mcpsiem" || !strings.Contains(l, hexID(i)) || strings.Contains(l, "planted") && format != formatJSON {
					t.Fatalf("line %d: %q", i, l)
				}
				if want := map[string]string{formatStructured: `[mcpsiem@32473 `, formatCEF: "-", formatJSON: "-"}[format]; !strings.HasPrefix(f[0], want) {
					t.Fatalf("line %d: structured data %q", i, f[0])
				}
			}
		})
	}
}
