package main

import (
	"context"
	"fmt"
	"time"
)

// fiveVersions: nobody can say which holes are open.
var fiveVersions = &Scenario{
	Name:     "five-versions",
	Title:    "the same server in five versions with five settings across a team",
	Source:   "configuration sprawl, OWASP MCP04:2025 and MCP09:2025",
	Traffic:  "replayed, five hosts",
	People:   []Person{{ID: "one@web.example", Team: "web"}, {ID: "two@web.example", Team: "web"}, {ID: "three@web.example", Team: "web"}, {ID: "four@web.example", Team: "web"}, {ID: "five@web.example", Team: "web"}},
	Incident: func(ctx context.Context, s *Stage) error { return team(ctx, s, true) },
	Twin:     func(ctx context.Context, s *Stage) error { return team(ctx, s, false) },
	Want:     []Want{{Rule: "server_identity", Server: "docs-search", Says: "5 versions"}},
}

func team(ctx context.Context, s *Stage, sprawl bool) error {
	r := s.NewReplay()
	for i, who := range []string{"one", "two", "three", "four", "five"} {
		version := "2.3.0"
		if sprawl {
			version = fmt.Sprintf("2.%d.0", i)
		}
		at := time.Now().Add(time.Duration(i-6) * time.Hour)
		w := Who{Server: "docs-search", Host: "laptop-" + who, Client: "editor", ClaimsName: "docs-search", ClaimsVersion: version,
			Authorization: s.Token(who+"@web.example", map[string]any{"iat": at.Add(-time.Minute).Unix(), "exp": at.Add(8 * time.Hour).Unix()})}
		r.Message(at, w, "initialize", map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "editor", "version": "1.0.0"}},
			map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{}, "serverInfo": map[string]any{"name": "docs-search", "version": version}}, 20*time.Millisecond, nil)
		r.Call(at.Add(time.Minute), w, "search_docs", map[string]any{"query": "routing"}, "3 pages")
	}
	return s.Hand(ctx, r)
}
