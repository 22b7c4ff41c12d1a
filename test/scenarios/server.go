package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Server is an MCP server: its tools, and what they answer.
type Server struct {
	Name    string // configured at the tap
	Claims  string // serverInfo.name; Name if empty
	Version string // serverInfo.version; 1.0.0 if empty
	Tools   []Tool
	// Handle answers calls instead of the tools' Answer. Servers over HTTP only: one over stdio runs in another process.
	Handle func(tool string, args map[string]any) string `json:"-"`
}

// Tool is a tool that answers with text.
type Tool struct {
	Name, Description string
	// Args are names of string arguments, separated by blanks.
	Args string
	// Answer is the text of the result; {name} stands for an argument.
	Answer      string
	Annotations *mcp.ToolAnnotations
}

func (s *Server) build() *mcp.Server {
	m := mcp.NewServer(&mcp.Implementation{Name: or(s.Claims, s.Name), Version: or(s.Version, "1.0.0")}, nil)
	for _, t := range s.Tools {
		props := map[string]any{}
		for _, a := range strings.Fields(t.Args) {
			props[a] = map[string]any{"type": "string"}
		}
		m.AddTool(&mcp.Tool{Name: t.Name, Description: t.Description, InputSchema: map[string]any{"type": "object", "properties": props}, Annotations: t.Annotations},
			func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				args := map[string]any{}
				if len(r.Params.Arguments) > 0 {
					if err := json.Unmarshal(r.Params.Arguments, &args); err != nil {
						return nil, fmt.Errorf("arguments are no object")
					}
				}
				text := t.Answer
				if s.Handle != nil {
					text = s.Handle(t.Name, args)
				}
				for k, v := range args {
					text = strings.ReplaceAll(text, "{"+k+"}", fmt.Sprint(v))
				}
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil
			})
	}
	return m
}

// handler serves s over Streamable HTTP. demand makes it refuse requests without credentials.
func (s *Server) handler(demand bool) http.Handler {
	m := s.build()
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return m }, &mcp.StreamableHTTPOptions{DisableLocalhostProtection: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if demand && r.Header.Get("Authorization") == "" && r.URL.RawQuery == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// serve runs the server that file describes over stdio, until its client goes.
func serve(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var s Server
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("cannot read %s: %w", file, err)
	}
	return s.build().Run(context.Background(), &mcp.StdioTransport{})
}
