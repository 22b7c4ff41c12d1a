package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// lookalikeNames: packages whose names are those of known servers but for a letter.
var lookalikeNames = &Scenario{
	Name:    "lookalike-names",
	Title:   "mcp-github-sever and @offical/mcp-slack",
	Source:  "typosquatting, OWASP MCP04:2025",
	Traffic: "live, stdio, Go client",
	Quick:   true,
	Incident: func(ctx context.Context, s *Stage) error {
		return packages(ctx, s, [][2]string{{"mcp-github-sever", "mcp-github-sever"}, {"chat", "@offical/mcp-slack"}})
	},
	Twin: func(ctx context.Context, s *Stage) error {
		return packages(ctx, s, [][2]string{{"code", "@modelcontextprotocol/server-github"}, {"chat", "@modelcontextprotocol/server-slack"}})
	},
	Want: []Want{{Rule: "lookalike_server", Server: "mcp-github-sever"}, {Rule: "lookalike_server", Server: "chat", Says: "offical"}},
}

// packages starts servers as npx would; the npx is the stage's own and runs a server of this program.
func packages(ctx context.Context, s *Stage, servers [][2]string) error {
	npx := filepath.Join(s.dir, "npx")
	if err := os.WriteFile(npx, fmt.Appendf(nil, "#!/bin/sh\nshift 2\nexec %q \"$@\"\n", s.h.self), 0o700); err != nil {
		return err
	}
	for _, v := range servers {
		command, err := s.Stdio(&Server{Name: v[0], Claims: "tools", Tools: []Tool{{Name: "list_items", Description: "Lists items.", Answer: "none"}}}, npx, "-y", v[1])
		if err != nil {
			return err
		}
		cs, err := s.Start(ctx, command, "editor")
		if err != nil {
			return err
		}
		if err := Do(ctx, cs, list, call("list_items")); err != nil {
			return err
		}
	}
	return nil
}
