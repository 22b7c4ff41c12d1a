package main

import (
	"context"
	"time"
)

// ownerLeft: the account is closed, the token works on.
var ownerLeft = &Scenario{
	Name:     "owner-left",
	Title:    "a token used after its owner left",
	Source:   "OWASP MCP01:2025",
	Traffic:  "live, HTTP, Go client",
	People:   []Person{{ID: "gone@people.example", Left: time.Now().AddDate(0, 0, -30).Format(time.DateOnly)}, {ID: "here@people.example"}},
	Incident: func(ctx context.Context, s *Stage) error { return wiki(ctx, s, "gone@people.example") },
	Twin:     func(ctx context.Context, s *Stage) error { return wiki(ctx, s, "here@people.example") },
	Want:     []Want{{Rule: "token_hygiene", Severity: "high", Principal: "gone@people.example", Server: "wiki"}},
}

func wiki(ctx context.Context, s *Stage, who string) error {
	url, err := s.HTTP(ctx, &Server{Name: "wiki", Tools: []Tool{{Name: "get_page", Description: "Reads a page.", Args: "title", Answer: "The canteen opens at noon."}}})
	if err != nil {
		return err
	}
	cs, err := s.Session(ctx, url, "desk-agent", s.Token(who, nil))
	if err != nil {
		return err
	}
	return Do(ctx, cs, list, call("get_page", "title", "Canteen"))
}
