package main

import (
	"context"
	"fmt"
	"strings"
)

// runawayLoop: the agent does not see that it has asked that before.
var runawayLoop = &Scenario{
	Name:    "runaway-loop",
	Title:   "a runaway loop that burns a month's budget in an hour",
	Source:  "agents in loops, OWASP LLM10:2025",
	Traffic: "live, HTTP, Go client",
	People:  []Person{{ID: "research-agent", Kind: "agent"}},
	Budgets: []string{`{name: research, tenant: "runaway-loop*", period: month, money: 5}`},
	Incident: func(ctx context.Context, s *Stage) error {
		var steps []Step
		for range 200 {
			steps = append(steps, call("search_papers", "query", "context windows"))
		}
		return papers(ctx, s, "papers", steps)
	},
	Twin: func(ctx context.Context, s *Stage) error {
		var steps []Step
		for i := range 15 {
			steps = append(steps, call("search_papers", "query", fmt.Sprintf("context windows, volume %d", i)))
		}
		return papers(ctx, s, "library", steps)
	},
	Want: []Want{{Rule: "runaway_loop", Severity: "high", Principal: "research-agent", Says: "month"}},
}

func papers(ctx context.Context, s *Stage, name string, steps []Step) error {
	url, err := s.HTTP(ctx, &Server{Name: name, Tools: []Tool{{Name: "search_papers", Description: "Searches a library.", Args: "query",
		Answer: strings.Repeat("An evaluation of long contexts in language models, with tables and a discussion of cost. ", 300)}}})
	if err != nil {
		return err
	}
	cs, err := s.Session(ctx, url, "research", s.Token("research-agent", nil))
	if err != nil {
		return err
	}
	return Do(ctx, cs, append([]Step{list}, steps...)...)
}
