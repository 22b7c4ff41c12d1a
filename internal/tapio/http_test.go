//go:build unix

package tapio

// Each scripted conversation runs twice, with the tap and without it; what client and server see of each other must be the
// same, and the tap must have recorded the messages.

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// tapped is a running HTTP tap.
type tapped struct {
	*Proxy
	url   string
	http  *collector // frames of Streamable HTTP
	sse   *collector // frames of HTTP+SSE
	mu    sync.Mutex
	warns []string
	close func()
}

func startTap(t testing.TB, upstream string, conf *tls.Config, change func(*HTTP)) *tapped {
	t.Helper()
	u, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	tp := &tapped{http: newCollector(), sse: newCollector()}
	cfg := HTTP{
		Upstream: u,
		Open: func(transport string) tap.Stream {
			if transport == event.TransportSSE {
				return tp.sse
			}
			return tp.http
		},
		Warn: func(err error) {
			tp.mu.Lock()
			defer tp.mu.Unlock()
			tp.warns = append(tp.warns, err.Error())
		},
	}
	if change != nil {
		change(&cfg)
	}
	tp.Proxy = NewProxy(cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := tp.Server(conf)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conf != nil {
			srv.ServeTLS(ln, "", "")
		} else {
			srv.Serve(ln)
		}
	}()
	tp.url = "http://" + ln.Addr().String()
	if conf != nil {
		tp.url = "https://" + ln.Addr().String()
	}
	tp.close = sync.OnceFunc(func() {
		srv.Close()
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tp.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(tp.close)
	return tp
}

// step is one HTTP exchange of a conversation.
type step struct {
	method, path string
	header       string // "Name: value" lines
	body         string

	status    int
	resHeader string
	chunks    []string // flushed one by one
}

func headerOf(s string) http.Header {
	h := http.Header{}
	for l := range strings.SplitSeq(s, "\n") {
		if k, v, ok := strings.Cut(strings.TrimSpace(l), ": "); ok {
			h.Add(k, v)
		}
	}
	return h
}

// sight is what one side sees of an exchange.
type sight struct {
	Line   string
	Host   string
	Header http.Header
	Body   string
	Pieces []string // as they came
}

func (s sight) String() string {
	b, _ := json.Marshal(s)
	return string(b)
}

// scripted is a server that plays the step whose number is in X-Step, and notes what it is asked.
type scripted struct {
	mu    sync.Mutex
	steps []step
	asked []sight
	next  chan struct{} // if not nil, a chunk waits for a token
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var n int
	fmt.Sscan(r.Header.Get("X-Step"), &n)
	s.mu.Lock()
	s.asked = append(s.asked, sight{Line: r.Method + " " + r.RequestURI, Host: r.Host, Header: r.Header.Clone(), Body: string(body)})
	st := s.steps[n]
	s.mu.Unlock()
	for k, v := range headerOf(st.resHeader) {
		w.Header()[k] = v
	}
	w.Header()["Date"] = nil
	if st.status != 0 {
		w.WriteHeader(st.status)
	}
	for i, c := range st.chunks {
		if s.next != nil && i > 0 {
			<-s.next
		}
		io.WriteString(w, c)
		if len(st.chunks) > 1 {
			http.NewResponseController(w).Flush()
		}
	}
}

// play runs the steps against base and returns what the client sees. With pieces, one read is one piece.
func play(t testing.TB, c *http.Client, base string, steps []step, next chan struct{}) (got []sight) {
	t.Helper()
	for i, st := range steps {
		var body io.Reader
		if st.body != "" {
			body = strings.NewReader(st.body)
		}
		req, err := http.NewRequest(st.method, base+st.path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = headerOf(st.header)
		req.Header.Set("X-Step", fmt.Sprint(i))
		res, err := c.Do(req)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		s := sight{Line: res.Status, Header: res.Header}
		buf := make([]byte, 1<<16)
		for {
			n, err := res.Body.Read(buf)
			s.Body += string(buf[:n])
			if n > 0 && next != nil {
				s.Pieces = append(s.Pieces, string(buf[:n]))
				if len(s.Pieces) < len(st.chunks) {
					next <- struct{}{}
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		res.Body.Close()
		got = append(got, s)
	}
	return got
}

func client(t testing.TB, change func(*http.Transport)) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	if change != nil {
		change(tr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// compare plays steps without and with the tap.
func compare(t testing.TB, steps []step, lockstep bool) *tapped {
	t.Helper()
	s := &scripted{steps: steps}
	if lockstep {
		s.next = make(chan struct{})
	}
	up := httptest.NewServer(s)
	t.Cleanup(up.Close)
	tp := startTap(t, up.URL, nil, nil)
	c := client(t, nil)
	direct := play(t, c, up.URL, steps, s.next)
	askedDirect := s.asked
	s.asked = nil
	through := play(t, c, tp.url, steps, s.next)
	for i := range steps {
		if d, w := direct[i].String(), through[i].String(); d != w {
			t.Fatalf("step %d: the client sees %s without the tap, %s with it", i, d, w)
		}
		if d, w := askedDirect[i].String(), s.asked[i].String(); d != w {
			t.Fatalf("step %d: the server sees %s without the tap, %s with it", i, d, w)
		}
	}
	tp.close()
	tp.http.check(t)
	tp.sse.check(t)
	return tp
}

const jsonType = "Content-Type: application/json\nAccept: application/json, text/event-stream\n"

func TestVersions(t *testing.T) {
	init := func(v string) step {
		return step{method: "POST", path: "/mcp", header: jsonType + "Authorization: Bearer abc\n",
			body:      `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + v + `"}}`,
			resHeader: "Content-Type: application/json\nMcp-Session-Id: s-1\n",
			chunks:    []string{`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"` + v + `"}}`}}
	}
	note := func(v string) step {
		return step{method: "POST", path: "/mcp", header: jsonType + "Mcp-Session-Id: s-1\nMcp-Protocol-Version: " + v,
			body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`, status: 202}
	}
	call := func(v, body string, chunks ...string) step {
		return step{method: "POST", path: "/mcp?x=1%20&y", header: jsonType + "Mcp-Session-Id: s-1\nMcp-Protocol-Version: " + v,
			body: body, resHeader: "Content-Type: text/event-stream\nX-Accel-Buffering: no", chunks: chunks}
	}
	stream := func(v string, chunks ...string) step {
		return step{method: "GET", path: "/mcp", header: "Accept: text/event-stream\nMcp-Session-Id: s-1\nLast-Event-Id: e1\nMcp-Protocol-Version: " + v,
			resHeader: "Content-Type: text/event-stream; charset=utf-8", chunks: chunks}
	}
	end := step{method: "DELETE", path: "/mcp", header: "Mcp-Session-Id: s-1", status: 405}

	f := func(name string, steps []step, fromClient, fromServer []string, errors ...string) *tapped {
		t.Helper()
		tp := compare(t, steps, true)
		if got := tp.http.data(event.ClientToServer); !slices.Equal(got, fromClient) {
			t.Fatalf("%s: recorded %q from the client, want %q", name, got, fromClient)
		}
		if got := tp.http.data(event.ServerToClient); !slices.Equal(got, fromServer) {
			t.Fatalf("%s: recorded %q from the server, want %q", name, got, fromServer)
		}
		if got := tp.http.classes(); !slices.Equal(got, errors) {
			t.Fatalf("%s: recorded errors %q, want %q", name, got, errors)
		}
		return tp
	}
	bodies := func(steps []step) (s []string) {
		for _, st := range steps {
			if st.body != "" {
				s = append(s, st.body)
			}
		}
		return s
	}

	steps := []step{init("2025-03-26"), note("2025-03-26"),
		{method: "POST", path: "/mcp", header: jsonType + "Mcp-Session-Id: s-1", body: `[{"jsonrpc":"2.0","id":2,"method":"ping"},{"jsonrpc":"2.0","id":3,"method":"ping"}]`,
			resHeader: "Content-Type: application/json", chunks: []string{`[{"jsonrpc":"2.0","id":2,"result":{}},`, `{"jsonrpc":"2.0","id":3,"result":{}}]`}},
		call("2025-03-26", `{"jsonrpc":"2.0","id":4,"method":"tools/call"}`,
			"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n", ": keep\n\n", "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":4,\"result\":{}}\n\n"),
		stream("2025-03-26", "id: e2\ndata: {\"a\":1}\n\n", "data: {\"b\":2}\n\ndata: cut"), end}
	tp := f("2025-03-26", steps, bodies(steps), []string{steps[0].chunks[0], strings.Join(steps[2].chunks, ""),
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "{\"jsonrpc\":\"2.0\",\n\"id\":4,\"result\":{}}", `{"a":1}`, `{"b":2}`})
	for _, fr := range tp.http.frames {
		h := fr.HTTP
		switch {
		case h == nil || h.Exchange == 0 || h.Protocol != "1.1" || h.ClientAddr == "" || h.Headers["host"] == "":
			t.Fatalf("incomplete HTTP facts: %+v", h)
		case h.SessionID != "s-1" && !(fr.Direction == event.ClientToServer && h.Exchange == 7): // 7: initialize, the first through the tap
			if !strings.Contains(string(fr.Data), "initialize") {
				t.Fatalf("session %q on %s", h.SessionID, fr.Data)
			}
		}
		switch string(fr.Data) {
		case `{"a":1}`:
			if h.SSEEventID != "e2" || !h.Resumed || h.Verb != "GET" || h.Status != 200 {
				t.Fatalf("stream event: %+v", h)
			}
		case `{"b":2}`:
			if h.SSEEventID != "" {
				t.Fatalf("event without an id got %q", h.SSEEventID)
			}
		}
	}

	for _, v := range []string{"2025-06-18", "2025-11-25"} {
		steps = []step{init(v), note(v),
			call(v, `{"jsonrpc":"2.0","id":2,"method":"tools/call"}`, "id: e1\ndata: \n\n", "retry: 100\r\n\r\n"),
			stream(v, "id: e2\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\r\n\r\n"),
			{method: "POST", path: "/mcp", header: jsonType + "Mcp-Session-Id: gone", body: `{"jsonrpc":"2.0","id":3,"method":"ping"}`, status: 404,
				resHeader: "Content-Type: text/plain", chunks: []string{"session not found"}},
			{method: "POST", path: "/mcp", header: jsonType, body: `{"jsonrpc":"2.0","id":4,"method":"ping"}`, status: 401,
				resHeader: "Www-Authenticate: Bearer resource_metadata=\"x\"\nContent-Type: application/json", chunks: []string{`{"error":"invalid_token"}`}},
			{method: "GET", path: "/.well-known/oauth-protected-resource", resHeader: "Content-Type: application/json", chunks: []string{`{"resource":"x"}`}},
			{method: "POST", path: "/token", header: "Content-Type: application/x-www-form-urlencoded", body: "client_secret=hush", resHeader: "Content-Type: application/json", chunks: []string{`{"access_token":"hush"}`}},
			end}
		want := bodies(steps)
		want = want[:len(want)-1] // the form is none of our business
		tp := f(v, steps, want, []string{steps[0].chunks[0], `{"jsonrpc":"2.0","id":2,"result":{}}`, `{"resource":"x"}`}, "http_status", "http_status")
		if h := tp.http.errors[1].frame.HTTP.Headers["www-authenticate"]; !strings.HasPrefix(h, "Bearer ") {
			t.Fatalf("%s: challenge %q", v, h)
		}
	}

	modern := func(method, name, body string) step {
		return step{method: "POST", path: "/mcp", body: body, header: jsonType + "MCP-Protocol-Version: 2026-07-28\nMcp-Method: " + method +
			"\nMcp-Name: " + name + "\nMcp-Param-Region: =?base64?w6k=?=\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	}
	ok, sse, unknown := modern("tools/call", "a", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`),
		modern("tools/call", "b", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b"}}`), modern("x/y", "c", `{"jsonrpc":"2.0","id":2,"method":"x/y"}`)
	ok.resHeader, ok.chunks = "Content-Type: application/json", []string{`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}`}
	sse.resHeader, sse.chunks = "Content-Type: text/event-stream", []string{"data: {\"n\":1}\n\n", ":\n\n", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"}
	unknown.status, unknown.resHeader, unknown.chunks = 404, "Content-Type: application/json", []string{`{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"no"}}`}
	steps = []step{ok, sse, unknown, {method: "GET", path: "/mcp", status: 405}, {method: "OPTIONS", path: "/mcp", status: 204, resHeader: "Allow: POST"}, {method: "HEAD", path: "/mcp"}}
	tp = f("2026-07-28", steps, bodies(steps), []string{ok.chunks[0], `{"n":1}`, `{"jsonrpc":"2.0","id":1,"result":{}}`, unknown.chunks[0]})
	for _, fr := range tp.http.frames {
		h := fr.HTTP
		if h.Version != "2026-07-28" || h.Headers["mcp-method"] == "" || h.Headers["mcp-param-region"] != "=?base64?w6k=?=" || h.Headers["traceparent"] == "" || h.SessionID != "" {
			t.Fatalf("modern headers: %+v", h)
		}
	}
}

// TestSSECuts lets the server cut a stream at every place, flushed, and into single bytes.
func TestSSECuts(t *testing.T) {
	const in = "\xEF\xBB\xBFid: 1\r\ndata:\r\n\r\nid: 2\rdata: {\"a\":\rdata: 1}\r\r:x\nevent: message\ndata: {\"é\":2}\n\n"
	want := []string{"{\"a\":\n1}", `{"é":2}`}
	var steps []step
	add := func(chunks ...string) {
		steps = append(steps, step{method: "GET", path: "/", header: "Accept: text/event-stream", resHeader: "Content-Type: text/event-stream", chunks: chunks})
	}
	for i := 1; i < len(in); i++ {
		add(in[:i], in[i:])
	}
	add(strings.Split(in, "")...)
	tp := compare(t, steps, true)
	got := tp.http.data(event.ServerToClient)
	if len(got) != 2*len(steps) {
		t.Fatalf("%d events of %d streams", len(got), len(steps))
	}
	for i, g := range got {
		if g != want[i%2] {
			t.Fatalf("event %d: got %q", i, g)
		}
	}
}

// TestLegacySSE plays the 2024-11-05 transport.
func TestLegacySSE(t *testing.T) {
	f := func(endpoint string, rewrite bool, wantEndpoint string, wantBypass bool) {
		t.Helper()
		answers := make(chan string)
		mux := http.NewServeMux()
		var up *httptest.Server
		mux.HandleFunc("GET /sse", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: endpoint\r\ndata: %s\r\n\r\n", strings.ReplaceAll(endpoint, "UP", up.URL))
			http.NewResponseController(w).Flush()
			for {
				select {
				case a := <-answers:
					fmt.Fprintf(w, "event: message\r\ndata: %s\r\n\r\n", a)
					http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					return
				}
			}
		})
		mux.HandleFunc("POST /messages", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(202)
			io.WriteString(w, "Accepted")
		})
		up = httptest.NewServer(mux)
		defer up.Close()
		tp := startTap(t, up.URL, nil, func(c *HTTP) { c.RewriteEndpoint = rewrite })
		c := client(t, nil)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", tp.url+"/sse", nil)
		req.Header.Set("Accept", "text/event-stream")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1000)
		n, err := io.ReadAtLeast(res.Body, buf, len("event: endpoint\r\ndata: x\r\n\r\n"))
		got := string(buf[:n])
		want := fmt.Sprintf("event: endpoint\r\ndata: %s\r\n\r\n", strings.NewReplacer("UP", up.URL, "TAP", tp.url).Replace(wantEndpoint))
		if err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
		post, err := c.Post(tp.url+"/messages?sessionId=5", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		if err != nil || post.StatusCode != 202 {
			t.Fatal(post, err)
		}
		io.Copy(io.Discard, post.Body)
		post.Body.Close()
		answers <- `{"jsonrpc":"2.0","id":1,"result":{}}`
		n, _ = res.Body.Read(buf)
		if string(buf[:n]) != "event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\n\r\n" {
			t.Fatalf("got %q", buf[:n])
		}
		tp.sse.wait(t, "both frames", func() bool { return len(tp.sse.frames) == 2 })
		for _, fr := range tp.sse.frames {
			if fr.HTTP.SessionID != "/messages?sessionId=5" {
				t.Fatalf("session %q", fr.HTTP.SessionID)
			}
		}
		cancel()
		res.Body.Close()
		tp.sse.wait(t, "the client's leaving", func() bool { return len(tp.sse.gone) == 1 })
		tp.close()
		if len(tp.http.frames) > 0 {
			t.Fatalf("%d frames recorded for the other transport", len(tp.http.frames))
		}
		if bypass := slices.Equal(tp.sse.classes(), []string{"endpoint_bypass"}); bypass != wantBypass || len(tp.warns) > 0 != wantBypass {
			t.Fatalf("recorded %v, warned %q", tp.sse.classes(), tp.warns)
		}
		if len(tp.endpoints) > 0 {
			t.Fatalf("endpoints left: %v", tp.endpoints)
		}
	}
	f("/messages?sessionId=5", false, "/messages?sessionId=5", false)
	f("messages?sessionId=5", true, "messages?sessionId=5", false)
	f("UP/messages?sessionId=5", false, "UP/messages?sessionId=5", true)
	f("UP/messages?sessionId=5", true, "TAP/messages?sessionId=5", false)
}

func compressed(t testing.TB, encoding string, parts ...string) (out []string) {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		io.WriteCloser
		Flush() error
	}
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw deflate":
		w, _ = flate.NewWriter(&b, 5)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	}
	for _, p := range parts {
		io.WriteString(w, p)
		w.Flush()
		out = append(out, b.String())
		b.Reset()
	}
	w.Close()
	return append(out, b.String())
}

func TestEncodings(t *testing.T) {
	for _, encoding := range []string{"gzip", "deflate", "raw deflate", "br", "zstd"} {
		t.Run(encoding, func(t *testing.T) {
			request := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":"` + strings.Repeat("long ", 5000) + `"}}`
			response := `{"jsonrpc":"2.0","id":1,"result":{"y":"` + strings.Repeat("also ", 5000) + `"}}`
			name := strings.TrimPrefix(encoding, "raw ")
			events := compressed(t, encoding, "data: {\"n\":1}\n\n", "data: {\"n\":2}\n\n", "data: {\"n\":3}\n\n")
			steps := []step{
				{method: "POST", path: "/", header: jsonType + "Content-Encoding: " + name + "\nAccept-Encoding: " + name, body: strings.Join(compressed(t, encoding, request), ""),
					resHeader: "Content-Type: application/json\nContent-Encoding: " + name, chunks: compressed(t, encoding, response[:100], response[100:])},
				{method: "GET", path: "/", header: "Accept-Encoding: " + name, resHeader: "Content-Type: text/event-stream\nContent-Encoding: " + name, chunks: events},
			}
			tp := compare(t, steps, false)
			if got := tp.http.data(event.ClientToServer); !slices.Equal(got, []string{request}) {
				t.Fatalf("recorded %.100q from the client", got)
			}
			if got := tp.http.data(event.ServerToClient); !slices.Equal(got, []string{response, `{"n":1}`, `{"n":2}`, `{"n":3}`}) {
				t.Fatalf("recorded %.100q from the server", got)
			}
		})
	}
}

// TestCompressedEventsComeAtOnce holds a compressed stream open: what is flushed is recorded before more comes.
func TestCompressedEventsComeAtOnce(t *testing.T) {
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd"} {
		var got []string
		p := &Proxy{cfg: HTTP{CaptureLimit: 1000}, streams: map[string]tap.Stream{}, endpoints: map[string]int{}}
		c := newCollector()
		p.cfg.Open = func(string) tap.Stream { return c }
		x := &exchange{p: p}
		bd := x.newBody(event.ServerToClient, kindEvents, encoding, 200)
		for i, part := range compressed(t, encoding, "data: {\"n\":1}\n\n", "data: {\"n\":2}\n\n") {
			for _, b := range []byte(part) {
				bd.take(piece{b: []byte{b}, at: time.Now()})
			}
			if got = c.data(event.ServerToClient); i < 2 && len(got) != i+1 {
				t.Fatalf("%s: after part %d recorded %q", encoding, i, got)
			}
		}
		bd.take(piece{op: opEnd})
	}
}

func TestBadEncodings(t *testing.T) {
	good := `{"jsonrpc":"2.0","id":1,"result":{}}`
	zipped := strings.Join(compressed(t, "gzip", good), "")
	bomb := strings.Join(compressed(t, "gzip", strings.Repeat("a", 200<<20)), "")
	f := func(encoding, body, want string, truncated bool) {
		t.Helper()
		tp := compare(t, []step{{method: "POST", path: "/", header: jsonType, body: good, resHeader: "Content-Type: application/json\nContent-Encoding: " + encoding, chunks: []string{body}}}, false)
		got := tp.http.frames[1]
		if string(got.Data) != want || got.Truncated != truncated {
			t.Fatalf("%s: recorded %.100q, truncated %v", encoding, got.Data, got.Truncated)
		}
	}
	f("gzip", "not gzip", "not gzip", false)
	f("gzip", zipped[:20], zipped[:20], false)
	f("unheard-of", good, good, false)
	f("gzip, gzip", strings.Join(compressed(t, "gzip", zipped), ""), good, false)
	f("gzip,gzip,gzip,gzip", "x", "x", false)
	f("identity", good, good, false)
	f("gzip", bomb, strings.Repeat("a", DefaultCaptureLimit), true)
}

func TestCaptureLimits(t *testing.T) {
	long := `{"jsonrpc":"2.0","id":1,"x":"` + strings.Repeat("0123456789", 10_000) + `"}`
	s := &scripted{steps: []step{{resHeader: "Content-Type: application/json", chunks: []string{long}},
		{resHeader: "Content-Type: text/event-stream", chunks: []string{"data: " + long + "\n\n"}}}}
	up := httptest.NewServer(s)
	defer up.Close()
	tp := startTap(t, up.URL, nil, func(c *HTTP) { c.CaptureLimit = 1000 })
	c := client(t, nil)
	steps := []step{{method: "POST", path: "/", header: jsonType, body: long}, {method: "POST", path: "/", header: jsonType, body: long}}
	for _, s := range play(t, c, tp.url, steps, nil) {
		if !strings.Contains(s.Body, long) {
			t.Fatalf("got %d bytes", len(s.Body))
		}
	}
	tp.close()
	if len(tp.http.frames) != 4 {
		t.Fatalf("%d frames", len(tp.http.frames))
	}
	for _, f := range tp.http.frames {
		if !f.Truncated || len(f.Data) != 1000 || f.Size != int64(len(long)) || f.SHA256 != sum(long) {
			t.Fatalf("truncated %v, %d of %d bytes", f.Truncated, len(f.Data), f.Size)
		}
	}
}

// TestTinyHTTPBuffer makes recording fall behind: traffic passes, and what is missing is counted.
func TestTinyHTTPBuffer(t *testing.T) {
	body := `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 1000) + `"}`
	s := &scripted{steps: []step{{resHeader: "Content-Type: application/json", chunks: []string{body}}}}
	up := httptest.NewServer(s)
	defer up.Close()
	tp := startTap(t, up.URL, nil, func(c *HTTP) { c.Buffer = 300 })
	if got := play(t, client(t, nil), tp.url, []step{{method: "POST", path: "/", header: jsonType, body: body}}, nil); got[0].Body != body {
		t.Fatal("the response is not what the server sent")
	}
	tp.close()
	if len(tp.http.frames) != 0 || tp.http.lost[event.ClientToServer] != 1 || tp.http.lost[event.ServerToClient] != 1 {
		t.Fatalf("%d frames, lost %v", len(tp.http.frames), tp.http.lost)
	}
}

func certificate(t testing.TB) (*tls.Config, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: pool}
}

func TestProtocols(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	steps := []step{
		{method: "POST", path: "/mcp", header: jsonType, body: `{"jsonrpc":"2.0","id":1,"method":"a"}`, resHeader: "Content-Type: application/json", chunks: []string{`{"jsonrpc":"2.0","id":1,"result":{}}`}},
		{method: "GET", path: "/mcp", resHeader: "Content-Type: text/event-stream", chunks: []string{"data: {\"n\":1}\n\n", "data: {\"n\":2}\n\n", "data: {\"n\":3}\n\n"}},
	}
	f := func(upstreamTLS, upstreamH2, tapTLS, clientH2 bool) {
		t.Helper()
		s := &scripted{steps: steps, next: make(chan struct{})}
		var protos []string
		up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			protos = append(protos, r.Proto)
			s.ServeHTTP(w, r)
		}))
		up.Config.Protocols = new(http.Protocols)
		up.Config.Protocols.SetHTTP1(!upstreamH2)
		up.Config.Protocols.SetHTTP2(upstreamH2)
		up.Config.Protocols.SetUnencryptedHTTP2(upstreamH2)
		up.EnableHTTP2 = upstreamH2
		if upstreamTLS {
			up.TLS = serverTLS.Clone()
			up.StartTLS()
		} else {
			up.Start()
		}
		defer up.Close()
		var conf *tls.Config
		if tapTLS {
			conf = serverTLS.Clone()
		}
		base := up.URL
		if upstreamH2 && !upstreamTLS {
			base = strings.Replace(base, "http:", "h2c:", 1)
		}
		tp := startTap(t, base, conf, func(c *HTTP) { c.TLS = clientTLS.Clone() })
		c := client(t, func(tr *http.Transport) {
			tr.TLSClientConfig = clientTLS.Clone()
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetHTTP1(!clientH2)
			tr.Protocols.SetHTTP2(clientH2)
			tr.Protocols.SetUnencryptedHTTP2(clientH2)
		})
		got := play(t, c, tp.url, steps, s.next)
		name := fmt.Sprintf("upstream TLS %v h2 %v, tap TLS %v h2 %v", upstreamTLS, upstreamH2, tapTLS, clientH2)
		if !slices.Equal(got[1].Pieces, steps[1].chunks) || got[0].Body != steps[0].chunks[0] {
			t.Fatalf("%s: got %v", name, got)
		}
		want := "HTTP/1.1"
		if upstreamH2 {
			want = "HTTP/2.0"
		}
		if protos[0] != want {
			t.Fatalf("%s: upstream spoke %v", name, protos)
		}
		c.CloseIdleConnections()
		tp.close()
		if got := tp.http.data(event.ServerToClient); len(got) != 4 {
			t.Fatalf("%s: recorded %q", name, got)
		}
		if p := tp.http.frames[0].HTTP.Protocol; p != map[bool]string{true: "2", false: "1.1"}[clientH2] {
			t.Fatalf("%s: recorded protocol %s", name, p)
		}
	}
	for i := range 16 {
		f(i&1 != 0, i&2 != 0, i&4 != 0, i&8 != 0)
	}
}

func TestTrailersAndRawHeaders(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		h := w.Header()
		h["Date"], h["Content-Type"] = nil, nil
		h.Set("Trailer", "X-Sum")
		h.Set("X-Seen-Trailer", r.Trailer.Get("X-Up"))
		h.Set("X-Seen", strings.Join(slices.Sorted(maps.Keys(r.Header)), ","))
		h.Add("Connection", "X-Hop")
		h.Set("X-Hop", "secret")
		h["X-Multi"] = []string{"a", "b, c"}
		io.WriteString(w, "{")
		http.NewResponseController(w).Flush()
		h.Set("X-Sum", "42")
		h.Set(http.TrailerPrefix+"X-Late", "43")
	}))
	defer up.Close()
	tp := startTap(t, up.URL, nil, nil)
	c := client(t, nil)
	req, _ := http.NewRequest("POST", tp.url, io.MultiReader(strings.NewReader("{}")))
	req.Header = http.Header{"X-Forwarded-For": {"1.2.3.4"}, "Forwarded": {"for=x"}, "User-Agent": {""}, "Connection": {"X-Drop"}, "X-Drop": {"1"}, "Te": {"trailers"}}
	req.Trailer = http.Header{"X-Up": nil}
	req.Body = readThen{strings.NewReader("{}"), func() { req.Trailer.Set("X-Up", "17") }}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if got := res.Header.Get("X-Seen"); got != "Forwarded,Te,X-Forwarded-For" {
		t.Fatalf("the server sees headers %s", got)
	}
	want := http.Header{"X-Seen": res.Header["X-Seen"], "X-Seen-Trailer": {"17"}, "X-Multi": {"a", "b, c"}}
	if fmt.Sprint(res.Header) != fmt.Sprint(want) {
		t.Fatalf("the client sees headers %v, want %v", res.Header, want)
	}
	if got := fmt.Sprint(res.Trailer); got != "map[X-Late:[43] X-Sum:[42]]" {
		t.Fatalf("the client sees trailers %s", got)
	}
}

// readThen calls then before its end.
type readThen struct {
	io.Reader
	then func()
}

func (r readThen) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		r.then()
	}
	return n, err
}
func (r readThen) Close() error { return nil }

func TestClientGone(t *testing.T) {
	for _, events := range []bool{false, true} {
		gone := make(chan struct{})
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if events {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: {\"n\":1}\n\n")
				http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
			close(gone)
		}))
		tp := startTap(t, up.URL, nil, nil)
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "POST", tp.url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"x"}`))
		c := client(t, nil)
		if !events {
			time.AfterFunc(100*time.Millisecond, cancel)
		}
		res, err := c.Do(req)
		if events {
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Read(make([]byte, 100))
			cancel()
			res.Body.Close()
		}
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Fatal("the upstream request lives on")
		}
		tp.http.wait(t, "the client's leaving", func() bool { return len(tp.http.gone) == 1 })
		if n := tp.http.frames[0].HTTP.Exchange; tp.http.gone[0] != n || len(tp.http.errors) > 0 {
			t.Fatalf("gone %v, errors %v, exchange %d", tp.http.gone, tp.http.classes(), n)
		}
		cancel()
		up.Close()
	}
}

// TestUpstreamBreaks lets the upstream die in the middle: the client sees a broken response, not a complete one.
func TestUpstreamBreaks(t *testing.T) {
	f := func(head, part, want string) {
		t.Helper()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				req := make([]byte, 4096)
				c.Read(req)
				io.WriteString(c, head+"\r\n"+part)
				time.Sleep(50 * time.Millisecond)
				c.Close()
			}
		}()
		tp := startTap(t, "http://"+ln.Addr().String(), nil, nil)
		res, err := client(t, nil).Post(tp.url, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"x"}`))
		if err == nil {
			var b []byte
			b, err = io.ReadAll(res.Body)
			res.Body.Close()
			if !strings.Contains(string(b), want) {
				t.Fatalf("%q: got %q", head, b)
			}
		}
		if err == nil {
			t.Fatalf("%q: a broken response looks complete", head)
		}
		tp.http.wait(t, "the break", func() bool { return slices.Equal(tp.http.classes(), []string{"reset"}) })
		if f := tp.http.errors[0].frame; f.HTTP == nil || f.HTTP.Exchange != 1 || f.Direction != event.ServerToClient {
			t.Fatalf("recorded %+v", f)
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n", `{"jsonrpc"`, `{"jsonrpc"`)
	f("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n", "10\r\ndata: {\"n\":1}\n\n0\r\n", "data: {\"n\":1}")
}

func TestUpstreamDown(t *testing.T) {
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	ln.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer secure.Close()
	hangUp, _ := net.Listen("tcp", "127.0.0.1:0")
	defer hangUp.Close()
	go func() {
		for {
			c, err := hangUp.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			c.Close()
		}
	}()
	f := func(upstream, class string) {
		t.Helper()
		tp := startTap(t, upstream, nil, nil)
		res, err := client(t, nil).Post(tp.url, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 502 || string(b) != "mcptap: no response from the MCP server ("+class+")\n" {
			t.Fatalf("%s: got %d %q", upstream, res.StatusCode, b)
		}
		tp.http.wait(t, class, func() bool { return slices.Equal(tp.http.classes(), []string{class}) })
	}
	f("http://"+ln.Addr().String(), "connection_refused")
	f("https://"+strings.TrimPrefix(plain.URL, "http://"), "tls")
	f(secure.URL, "tls")
	tp := startTap(t, "http://"+hangUp.Addr().String(), nil, nil)
	if res, err := client(t, nil).Post(tp.url, "application/json", strings.NewReader("{}")); err == nil {
		t.Fatalf("an upstream that hung up looks like %s", res.Status)
	}
	tp.http.wait(t, "reset", func() bool { return slices.Equal(tp.http.classes(), []string{"reset"}) })
	f("http://no-such-host.invalid", "unreachable")
}

// TestRepeat: a request that reached nobody, since the upstream closed an idle connection, can be repeated if it is small and read.
func TestRepeat(t *testing.T) {
	f := func(size, read int, want bool) {
		t.Helper()
		content := strings.Repeat("x", size)
		p := &Proxy{queue: newQueue(1 << 20)}
		b := &requestBody{p: p, src: strings.NewReader(content), want: int64(size), copy: &body{kind: kindRequest}}
		first := bodyReader{b, new(atomic.Bool)}
		io.CopyN(io.Discard, first, int64(read))
		first.Close()
		if _, err := first.Read(make([]byte, 1)); err != errClosedBody {
			t.Fatalf("read after close: %v", err)
		}
		again, err := b.again()
		if (err == nil) != want {
			t.Fatalf("%d of %d read: %v", read, size, err)
		}
		if want {
			if got, _ := io.ReadAll(again); string(got) != content {
				t.Fatalf("got %d bytes, want %d", len(got), size)
			}
		}
	}
	f(10, 10, true)
	f(10, 5, false)
	f(keepForReplay, keepForReplay, true)
	f(keepForReplay+1, keepForReplay+1, false)
}

// TestStreamingRequest: a request body passes as it comes, and an answer may come before its end.
func TestStreamingRequest(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	}))
	defer up.Close()
	tp := startTap(t, up.URL, nil, nil)
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", tp.url, pr)
	req.Header.Set("Content-Type", "application/json")
	go io.WriteString(pw, "one")
	res, err := client(t, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, want := range []string{"one", "two", "three"} {
		if want != "one" {
			io.WriteString(pw, want)
		}
		if n, _ := res.Body.Read(buf); string(buf[:n]) != want {
			t.Fatalf("got %q, want %q", buf[:n], want)
		}
	}
	pw.Close()
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	tp.close()
	if got := tp.http.data(event.ClientToServer); !slices.Equal(got, []string{"onetwothree"}) {
		t.Fatalf("recorded %q", got)
	}
}

func TestExpectContinue(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Refuse") != "" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		io.Copy(w, r.Body)
	}))
	defer up.Close()
	tp := startTap(t, up.URL, nil, nil)
	f := func(header, want string, status int, bodySent bool) {
		t.Helper()
		sent := false
		req, _ := http.NewRequest("POST", tp.url, readThen{strings.NewReader("{}"), func() { sent = true }})
		req.ContentLength = 2
		req.Header = headerOf("Expect: 100-continue\nContent-Type: application/json\n" + header)
		res, err := client(t, func(tr *http.Transport) { tr.ExpectContinueTimeout = 20 * time.Second }).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(b) != want || res.StatusCode != status || sent != bodySent {
			t.Fatalf("got %d %q, body sent: %v", res.StatusCode, b, sent)
		}
	}
	f("", "{}", 200, true)
	f("X-Refuse: 1", "", 417, false)
}

func TestHostHeader(t *testing.T) {
	var host string
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host = r.Host }))
	defer up.Close()
	for _, preserve := range []bool{false, true} {
		tp := startTap(t, up.URL, nil, func(c *HTTP) { c.PreserveHost = preserve })
		res, err := client(t, nil).Get(tp.url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		want := strings.TrimPrefix(up.URL, "http://")
		if preserve {
			want = strings.TrimPrefix(tp.url, "http://")
		}
		if host != want {
			t.Fatalf("preserve %v: the server sees host %s, want %s", preserve, host, want)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(b)
	}))
	defer up.Close()
	tp := startTap(t, up.URL, nil, nil)
	c := client(t, func(tr *http.Transport) { tr.MaxIdleConnsPerHost = 100 })
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range 20 {
				body := fmt.Sprintf(`{"jsonrpc":"2.0","id":"%d-%d"}`, i, j)
				res, err := c.Post(tp.url, "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if string(b) != body {
					t.Errorf("got %q, want %q", b, body)
				}
			}
		})
	}
	wg.Wait()
	tp.close()
	asked := map[uint64]string{}
	for _, f := range tp.http.frames {
		if f.Direction == event.ClientToServer {
			asked[f.HTTP.Exchange] = string(f.Data)
		} else if asked[f.HTTP.Exchange] != string(f.Data) {
			t.Fatalf("exchange %d: response %q recorded before or beside request %q", f.HTTP.Exchange, f.Data, asked[f.HTTP.Exchange])
		}
	}
	if len(tp.http.frames) != 2000 {
		t.Fatalf("%d frames", len(tp.http.frames))
	}
}

func TestNoLeaks(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	up := httptest.NewServer(http.NotFoundHandler())
	tp := startTap(t, up.URL, nil, nil)
	c := client(t, nil)
	res, err := c.Get(tp.url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	c.CloseIdleConnections()
	tp.close()
	up.Close()
}

// A request without a message is recorded where it shows how a server is reached; documents about authorization are.
func TestRecordsWithoutMessages(t *testing.T) {
	f := func(uri, origin string, want ...string) {
		t.Helper()
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"authorization_endpoint":"https://login.example/"}`)
		}))
		defer up.Close()
		u, err := url.Parse(up.URL)
		if err != nil {
			t.Fatal(err)
		}
		c := newCollector()
		p := NewProxy(HTTP{Upstream: u, Open: func(string) tap.Stream { return c }})
		s := httptest.NewServer(p)
		r, err := http.NewRequest(http.MethodGet, s.URL+uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		s.Close()
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range c.frames {
			got = append(got, f.Record)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s from %q: %q, want %q", uri, origin, got, want)
		}
	}
	f("/.well-known/oauth-authorization-server", "", event.NameMetadata)
	f("/.well-known/oauth-protected-resource/mcp", "", event.NameMetadata)
	f("/tenant/.well-known/openid-configuration?x=1", "", event.NameMetadata)
	f("/.well-known/security.txt", "")
	f("/health", "")
	f("/sse?transportType=stdio&command=touch&args=x", "", event.NameHTTPRequest)
	f("/sse", "https://evil.example", event.NameHTTPRequest)
	f("/sse", "http://localhost:6274")
}
