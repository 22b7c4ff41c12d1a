package main

import (
	"context"
	"fmt"
)

// rateLimit: the next requests will be refused, for everybody who shares the key.
var rateLimit = &Scenario{
	Name:     "rate-limit",
	Title:    "requests that will hit the provider's per-minute limit",
	Source:   "OWASP LLM10:2025",
	Traffic:  "live, HTTP, Go client",
	People:   []Person{{ID: "crawler", Kind: "agent"}},
	Limits:   []string{`{name: sonnet, model: "claude-sonnet-4-5*", tenant: "rate-limit*", requests_per_minute: 50}`},
	Incident: func(ctx context.Context, s *Stage) error { return crawl(ctx, s, 60) },
	Twin:     func(ctx context.Context, s *Stage) error { return crawl(ctx, s, 12) },
	Want:     []Want{{Rule: "rate_limit", Principal: "crawler", Server: "catalogue", Says: "sonnet"}},
}

func crawl(ctx context.Context, s *Stage, n int) error {
	url, err := s.HTTP(ctx, &Server{Name: "catalogue", Tools: []Tool{{Name: "get_item", Description: "Reads an item of the catalogue.", Args: "number", Answer: "Item {number}: in stock."}}})
	if err != nil {
		return err
	}
	cs, err := s.Session(ctx, url, "crawler", s.Token("crawler", nil))
	if err != nil {
		return err
	}
	steps := []Step{list}
	for i := range n {
		steps = append(steps, call("get_item", "number", fmt.Sprint(1000+i)))
	}
	return Do(ctx, cs, steps...)
}
