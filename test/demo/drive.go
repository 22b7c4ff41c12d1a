package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// secret is a GitHub token of the right shape and checksum that opens nothing; one server leaks it.
var secret = func() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body := strings.Repeat("a1B2c3", 5)
	sum, check := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		check = string(digits[sum%62]) + check
		sum /= 62
	}
	return "ghp_" + body + check
}()

// drive runs every conversation through taps and returns the names of the tapped servers.
func (d *demo) drive(ctx context.Context) ([]string, error) {
	everything := []string{"node", filepath.Join(d.npm, "node_modules/@modelcontextprotocol/server-everything/dist/index.js")}
	filesystem := []string{"node", filepath.Join(d.npm, "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js")}
	memory := []string{"node", filepath.Join(d.npm, "node_modules/@modelcontextprotocol/server-memory/dist/index.js")}
	files := filepath.Join(d.dir, "files")
	if err := os.MkdirAll(files, 0o700); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"readme.txt": "Nothing to see.\n", "deploy.env": "GITHUB_TOKEN=" + secret + "\n",
		"large.txt": strings.Repeat("A line of a large file that a tool returns whole.\n", 20_000),
	} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	var servers []string
	step := func(server string, run func() error) error {
		d.logf("driving %s", server)
		servers = append(servers, server)
		if err := run(); err != nil {
			return fmt.Errorf("%s: %w", server, err)
		}
		return nil
	}

	// Over stdio: the Go SDK's client with three servers, the TypeScript SDK's with one.
	for _, s := range []struct {
		name    string
		command []string
		script  func(context.Context, *mcp.ClientSession) error
	}{
		{"everything-stdio-go", append(everything, "stdio"), callEverything},
		{"filesystem", append(filesystem, files), func(ctx context.Context, cs *mcp.ClientSession) error { return callFilesystem(ctx, cs, files) }},
		{"memory", memory, callMemory},
	} {
		err := step(s.name, func() error {
			cmd := d.tapped(s.name, s.command)
			return d.goClient(ctx, &mcp.CommandTransport{Command: cmd, TerminateDuration: 5 * time.Second}, "", s.script)
		})
		if err != nil {
			return servers, err
		}
	}
	err := step("everything-stdio-ts", func() error {
		cmd := d.tapped("everything-stdio-ts", append(everything, "stdio"))
		return d.tsClient(ctx, append([]string{"stdio"}, cmd.Args...))
	})
	if err != nil {
		return servers, err
	}

	// Over Streamable HTTP: the everything server with both clients, and a stateless server of the 2026-07-28 version.
	port, err := freePort()
	if err != nil {
		return servers, err
	}
	server := exec.CommandContext(ctx, everything[0], append(everything[1:], "streamableHttp")...)
	server.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port))
	if err := server.Start(); err != nil {
		return servers, fmt.Errorf("cannot start the everything server: %w", err)
	}
	defer func() { server.Process.Kill(); server.Wait() }()
	everythingURL := fmt.Sprintf("http://127.0.0.1:%d", port)
	if err := waitListening(ctx, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return servers, err
	}
	modern := httptest.NewServer(modernServer())
	defer modern.Close()

	for _, s := range []struct {
		name, upstream string
		run            func(endpoint string) error
	}{
		{"everything-http-go", everythingURL, func(u string) error {
			return d.goClient(ctx, &mcp.StreamableClientTransport{Endpoint: u + "/mcp"}, "2025-11-25", callEverything)
		}},
		{"everything-http-ts", everythingURL, func(u string) error { return d.tsClient(ctx, []string{"http", u + "/mcp"}) }},
		{"weather-stateless", modern.URL, func(u string) error {
			return d.goClient(ctx, &mcp.StreamableClientTransport{Endpoint: u, DisableStandaloneSSE: true}, "2026-07-28", callWeather)
		}},
	} {
		err := step(s.name, func() error { return d.tappedHTTP(ctx, s.name, s.upstream, s.run) })
		if err != nil {
			return servers, err
		}
	}
	return servers, nil
}

// tapped is the command of a stdio server behind a tap, with a witness on each side of the tap.
func (d *demo) tapped(name string, command []string) *exec.Cmd {
	args := []string{"witness", d.notes(name, "client"), "--", filepath.Join(d.bin, "mcptap"), "stdio", "--name", name, "--label", "demo=yes"}
	args = append(args, d.tapFlags()...)
	args = append(args, "--", d.self, "witness", d.notes(name, "server"), "--")
	return exec.Command(d.self, append(args, command...)...)
}

// tappedHTTP puts witness, tap and witness before upstream, runs the conversation and ends the tap.
func (d *demo) tappedHTTP(ctx context.Context, name, upstream string, run func(endpoint string) error) error {
	u, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	inner, err := d.witnessServer(name, "server", u)
	if err != nil {
		return err
	}
	defer inner.Close()
	port, err := freePort()
	if err != nil {
		return err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	args := append([]string{"http", "--name", name, "--listen", addr, "--upstream", inner.URL}, d.tapFlags()...)
	tap := exec.Command(filepath.Join(d.bin, "mcptap"), args...)
	tap.Stderr = os.Stderr
	if err := tap.Start(); err != nil {
		return fmt.Errorf("cannot start the tap: %w", err)
	}
	stopped := false
	defer func() {
		if !stopped {
			tap.Process.Kill()
			tap.Wait()
		}
	}()
	if err := waitListening(ctx, addr); err != nil {
		return err
	}
	outer, err := d.witnessServer(name, "client", &url.URL{Scheme: "http", Host: addr})
	if err != nil {
		return err
	}
	defer outer.Close()
	if err := run(outer.URL); err != nil {
		return err
	}
	stopped = true
	tap.Process.Signal(os.Interrupt)
	tap.Wait()
	return nil
}

func (d *demo) witnessServer(name, side string, upstream *url.URL) (*httptest.Server, error) {
	proxy, err := witnessHTTP(d.notes(name, side), upstream)
	if err != nil {
		return nil, err
	}
	h, err := requestNoter(d.notes(name, side), proxy)
	if err != nil {
		return nil, err
	}
	return httptest.NewServer(h), nil
}

// goClient talks as a client that can still do what later versions deprecate: there is much of it about.
//
//lint:file-ignore SA1019 sampling and roots are deprecated in 2026-07-28, and in use
func (d *demo) goClient(ctx context.Context, t mcp.Transport, version string, script func(context.Context, *mcp.ClientSession) error) error {
	client := mcp.NewClient(&mcp.Implementation{Name: "demo-go", Version: "1.0.0"}, &mcp.ClientOptions{
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "demo-model", Role: "assistant", StopReason: "endTurn", Content: &mcp.TextContent{Text: "A sampled answer."}}, nil
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Grace", "check": true, "email": "grace@example.com"}}, nil
		},
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) {},
	})
	client.AddRoots(&mcp.Root{URI: "file:///demo", Name: "demo"})
	cs, err := client.Connect(ctx, t, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	err = script(ctx, cs)
	// Give notifications that are under way the time to arrive; what arrives after Close nobody sees.
	time.Sleep(300 * time.Millisecond)
	cs.Close()
	return err
}

func (d *demo) tsClient(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(d.npm, "client.mjs")}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("the TypeScript client failed: %w", err)
	}
	d.logf("  %s", strings.TrimSpace(string(out)))
	return nil
}

// calls makes tool calls one by one; what a tool or server answers, errors included, is part of the conversation.
func calls(ctx context.Context, cs *mcp.ClientSession, list ...*mcp.CallToolParams) {
	for _, p := range list {
		_, _ = cs.CallTool(ctx, p)
	}
}

func tool(name string, args map[string]any) *mcp.CallToolParams {
	if args == nil {
		args = map[string]any{}
	}
	return &mcp.CallToolParams{Name: name, Arguments: args}
}

func callEverything(ctx context.Context, cs *mcp.ClientSession) error {
	if _, err := cs.ListTools(ctx, nil); err != nil {
		return fmt.Errorf("cannot list tools: %w", err)
	}
	long := tool("trigger-long-running-operation", map[string]any{"duration": 0.4, "steps": 4})
	long.SetProgressToken("demo-progress")
	calls(ctx, cs,
		tool("echo", map[string]any{"message": "hello from Go"}),
		tool("get-sum", map[string]any{"a": 2, "b": 40}),
		tool("get-structured-content", map[string]any{"location": "New York"}),
		tool("get-tiny-image", nil),
		tool("trigger-sampling-request", map[string]any{"prompt": "Say something", "maxTokens": 20}),
		tool("trigger-elicitation-request", nil),
		tool("get-roots-list", nil),
		tool("no-such-tool", nil),
		long,
	)
	cancelled, stop := context.WithTimeout(ctx, 150*time.Millisecond)
	defer stop()
	calls(cancelled, cs, tool("trigger-long-running-operation", map[string]any{"duration": 5, "steps": 5}))
	_, _ = cs.ListResources(ctx, nil)
	_, _ = cs.ListResourceTemplates(ctx, nil)
	_, _ = cs.ReadResource(ctx, &mcp.ReadResourceParams{URI: "demo://resource/static/document/architecture.md"})
	_, _ = cs.ListPrompts(ctx, nil)
	_, _ = cs.GetPrompt(ctx, &mcp.GetPromptParams{Name: "simple-prompt"})
	_ = cs.Ping(ctx, nil)
	return nil
}

func callFilesystem(ctx context.Context, cs *mcp.ClientSession, dir string) error {
	if _, err := cs.ListTools(ctx, nil); err != nil {
		return fmt.Errorf("cannot list tools: %w", err)
	}
	path := func(n string) map[string]any { return map[string]any{"path": filepath.Join(dir, n)} }
	calls(ctx, cs,
		tool("list_allowed_directories", nil),
		tool("list_directory", map[string]any{"path": dir}),
		tool("read_text_file", path("readme.txt")),
		tool("read_text_file", path("deploy.env")), // the leak
		tool("read_text_file", path("large.txt")),  // a megabyte
		tool("read_text_file", map[string]any{"path": "/etc/shadow"}),
		tool("write_file", map[string]any{"path": filepath.Join(dir, "new.txt"), "content": "Reach me at grace@example.com."}),
		tool("get_file_info", path("new.txt")),
	)
	return nil
}

func callMemory(ctx context.Context, cs *mcp.ClientSession) error {
	if _, err := cs.ListTools(ctx, nil); err != nil {
		return fmt.Errorf("cannot list tools: %w", err)
	}
	calls(ctx, cs,
		tool("create_entities", map[string]any{"entities": []any{map[string]any{
			"name": "Invoice 7", "entityType": "invoice", "observations": []any{"paid with 4111 1111 1111 1111"}}}}),
		tool("search_nodes", map[string]any{"query": "invoice"}),
		tool("read_graph", nil),
		tool("delete_entities", map[string]any{"entityNames": []any{"Invoice 7"}}),
	)
	return nil
}

func callWeather(ctx context.Context, cs *mcp.ClientSession) error {
	if _, err := cs.ListTools(ctx, nil); err != nil {
		return fmt.Errorf("cannot list tools: %w", err)
	}
	for _, city := range []string{"Oslo", "Lima", "Nairobi"} {
		if _, err := cs.CallTool(ctx, tool("forecast", map[string]any{"city": city})); err != nil {
			return err
		}
	}
	calls(ctx, cs, tool("forecast", map[string]any{"city": ""}))
	return nil
}

// modernServer is a stateless MCP server, as version 2026-07-28 wants it.
func modernServer() http.Handler {
	type place struct {
		City string `json:"city" jsonschema:"the city to ask for"`
	}
	s := mcp.NewServer(&mcp.Implementation{Name: "weather", Version: "2.1.0"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "forecast", Description: "Tells tomorrow's weather in a city."},
		func(_ context.Context, _ *mcp.CallToolRequest, in place) (*mcp.CallToolResult, any, error) {
			if in.City == "" {
				return nil, nil, fmt.Errorf("which city?")
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.City + ": dry, 21 degrees."}}}, nil, nil
		})
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: true})
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
	for range 200 {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("nothing listens on %s after 10 s", addr)
}
