// Package page looks at the built-in page in a real browser.
package page

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var (
	bin   = flag.String("bin", "../../bin", "folder of mcpsiem and mcptap")
	shots = flag.String("shots", "", "folder for screenshots")
)

// hostile is a name that would run as markup in a careless page.
const hostile = `<img src=x onerror="window.hacked=1">`

// server answers as a small MCP server would, in any shell: each line that holds a key gets the answer for it.
const server = `while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
  *initialize\"*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"small","version":"1"}}}\n' "$id";;
  *tools/list*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"read","description":"Reads a note","inputSchema":{"type":"object"}}]}}\n' "$id";;
  *tools/call*) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"<script>window.hacked=2</script> ghp_%s"}]}}\n' "$id" "abcdefghijklmnopqrstuvwxyz0123456789";;
  esac
done`

type installation struct {
	dir, link string
	otlp      string
	store     string // ClickHouse's HTTP
	pid       int
}

func start(t *testing.T) installation {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(filepath.Join(*bin, "mcpsiem"), "up", "--state", dir, "--any-port")
	var out strings.Builder
	var mu sync.Mutex
	w := writer(func(p []byte) { mu.Lock(); out.Write(p); mu.Unlock() })
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			t.Error("mcpsiem did not end")
		}
	})
	link := regexp.MustCompile(`http://127\.0\.0\.1:\d+/\?token=[0-9a-f]+`)
	for range 1200 {
		mu.Lock()
		text := out.String()
		mu.Unlock()
		if l := link.FindString(text); l != "" {
			var e struct {
				OTLP  string `json:"otlp_http"`
				Store string `json:"clickhouse_http"`
			}
			b, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
			if err == nil {
				err = json.Unmarshal(b, &e)
			}
			if err != nil {
				t.Fatal(err)
			}
			return installation{dir, l, e.OTLP, e.Store, cmd.Process.Pid}
		}
		select {
		case err := <-done:
			t.Fatalf("mcpsiem ended: %v\n%s", err, text)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatal("mcpsiem printed no link")
	return installation{}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// talk lets a client say lines to the server, through a tap.
func (in installation) talk(t *testing.T, lines ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(*bin, "mcptap"), "stdio", "--name", "notes", "--endpoint", "http://"+in.otlp, "--token-file", filepath.Join(in.dir, "secrets", "otlp.token"), "--", "sh", "-c", server)
	cmd.Stdin = strings.NewReader(strings.Join(append([]string{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"browser-test","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`}, lines...), "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func browser(t *testing.T) string {
	t.Helper()
	if b := os.Getenv("MCPSIEM_CHROME"); b != "" {
		return b
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	t.Fatal("there is no Chromium: install one (apt-get install chromium), or name it in MCPSIEM_CHROME")
	return ""
}

// until waits for words in the page: the store and the page's own pace come between.
func until(js string) chromedp.Action {
	return chromedp.Poll(js, nil, chromedp.WithPollingInterval(200*time.Millisecond), chromedp.WithPollingTimeout(40*time.Second))
}

func textOf(selector, s string) chromedp.Action {
	return until(fmt.Sprintf(`document.querySelector(%q).innerText.includes(%q)`, selector, s))
}

func hasText(s string) chromedp.Action { return textOf("main", s) }

func goTo(hash string) chromedp.Action {
	return chromedp.Evaluate(fmt.Sprintf(`location.hash = %q`, hash), nil)
}

// newTab is a tab of a browser of its own.
func newTab(t *testing.T) context.Context {
	t.Helper()
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(browser(t)), chromedp.NoSandbox, chromedp.WindowSize(1200, 800))
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	tab, cancel = context.WithTimeout(tab, 4*time.Minute)
	t.Cleanup(cancel)
	return tab
}

func TestPage(t *testing.T) {
	in := start(t)
	in.talk(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":%q,"arguments":{"note":"1"}}}`, hostile))

	tab := newTab(t)
	var mu sync.Mutex
	var wrong []string
	host := strings.TrimSuffix(in.link[:strings.Index(in.link, "?")], "/")
	chromedp.ListenTarget(tab, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			wrong = append(wrong, "exception: "+e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError {
				wrong = append(wrong, "console error")
			}
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, host) && !strings.HasPrefix(e.Request.URL, "data:") {
				wrong = append(wrong, "request to "+e.Request.URL)
			}
		}
	})
	shot := func(name string) chromedp.Action {
		return chromedp.ActionFunc(func(ctx context.Context) error {
			if *shots == "" {
				return nil
			}
			var png []byte
			if err := chromedp.CaptureScreenshot(&png).Do(ctx); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(*shots, name+".png"), png, 0o644)
		})
	}
	step := func(name string, actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(tab, append(actions, shot(name))...); err != nil {
			var html string
			_ = chromedp.Run(tab, chromedp.OuterHTML("body", &html))
			t.Fatalf("%s: %v\n%s", name, err, html)
		}
	}
	var url string
	step("findings", chromedp.Navigate(in.link), chromedp.WaitVisible("main h2"), chromedp.Location(&url), hasText("credential_leak"))
	if strings.Contains(url, "token") {
		t.Errorf("the token stays in the address: %s", url)
	}
	step("finding", chromedp.Click(`//a[contains(., 'notes')]`, chromedp.BySearch), hasText("The chain"), hasText("What to do"), hasText("mcpsiem findings ack"),
		chromedp.Click("ol.chain summary", chromedp.ByQuery), hasText("jsonrpc"))
	step("event", chromedp.Click("ol.chain a", chromedp.ByQuery), hasText("Every field"), hasText("event_id"))
	step("calls", goTo("#/calls"), hasText("tools/list"), hasText(hostile))
	var before int
	step("counted", chromedp.Evaluate(`document.querySelectorAll('tbody tr').length`, &before))
	in.talk(t, `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"read","arguments":{}}}`)
	step("live", until(fmt.Sprintf(`document.querySelectorAll('tbody tr').length > %d`, before)))
	step("find", chromedp.SetValue(`input[name=find]`, "nowhere-at-all"), chromedp.Evaluate(`document.querySelector('form.choose').requestSubmit()`, nil), hasText("No call matches"))
	step("inventory", goTo("#/inventory"), hasText("notes"), hasText("read"))
	step("cost", goTo("#/cost"), hasText("By principal"), hasText("notes"))
	step("health", goTo("#/health"), hasText("clickhouse"), hasText("EVENTS"))
	step("unknown", goTo("#/finding/00000000-0000-0000-0000-000000000001"), hasText("There is no finding"))
	step("dark", emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}), goTo("#/findings"), hasText("credential_leak"))
	var colours []string
	step("colours", chromedp.Evaluate(`[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]`, &colours))
	if len(colours) != 2 || colours[0] == "rgb(255, 255, 255)" {
		t.Errorf("dark is %v", colours)
	}
	var overflow int
	step("narrow", emulation.SetDeviceMetricsOverride(390, 800, 1, true), chromedp.Evaluate(`document.documentElement.scrollWidth - innerWidth`, &overflow))
	if overflow > 0 {
		t.Errorf("on a narrow screen the page is %d pixels too wide", overflow)
	}

	// Every link and control can be reached by the keyboard, and has a name.
	var nameless, unlabelled, headings int
	step("names", chromedp.Evaluate(`[...document.querySelectorAll('a,button,input,select')].filter(e => !(e.innerText || e.labels?.length || e.getAttribute('aria-label'))).length`, &nameless),
		chromedp.Evaluate(`[...document.querySelectorAll('table')].filter(t => !t.caption).length`, &unlabelled), chromedp.Evaluate(`document.querySelectorAll('h1').length`, &headings))
	if nameless != 0 || unlabelled != 0 || headings != 1 {
		t.Errorf("%d controls without a name, %d tables without a caption, %d h1", nameless, unlabelled, headings)
	}
	var hacked bool
	step("text", chromedp.Evaluate(`window.hacked !== undefined`, &hacked))
	if hacked {
		t.Error("a message ran as code")
	}
	mu.Lock()
	defer mu.Unlock()
	for _, w := range wrong {
		t.Error(w)
	}
}

// sql runs a statement in the store as its administrator.
func (in installation) sql(t *testing.T, q string) {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(in.dir, "secrets", "clickhouse-admin.password"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("POST", "http://"+in.store+"/?database=mcpsiem", strings.NewReader(q))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-ClickHouse-User", "admin")
	r.Header.Set("X-ClickHouse-Key", strings.TrimSpace(string(password)))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, b)
	}
}

// engine is the process that holds the store.
func (in installation) engine(t *testing.T) int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", in.pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			return pid
		}
	}
	t.Fatal("mcpsiem has no child")
	return 0
}

// Thousands of findings and calls can all be reached, a burst leaves no hole, and while the store does not answer the page says so and knows nothing.
func TestManyRowsAndAStoreThatIsAway(t *testing.T) {
	in := start(t)
	calls := func(tool string, n int) {
		in.sql(t, fmt.Sprintf(`INSERT INTO events (event_id, ts, tenant, server, tool, method, kind, direction, outcome)
			SELECT generateUUIDv4(), now64(9) - toIntervalMillisecond(number), 'default', 'notes', '%s', 'tools/call', 'response', 'server_to_client', 'ok' FROM numbers(%d)`, tool, n))
	}
	calls("early", 3000)
	in.sql(t, `INSERT INTO findings (finding_id, ts, first_seen, last_seen, tenant, rule_id, severity, status, summary)
		SELECT generateUUIDv4(), now64(9), now64(9), now64(9), 'default', 'many', 'medium', 'open', concat('finding ', toString(number)) FROM numbers(2000)`)
	tab := newTab(t)
	step := func(name string, actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(tab, actions...); err != nil {
			var html string
			_ = chromedp.Run(tab, chromedp.Evaluate(`document.body.innerText.slice(0, 2000)`, &html))
			t.Fatalf("%s: %v\n%s", name, err, html)
		}
	}
	rows := func(n int) chromedp.Action {
		return until(fmt.Sprintf(`document.querySelectorAll('tbody tr').length === %d`, n))
	}
	step("findings", chromedp.Navigate(in.link), chromedp.WaitVisible("main h2"), hasText("1 to 300 of more findings"), rows(300), textOf("#open", "2000 open"))
	step("second page", chromedp.Click(`//a[contains(., 'The next 300')]`, chromedp.BySearch), hasText("301 to 600 of more findings"))
	step("last page", goTo("#/findings?skip=1800"), hasText("1,801 to 2,000 of 2,000 findings"), rows(200))
	step("back", chromedp.Click(`//a[contains(., 'The 300 before')]`, chromedp.BySearch), hasText("1,501 to 1,800"))
	step("calls", goTo("#/calls"), hasText("1 to 300 of more calls"), rows(300))
	calls("burst", 500)
	step("a burst", until(`[...document.querySelectorAll('tbody tr')].filter(r => r.innerText.includes('burst')).length === 300`))
	step("later calls", chromedp.Click(`//a[contains(., 'The next 300')]`, chromedp.BySearch), hasText("301 to 600 of more calls"), hasText("burst"), hasText("early"))
	step("inventory", goTo("#/inventory"), hasText("Servers and tools"), textOf("#open", "2000 open"))

	engine := in.engine(t)
	if err := syscall.Kill(engine, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := true
	t.Cleanup(func() {
		if stopped {
			_ = syscall.Kill(engine, syscall.SIGCONT)
		}
	})
	step("away", textOf("#open", "not known"), textOf("#state", "Not up to date: the store does not answer"))
	step("asked meanwhile", goTo("#/findings"), hasText("the store does not answer"))
	if err := syscall.Kill(engine, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	stopped = false
	step("back by itself", hasText("1 to 300 of more findings"), textOf("#open", "2000 open"), textOf("#state", "As of"))
	if err := syscall.Kill(in.engine(t), syscall.SIGKILL); err != nil { // mcpsiem starts another
		t.Fatal(err)
	}
	step("another engine", goTo("#/calls"), hasText("1 to 300 of more calls"), textOf("#state", "Live, as of"), textOf("#open", "2000 open"))
}
