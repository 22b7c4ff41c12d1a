package main

import "context"

// patInTraffic: a file that a tool returns holds a token, and the model has it from then on.
var patInTraffic = &Scenario{
	Name:    "pat-in-traffic",
	Title:   "a personal access token in a tool's result",
	Source:  "OWASP MCP01:2025",
	Traffic: "live, stdio, TypeScript client",
	Quick:   true,
	Incident: func(ctx context.Context, s *Stage) error {
		return envFile(ctx, s, "project-files", "HOST=code.example\nGITHUB_TOKEN="+pat(2)+"\n")
	},
	Twin: func(ctx context.Context, s *Stage) error {
		return envFile(ctx, s, "project-desk", "HOST=code.example\nGITHUB_TOKEN=${GITHUB_TOKEN}\n# ask the vault for GITHUB_TOKEN\n")
	},
	Want: []Want{{Rule: "credential_leak", Severity: "high", Principal: me, Server: "project-files", Tool: "read_file"}},
}

func envFile(ctx context.Context, s *Stage, name, content string) error {
	command, err := s.Stdio(&Server{Name: name, Tools: []Tool{{Name: "read_file", Description: "Reads a file.", Args: "path", Answer: content}}})
	if err != nil {
		return err
	}
	return s.TypeScript(ctx, command, "", list, call("read_file", "path", "deploy.conf"))
}
