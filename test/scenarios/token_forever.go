package main

import "context"

// tokenForever: whoever finds the token in a year has it still.
var tokenForever = &Scenario{
	Name:    "token-forever",
	Title:   "a token that never expires",
	Source:  "OWASP MCP01:2025",
	Traffic: "live, HTTP, TypeScript client",
	People:  []Person{{ID: "build-bot", Kind: "service"}},
	Incident: func(ctx context.Context, s *Stage) error {
		return builds(ctx, s, "builds", map[string]any{"exp": nil})
	},
	Twin: func(ctx context.Context, s *Stage) error { return builds(ctx, s, "nightlies", nil) },
	Want: []Want{{Rule: "token_hygiene", Principal: "build-bot", Says: "never expires"}},
}

func builds(ctx context.Context, s *Stage, name string, claims map[string]any) error {
	url, err := s.HTTP(ctx, &Server{Name: name, Tools: []Tool{{Name: "get_build", Description: "Reads a build's state.", Args: "id", Answer: "green"}}})
	if err != nil {
		return err
	}
	return s.TypeScript(ctx, []string{url}, s.Token("build-bot", claims), list, call("get_build", "id", "7001"))
}
