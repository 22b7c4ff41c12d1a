package main

import (
	"context"
	"fmt"
)

// tools91 and tools256: what stands in the context before anybody has asked anything.
var (
	tools91 = &Scenario{
		Name:     "tools-91",
		Title:    "91 tools loaded by one client",
		Source:   "tool overload; GitHub's MCP server had 91 tools in 2025",
		Traffic:  "live, HTTP, Go client",
		People:   []Person{{ID: "lea@apps.example"}},
		Incident: func(ctx context.Context, s *Stage) error { return load(ctx, s, "lea@apps.example", 1, 91, 40) },
		Twin:     func(ctx context.Context, s *Stage) error { return load(ctx, s, "lea@apps.example", 1, 9, 3) },
		Want:     []Want{{Rule: "definition_bloat", Principal: "lea@apps.example", Says: "91 tools"}},
	}
	tools256 = &Scenario{
		Name:     "tools-256",
		Title:    "256 tools, 75,000 tokens before the first word, with the money worked out",
		Source:   "tool overload; Claude Code #49588",
		Traffic:  "live, HTTP, Go client",
		People:   []Person{{ID: "max@apps.example"}},
		Incident: func(ctx context.Context, s *Stage) error { return load(ctx, s, "max@apps.example", 1, 256, 34) },
		Twin:     func(ctx context.Context, s *Stage) error { return load(ctx, s, "max@apps.example", 4, 4, 3) },
		Want:     []Want{{Rule: "definition_bloat", Principal: "max@apps.example", Says: "256 tools"}, {Rule: "definition_bloat", Says: " USD today"}},
	}
)

var (
	verbs  = []string{"list", "get", "search", "count", "describe", "compare", "rename", "tag"}
	things = []string{"projects", "boards", "labels", "milestones", "sprints", "releases", "components", "roadmaps", "teams", "calendars", "reports", "charts", "filters", "views", "worklogs", "estimates",
		"branches", "builds", "artifacts", "pipelines", "runners", "environments", "variables", "packages", "images", "clusters", "nodes", "volumes", "networks", "routes", "certificates", "domains"}
	remarks = []string{"Results come in pages of 50.", "Dates are in ISO 8601.", "Names are matched without regard to case.", "Archived ones are left out.", "Sorted by the time of their last change."}
)

// load lists n tools of each of some servers; each description has that many remarks.
func load(ctx context.Context, s *Stage, who string, servers, n, length int) error {
	for k := range servers {
		server := &Server{Name: fmt.Sprintf("suite-%c", 'a'+k)}
		for i := range n {
			j := k*n + i
			verb, thing := verbs[j/len(things)%len(verbs)], things[j%len(things)]
			text := fmt.Sprintf("%s %s of a workspace.", verb, thing)
			for m := range length {
				text += " " + remarks[(m+j)%len(remarks)]
			}
			server.Tools = append(server.Tools, Tool{Name: verb + "_" + thing, Description: text, Args: "workspace page", Answer: "none"})
		}
		url, err := s.HTTP(ctx, server)
		if err != nil {
			return err
		}
		cs, err := s.Session(ctx, url, "assistant", s.Token(who, nil))
		if err != nil {
			return err
		}
		if err := Do(ctx, cs, list); err != nil {
			return err
		}
	}
	return nil
}
