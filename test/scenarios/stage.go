package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Stage is where an incident or its twin takes place: a tenant of its own in the running mcpsiem, with taps, servers and clients that end with it.
type Stage struct {
	h      *harness
	Tenant string
	Twin   bool
	dir    string
	end    []func()
	handed time.Time // when the last replayed record was handed over
}

func (s *Stage) close() {
	for i := len(s.end) - 1; i >= 0; i-- {
		s.end[i]()
	}
}

// Token is a bearer token of a person, made for this stage; claims add to it or, if nil, remove from it.
func (s *Stage) Token(person string, claims map[string]any) string {
	all := map[string]any{"jti": s.Tenant + " " + person}
	for k, v := range claims {
		all[k] = v
	}
	return "Bearer " + jwt(person, all)
}

func (s *Stage) tapFlags(name, tenant string) []string {
	return []string{"--name", name, "--tenant", tenant, "--endpoint", s.h.endpoint, "--token-file", filepath.Join(s.h.state, "secrets", "otlp.token"),
		"--state-dir", filepath.Join(s.h.dir, "tap"), "--flush-interval", "50ms", "--tap-id", s.Tenant + "/" + tenant + "/" + name}
}

// HTTP starts the server and a tap before it and returns the address for clients. The server demands a credential.
func (s *Stage) HTTP(ctx context.Context, server *Server) (string, error) {
	return s.TapHandler(ctx, server.Name, s.Tenant, server.handler(true))
}

// TapHandler starts a server of its own making on loopback and a tap of the tenant before it.
func (s *Stage) TapHandler(ctx context.Context, name, tenant string, h http.Handler) (string, error) {
	up := httptest.NewServer(h)
	s.end = append(s.end, func() { up.CloseClientConnections(); up.Close() })
	return s.TapURL(ctx, name, tenant, up.URL)
}

// TapURL starts a tap before a server that runs and returns the address for clients.
func (s *Stage) TapURL(ctx context.Context, name, tenant, upstream string, flags ...string) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	args := append([]string{"http", "--listen", addr, "--upstream", upstream}, s.tapFlags(name, tenant)...)
	tap := exec.Command(filepath.Join(s.h.bin, "mcptap"), append(args, flags...)...)
	tap.Stderr = os.Stderr
	if err := tap.Start(); err != nil {
		return "", fmt.Errorf("cannot start the tap: %w", err)
	}
	s.end = append(s.end, func() { tap.Process.Signal(os.Interrupt); tap.Wait() })
	return "http://" + addr, waitListening(ctx, addr)
}

// Stdio is the command line of a tapped stdio server. before replaces the command that starts the server: {} in it stands for what it must run.
func (s *Stage) Stdio(server *Server, before ...string) ([]string, error) {
	b, err := json.Marshal(server)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.dir, "server-*.json")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return nil, err
	}
	args := append([]string{filepath.Join(s.h.bin, "mcptap"), "stdio"}, s.tapFlags(server.Name, s.Tenant)...)
	args = append(append(args, "--"), before...)
	if len(before) == 0 {
		args = append(args, s.h.self)
	}
	return append(args, "serve", f.Name()), nil
}

// Session connects the Go SDK's client to an HTTP server; authorization may be empty.
func (s *Stage) Session(ctx context.Context, url, client, authorization string) (*mcp.ClientSession, error) {
	t := &mcp.StreamableClientTransport{Endpoint: url, DisableStandaloneSSE: true, HTTPClient: &http.Client{Transport: withAuthorization{authorization}}}
	return s.connect(ctx, t, client)
}

// Start runs a stdio server and connects the Go SDK's client to it; env adds to the environment.
func (s *Stage) Start(ctx context.Context, command []string, client string, env ...string) (*mcp.ClientSession, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(cleanEnviron(), env...)
	return s.connect(ctx, &mcp.CommandTransport{Command: cmd, TerminateDuration: 5 * time.Second}, client)
}

func (s *Stage) connect(ctx context.Context, t mcp.Transport, client string) (*mcp.ClientSession, error) {
	cs, err := mcp.NewClient(&mcp.Implementation{Name: client, Version: "1.0.0"}, nil).Connect(ctx, t, &mcp.ClientSessionOptions{ProtocolVersion: "2025-06-18"})
	if err != nil {
		return nil, fmt.Errorf("%s cannot connect: %w", client, err)
	}
	s.end = append(s.end, func() { cs.Close() })
	return cs, nil
}

// cleanEnviron is the environment without what looks like credentials: those of whoever runs this are no part of a scenario.
func cleanEnviron() []string {
	var out []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "PATH", "HOME", "TMPDIR", "USER", "LANG":
			out = append(out, kv)
		}
	}
	return out
}

type withAuthorization struct{ value string }

func (a withAuthorization) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.value != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", a.value)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// Step is one request of a client: a list of tools if Tool is empty.
type Step struct {
	Tool string            `json:"tool,omitempty"`
	Args map[string]string `json:"args,omitempty"`
}

// list asks for the tools.
var list = Step{}

// call calls a tool with arguments, given as pairs.
func call(tool string, pairs ...string) Step {
	args := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		args[pairs[i]] = pairs[i+1]
	}
	return Step{tool, args}
}

// Do makes the requests one after the other.
func Do(ctx context.Context, cs *mcp.ClientSession, steps ...Step) error {
	for _, st := range steps {
		if st.Tool == "" {
			if _, err := cs.ListTools(ctx, nil); err != nil {
				return fmt.Errorf("cannot list tools: %w", err)
			}
			continue
		}
		args := map[string]any{}
		for k, v := range st.Args {
			args[k] = v
		}
		if _, err := cs.CallTool(ctx, &mcp.CallToolParams{Name: st.Tool, Arguments: args}); err != nil {
			return fmt.Errorf("cannot call %s: %w", st.Tool, err)
		}
	}
	return nil
}

// TypeScript has the official TypeScript SDK's client make the requests: to is a URL or a command.
func (s *Stage) TypeScript(ctx context.Context, to []string, authorization string, steps ...Step) error {
	plan, err := json.Marshal(map[string]any{"to": to, "authorization": authorization, "steps": steps})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "node", filepath.Join(s.h.npm, "../../scenarios/client.mjs"))
	cmd.Env = append(cleanEnviron(), "NPM_FOLDER="+s.h.npm)
	cmd.Stdin = bytes.NewReader(plan)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the TypeScript client failed: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// Post sends one HTTP request with a body, as a client without an SDK does.
func (s *Stage) Post(ctx context.Context, url, body string, headers ...string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func waitListening(ctx context.Context, addr string) error {
	for range 400 {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(25 * time.Millisecond):
		}
	}
	return errors.New("nothing listens on " + addr + " after 10 s")
}

// initialize opens a session without an SDK and returns its id.
func (s *Stage) initialize(ctx context.Context, url, authorization, client string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url,
		strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":%q,"version":"1.0.0"}}}`, client)))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	res.Body.Close()
	return res.Header.Get("Mcp-Session-Id"), nil
}

// readJSON reads a request's body; of what is no object it says so.
func readJSON(r *http.Request, to any) bool {
	return r.Method == http.MethodPost && json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(to) == nil
}
