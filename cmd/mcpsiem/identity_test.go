package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/identity"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

func TestFingerprint(t *testing.T) {
	d, err := state.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.key")
	if err := os.WriteFile(other, []byte(strings.Repeat("0a", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "credential")
	if err := os.WriteFile(file, []byte("s3cret-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := identity.LoadKey(d.Secret(state.SecretIdentityKey))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := identity.LoadKey(other)
	if err != nil {
		t.Fatal(err)
	}
	want := own.Fingerprint("s3cret-token")
	f := func(in, out, problem string, args ...string) {
		t.Helper()
		var b bytes.Buffer
		c := newRoot()
		c.SetArgs(append([]string{"identity", "fingerprint"}, args...))
		c.SetIn(strings.NewReader(in))
		c.SetOut(&b)
		err := c.Execute()
		if out != "" && (err != nil || b.String() != out+"\n") {
			t.Errorf("%q, %v, want %s", b.String(), err, out)
		}
		if problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("error %v, want %s", err, problem)
		}
		if s := b.String(); strings.Contains(s, "s3cret") || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Error("the credential is shown")
		}
	}
	st := "--state=" + string(d)
	f("s3cret-token", want, "", st)
	f("s3cret-token\n", want, "", st)
	f("s3cret-token\r\n", want, "", st)
	f("Bearer s3cret-token\n", want, "", st)
	f("bearer  s3cret-token", want, "", st)
	f("", want, "", st, "--file="+file)
	f("s3cret-token", foreign.Fingerprint("s3cret-token"), "", "--key-file="+other)
	f("", "", "is empty", st)
	f("\n", "", "is empty", st)
	f("s3cret-a\ns3cret-b", "", "more than one line", st)
	f(" s3cret", "", "blanks", st)
	f(strings.Repeat("s3cret", 20_000), "", "longer than", st)
	f("", "", "command line", st, "s3cret-token")
	f("s3cret", "", "--key-file", "--state="+t.TempDir())
	f("", "", "no such file", st, "--file=/does/not/exist")
}

func TestDays(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		var d days
		got := ""
		if err := d.Set(in); err == nil {
			got = d.String()
		}
		if got != want {
			t.Errorf("%s is %q, want %q", in, got, want)
		}
	}
	f("30d", "30d")
	f("12h", "12h0m0s")
	f("48h", "2d")
	f("90m", "1h30m0s")
	f("0d", "")
	f("-1d", "")
	f("99999d", "")
	f("1.5d", "")
	f("-1h", "")
	f("0s", "")
	f("week", "")
}
