package page

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/dashboards/dashtest"
	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

const token = "0123456789abcdef0123456789abcdef0123456789abcdef"

func TestMain(m *testing.M) {
	storetest.Main(func() int {
		before := goleak.IgnoreCurrent()
		if code := m.Run(); code != 0 {
			return code
		}
		http.DefaultClient.CloseIdleConnections()
		if err := goleak.Find(before); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	})
}

func start(t *testing.T, edit ...func(*Config)) *page {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"token": token + "\n", "password": storetest.Server.Password(chdb.UserAnalyst)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := defaultConfig()
	cfg.Endpoint, cfg.TokenFile = "127.0.0.1:0", filepath.Join(dir, "token")
	cfg.ClickHouse.Endpoint, cfg.ClickHouse.PasswordFile = storetest.Server.TCPAddr(), filepath.Join(dir, "password")
	for _, f := range edit {
		f(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	p := newPage(extensiontest.NewNopSettings(Type), cfg)
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// get asks with the cookie, unless edit takes it away.
func get(t *testing.T, p *page, path string, edit ...func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest("GET", "http://"+p.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: p.cookie(), Value: token})
	for _, f := range edit {
		f(r)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

func noCookie(r *http.Request) { r.Header.Del("Cookie") }

func TestWhoMayAsk(t *testing.T) {
	p := start(t)
	for name, c := range map[string]struct {
		path string
		edit func(*http.Request)
		want int
	}{
		"with the cookie":           {"/", func(*http.Request) {}, 200},
		"without":                   {"/", noCookie, 401},
		"data without":              {"/api/findings", noCookie, 401},
		"assets without":            {"/app.js", noCookie, 401},
		"the link":                  {"/?token=" + token, noCookie, 200},
		"a wrong link":              {"/?token=" + strings.Repeat("0", len(token)), noCookie, 401},
		"the token on another path": {"/api/findings?token=" + token, noCookie, 401},
		"a wrong cookie":            {"/", func(r *http.Request) { r.Header.Set("Cookie", p.cookie()+"=x") }, 401},
		"another host":              {"/", func(r *http.Request) { r.Host = "evil.example:" + p.addr[strings.LastIndex(p.addr, ":")+1:] }, 403},
		"another port":              {"/", func(r *http.Request) { r.Host = "127.0.0.1:1" }, 403},
		"localhost":                 {"/", func(r *http.Request) { r.Host = "localhost" + p.addr[strings.LastIndex(p.addr, ":"):] }, 200},
		"another origin":            {"/api/findings", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		"its own origin":            {"/api/summary", func(r *http.Request) { r.Header.Set("Origin", "http://"+p.addr) }, 200},
		"a change":                  {"/api/findings", func(r *http.Request) { r.Method = "POST" }, 405},
		"nothing there":             {"/api/nothing", func(*http.Request) {}, 404},
	} {
		if code, h, _ := get(t, p, c.path, c.edit); code != c.want {
			t.Errorf("%s: %d, want %d", name, code, c.want)
		} else if !strings.Contains(h.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Errorf("%s: no content security policy", name)
		}
	}
	_, h, _ := get(t, p, "/?token="+token, noCookie)
	if c := h.Get("Set-Cookie"); !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict") {
		t.Errorf("cookie %s", c)
	}
}

func TestParametersAreChecked(t *testing.T) {
	p := start(t)
	for _, q := range []string{"hours=x", "hours=99999", "id=1", "id=00000000-0000-0000-0000-00000000000'", "rank=6", "closed=2", "after=-1", "nope=1", "find=" + strings.Repeat("x", 201)} {
		if code, _, _ := get(t, p, "/api/calls?"+q); code != 400 {
			t.Errorf("%s: %d", q, code)
		}
	}
	for _, q := range []string{"find=it%27s%20%5C", "find=%5C%5C%27", "find=%27%29%20OR%201%3D1--", "hours=168"} {
		if code, _, body := get(t, p, "/api/calls?"+q); code != 200 || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", q, code, body)
		}
	}
}

func TestEveryEndpointAnswers(t *testing.T) {
	ctx := context.Background()
	if err := dashtest.Load(ctx, storetest.Open(t, chdb.UserAdmin), dashtest.Traffic{Events: 20_000, Days: 1, End: time.Now()}); err != nil {
		t.Fatal(err)
	}
	p := start(t)
	var findings struct {
		Findings []struct {
			ID string `json:"id"`
		} `json:"findings"`
	}
	_, _, body := get(t, p, "/api/findings")
	if err := json.Unmarshal([]byte(body), &findings); err != nil || len(findings.Findings) == 0 {
		t.Fatalf("no findings: %v", err)
	}
	var finding struct {
		Finding []struct {
			EventIDs []string `json:"event_ids"`
		} `json:"finding"`
	}
	_, _, body = get(t, p, "/api/finding?id="+findings.Findings[0].ID)
	if err := json.Unmarshal([]byte(body), &finding); err != nil || len(finding.Finding) != 1 || len(finding.Finding[0].EventIDs) == 0 {
		t.Fatalf("no finding: %v %.300s", err, body)
	}
	for name, e := range endpoints {
		path := "/api/" + name
		switch name {
		case "finding":
			path += "?id=" + findings.Findings[0].ID
		case "event":
			path += "?id=" + finding.Finding[0].EventIDs[0]
		}
		code, _, body := get(t, p, path)
		var got map[string][]map[string]any
		if err := json.Unmarshal([]byte(body), &got); code != 200 || err != nil {
			t.Errorf("%s: %d, %v, %.200s", name, code, err, body)
			continue
		}
		for _, part := range e {
			if len(got[part.name]) == 0 && name != "live" {
				t.Errorf("%s: %s is empty", name, part.name)
			}
		}
	}

	// Page after page every finding and every call comes, each once, and of each page one row more where there are more.
	for name, sql := range map[string]string{
		"findings": "SELECT count() FROM mcp_findings WHERE is_open",
		"calls":    "SELECT count() FROM events WHERE " + calls + " AND ts > now() - INTERVAL 24 HOUR",
	} {
		var want uint64
		if err := storetest.Open(t, chdb.UserAnalyst).QueryRow(ctx, sql).Scan(&want); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for skip, more := 0, true; more; skip += 300 {
			_, _, body := get(t, p, fmt.Sprintf("/api/%s?skip=%d", name, skip))
			var got map[string][]struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			page := got[name]
			more = len(page) > 300
			for _, r := range page[:min(len(page), 300)] {
				if seen[r.ID] {
					t.Fatalf("%s: %s comes twice", name, r.ID)
				}
				seen[r.ID] = true
			}
		}
		if missing := int64(want) - int64(len(seen)); want < 900 || missing < 0 || missing > 20 { // a moment passes between the two, and with it the oldest calls
			t.Errorf("%d of %d %s came", len(seen), want, name)
		}
	}
}

func TestStoreAway(t *testing.T) {
	p := start(t, func(c *Config) { c.ClickHouse.Endpoint = "127.0.0.1:1" })
	code, _, body := get(t, p, "/api/findings")
	if code != 503 || strings.Contains(body, "SELECT") {
		t.Errorf("%d %s", code, body)
	}
	if code, _, _ := get(t, p, "/"); code != 200 {
		t.Errorf("the page itself: %d", code)
	}
}

func TestConfig(t *testing.T) {
	for text, edit := range map[string]func(*Config){
		"HOST:PORT":           func(c *Config) { c.Endpoint = "x" },
		"loopback":            func(c *Config) { c.Endpoint = "0.0.0.0:1" },
		"token_file":          func(c *Config) { c.TokenFile = "" },
		"clickhouse.endpoint": func(c *Config) { c.ClickHouse.Endpoint = "" },
	} {
		c := defaultConfig()
		c.TokenFile, c.ClickHouse.Endpoint = "t", "127.0.0.1:9000"
		edit(c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	short := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := defaultConfig()
	c.TokenFile = short
	if err := newPage(extensiontest.NewNopSettings(Type), c).Start(context.Background(), componenttest.NewNopHost()); err == nil || strings.Contains(err.Error(), "short") && !strings.Contains(err.Error(), "fewer") {
		t.Errorf("a short token: %v", err)
	}
}
