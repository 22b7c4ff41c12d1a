package signal

import (
	"strings"
	"testing"
)

func TestBreakout(t *testing.T) {
	f := func(value string, want bool) {
		t.Helper()
		if got := Breakout([]byte(value)); (got >= 0.7) != want {
			t.Errorf("%q: %g", value, got)
		}
	}
	f("mia' or 'b'='b", true)
	f(`" OR ""="`, true)
	f("5') AND benchmark(9,md5(1))#", true)
	f("a'\tunion select 1,2", true)
	f("'; return true; var a='", true)
	f("' || this.role == 'x", true)
	f("*)(mail=*", true)
	f("ann)(|(cn=*", true)
	f("ann)(&)", true)

	f("", false)
	f("'", false)
	f("O'Brien", false)
	f("Rock 'n' Roll or jazz", false)
	f("the 'old' or the new", false)
	f(`12" and 14" wheels`, false)
	f("D'Orsay", false)
	f("Smith (Jr) (Boston)", false)
	f("f(x)(y)", false)
	f("it's union business", false)
	f("(a=1) and (b=2)", false)
	f(strings.Repeat("'", 5000), false)
}

func TestInLine(t *testing.T) {
	f := func(value string, want bool) {
		t.Helper()
		if got := InLine([]byte(value)); (got >= 0.7) != want {
			t.Errorf("%q: %g", value, got)
		}
	}
	f("Hello\r\nBcc: all@example.org", true)
	f("/a%0d%0aSet-Cookie: b=c", true)
	f("/a%0AX-Test:1", true)
	f("<script src=//x.example></script>", true)
	f("<svg/onload=go()>", true)
	f(`<img src="x" onerror=go()>`, true)
	f("javascript:go()", true)

	f("", false)
	f("Re: minutes of Monday", false)
	f("First line\nsecond line", false)
	f("a < b and on = off", false)
	f("<b>Sale</b>", false)
	f("100%0 fun", false)
	f("Learn javascript: the basics", false)
	f("<", false)
	f("%0", false)
}

func TestNames(t *testing.T) {
	f := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	f("$ne", Operator([]byte("$ne")), true)
	f("$set", Operator([]byte("$set")), false)
	f("password", Plain([]byte("password")), true)
	f("username", Plain([]byte("username")), true)
	f("filter", Plain([]byte("filter")), false)
	f("svg_title", Line([]byte("svg_title")), true)
	f("subject", Line([]byte("subject")), true)
	f("body", Line([]byte("body")), false)
	f("java", Serialized([]byte("rO0ABXNy")), true)
	f("text", Serialized([]byte("Hello")), false)
	f("two up", fewUp([]byte("../../package.json")), true)
	f("two up, a hidden file", fewUp([]byte("../../.profile")), false)
	f("two up, the system's", fewUp([]byte("../../etc/hosts")), false)
	f("three up", fewUp([]byte("../../../a")), false)
	f("message_body", IsWriting([]byte("message_body")), true)
	f("value", IsWriting([]byte("value")), false)
}

func TestStartup(t *testing.T) {
	f := func(path string, want bool) {
		t.Helper()
		if got := Startup([]byte(path)); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	f("/home/u/.bashrc", true)
	f("~/.zshrc", true)
	f(".git/hooks/post-checkout", true)
	f("/srv/app/.git/hooks/pre-push", true)
	f(`C:\Users\u\AppData\Roaming\Microsoft\Windows\Start Menu\Programs\Startup\a.bat`, true)
	f("/Users/u/Library/LaunchAgents/com.example.plist", true)
	f("/etc/cron.d/x", true)
	f("/etc/sudoers.d/x", true)
	f("/home/u/.ssh/authorized_keys", true)

	f("", false)
	f("/srv/app/.bashrc.md", false)
	f("docs/profile", false)
	f("docs/launchagents.md", false)
	f("src/authorized_keys_test.go", false)
	f("/etc/sudoersx", false)
	f(strings.Repeat("/a", 5000), false)
}

func TestEncodedShell(t *testing.T) {
	f := func(value string, want bool) {
		t.Helper()
		if got := EncodedShell([]byte(value)); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	f("powershell -nop -w hidden -enc SQBFAFgAKABOAGUAdwAtAE8AYgBqAA==", true)
	f("cmd /c PowerShell.exe -EncodedCommand SQBFAFgAKABOAGUAdwAtAE8AYgBqAA==", true)
	f("pwsh -e SQBFAFgAKABOAGUAdwAtAE8AYgBqAA==", true)

	f("powershell -ExecutionPolicy Bypass -File build.ps1", false)
	f("how do I use powershell -enc?", false)
	f("powershell -e short", false)
}
