//go:build unix

package main

// The official SDK's client and server talk through mcptap, which reports to a collector.

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// collector takes OTLP logs.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	events []event.Event
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		switch r.Header.Get("Content-Encoding") {
		case "gzip":
			body, _ = gzip.NewReader(r.Body)
		case "zstd":
			z, _ := zstd.NewReader(r.Body)
			defer z.Close()
			body = z
		}
		b, err := io.ReadAll(body)
		req := plogotlp.NewExportRequest()
		if err == nil {
			err = req.UnmarshalProto(b)
		}
		if err != nil || r.Header.Get("Authorization") != "Bearer let-me-in" || r.URL.Path != "/v1/logs" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rl := range req.Logs().ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					var e event.Event
					event.Decode(rl.Resource(), lr, &e)
					e.Body = strings.Clone(e.Body)
					c.events = append(c.events, e)
				}
			}
		}
		out, _ := plogotlp.NewExportResponse().MarshalProto()
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.Write(out)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) find(t *testing.T, what string, ok func(event.Event) bool) event.Event {
	t.Helper()
	for range 1000 {
		c.mu.Lock()
		for _, e := range c.events {
			if ok(e) {
				c.mu.Unlock()
				return e
			}
		}
		c.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var have []string
	for _, e := range c.events {
		have = append(have, fmt.Sprint(e.Name, " ", e.Method, " ", e.Outcome, " ", e.Transport, " ", e.Anomalies))
	}
	t.Fatalf("no event: %s; have:\n%s", what, strings.Join(have, "\n"))
	return event.Event{}
}

// conversation talks to a server and asserts what the collector knows of it.
func conversation(t *testing.T, c *collector, name, transport string, session *mcp.ClientSession) {
	t.Helper()
	ctx := context.Background()
	tools, err := session.ListTools(ctx, nil)
	if err != nil || len(tools.Tools) != 1 {
		t.Fatal(tools, err)
	}
	big := strings.Repeat("é😀", 100_000)
	for _, text := range []string{"hello", big} {
		res, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": text}})
		if err != nil || res.IsError || res.Content[0].(*mcp.TextContent).Text != text {
			t.Fatalf("echo of %d bytes: %v", len(text), err)
		}
	}
	if res, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "fail"}}); err != nil || !res.IsError {
		t.Fatal(res, err)
	}
	if _, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "missing"}); err == nil {
		t.Fatal("a missing tool is called")
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []string{event.OutcomeOK, event.OutcomeToolError, event.OutcomeRPCError} {
		e := c.find(t, "tools/call "+outcome, func(e event.Event) bool {
			return e.Method == "tools/call" && e.Outcome == outcome && e.Server == name
		})
		request := c.find(t, "its request", func(r event.Event) bool { return r.ID == e.ExchangeID })
		if e.Transport != transport || e.DurationNanos <= 0 || request.Direction != event.ClientToServer || e.Tool != request.Tool || e.Labels["team"] != "blue" {
			t.Fatalf("%s: transport %s, duration %d, request %+v", outcome, e.Transport, e.DurationNanos, request)
		}
	}
	c.find(t, "tools/list", func(e event.Event) bool {
		return e.Method == "tools/list" && e.Kind == event.KindResponse && e.Server == name
	})
	c.find(t, "the big call", func(e event.Event) bool {
		return e.BodySize > 600_000 && e.Capture == event.CaptureComplete && e.Server == name
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Server == name && (e.Kind == event.KindInvalid || e.LostEvents > 0 || e.Outcome == event.OutcomeOrphan) {
			t.Fatalf("recorded %s %s %s, lost %d: %s %v %s", e.Name, e.Kind, e.Outcome, e.LostEvents, e.Server, e.Anomalies, e.Body)
		}
	}
}

func state(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets", "otlp.token"), []byte("let-me-in\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func self(t testing.TB) string {
	t.Helper()
	s, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tapCommand(t testing.TB, args ...string) *exec.Cmd {
	cmd := exec.Command(self(t), args...)
	cmd.Env = append(os.Environ(), "MCPTAP_TEST_ROLE=tap")
	return cmd
}

func TestSDKOverStdio(t *testing.T) {
	c := newCollector(t)
	cmd := tapCommand(t, "stdio", "--name", "files", "--label", "team=blue", "--endpoint", c.URL, "--state-dir", state(t), "--",
		"env", "MCPTAP_TEST_ROLE=server", self(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(context.Background(), &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	conversation(t, c, "files", event.TransportStdio, session)
	exit := c.find(t, "the server's exit", func(e event.Event) bool { return e.Name == event.NameServerExit })
	if exit.ExitCode != 0 || cmd.ProcessState.ExitCode() != 0 || stderr.Len() > 0 {
		t.Fatalf("recorded exit %d, exit %d, stderr %q", exit.ExitCode, cmd.ProcessState.ExitCode(), stderr.String())
	}
}

// httpTap runs mcptap http and gives its URL; end ends it and gives its exit code.
func httpTap(t *testing.T, args ...string) (url string, end func() int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cmd := tapCommand(t, append([]string{"http", "--listen", addr}, args...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	end = sync.OnceValue(func() int {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		return cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() { end() })
	return "http://" + addr, end
}

func TestSDKOverHTTP(t *testing.T) {
	server := newServer()
	get := func(*http.Request) *mcp.Server { return server }
	f := func(name, transport string, h http.Handler, client func(url string, hc *http.Client) mcp.Transport) {
		t.Helper()
		c := newCollector(t)
		up := httptest.NewServer(h)
		defer up.Close()
		url, end := httpTap(t, "--upstream", up.URL+"/mcp", "--name", name, "--label", "team=blue", "--endpoint", c.URL, "--state-dir", state(t), "--quiet")
		hc := &http.Client{Transport: &http.Transport{}}
		defer hc.CloseIdleConnections()
		session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(context.Background(), client(url+"/mcp", hc), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conversation(t, c, name, transport, session)
		up.CloseClientConnections()
		if code := end(); code != 0 {
			t.Fatalf("%s: exit %d", name, code)
		}
		c.find(t, "the tap's end", func(e event.Event) bool { return e.Name == event.NameTapStop })
	}
	streamable := func(url string, hc *http.Client) mcp.Transport {
		return &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: hc}
	}
	f("sessions", event.TransportHTTP, mcp.NewStreamableHTTPHandler(get, nil), streamable)
	f("json", event.TransportHTTP, mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{JSONResponse: true}), streamable)
	f("stateless", event.TransportHTTP, mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true}), streamable)
	f("sse", event.TransportSSE, mcp.NewSSEHandler(get, nil), func(url string, hc *http.Client) mcp.Transport {
		return &mcp.SSEClientTransport{Endpoint: url, HTTPClient: hc}
	})
}

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
