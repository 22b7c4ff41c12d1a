package exposure

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	f := func(origin, host, uri, client, want string, more ...string) {
		t.Helper()
		h := map[string]string{"origin": origin, "host": host}
		for _, m := range more {
			h[m] = "x"
		}
		if got := strings.Join(Judge(func(n string) string { return h[n] }, uri, client), " "); got != want {
			t.Errorf("%s %s %s %s: %s", origin, host, uri, client, got)
		}
	}
	f("", "localhost:3000", "/mcp", "127.0.0.1:5", "")
	f("http://localhost:6274", "localhost:3000", "/mcp", "127.0.0.1:5", "")
	f("https://evil.example", "localhost:3000", "/mcp", "127.0.0.1:5", ForeignOrigin)
	f("https://evil.example", "[::1]:3000", "/mcp", "[::1]:5", ForeignOrigin)
	f("http://evil.example:3000", "evil.example:3000", "/mcp", "127.0.0.1:5", Rebinding)
	f("https://mcp.corp.example", "mcp.corp.example", "/mcp", "127.0.0.1:5", "", "x-forwarded-for")
	f("https://app.corp.example", "mcp.corp.example", "/mcp", "10.0.0.5:5", "")
	f("null", "localhost", "/", "127.0.0.1", "")
	f("", "h", "/sse?transportType=stdio&command=touch&args=x", "127.0.0.1", ProxyCommand)
	f("", "h", "/sse?command=list", "127.0.0.1", "")
	f("", "h", "/sse?x=%zz;", "127.0.0.1", "")
}

func FuzzJudge(f *testing.F) {
	f.Add("http://a:1", "a", "/?command=a&args=b", "127.0.0.1:1")
	f.Fuzz(func(t *testing.T, origin, host, uri, client string) {
		for _, s := range Judge(func(n string) string { return map[string]string{"origin": origin, "host": host}[n] }, uri, client) {
			if !strings.HasPrefix(s, "transport.") {
				t.Error(s)
			}
		}
	})
}
