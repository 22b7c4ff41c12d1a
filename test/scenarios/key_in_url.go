package main

import "context"

// keyInURL: what stands in an address stands in every log on the way.
var keyInURL = &Scenario{
	Name:    "key-in-url",
	Title:   "a session id and an API key in a URL",
	Source:  "OWASP MCP01:2025; session ids in URLs of the HTTP+SSE transport",
	Traffic: "live, HTTP, Go client",
	Quick:   true,
	People:  []Person{{ID: "rita@maps.example"}},
	Incident: func(ctx context.Context, s *Stage) error {
		return routes(ctx, s, "maps", "?api_key=sk-prod-9fK2mQ7vX4tR8wL1nB6cZ3yH5&sessionId=0f8c2d1e-7a55-4b1e-9a61-5e3c1d2b7f90", "")
	},
	Twin: func(ctx context.Context, s *Stage) error {
		return routes(ctx, s, "atlas", "?region=eu&units=metric", s.Token("rita@maps.example", nil))
	},
	Want: []Want{{Rule: "credential_leak", Server: "maps"}},
}

func routes(ctx context.Context, s *Stage, name, query, authorization string) error {
	url, err := s.HTTP(ctx, &Server{Name: name, Tools: []Tool{{Name: "get_route", Description: "Finds a way.", Args: "from to", Answer: "12 km"}}})
	if err != nil {
		return err
	}
	cs, err := s.Session(ctx, url+"/mcp"+query, "map-agent", authorization)
	if err != nil {
		return err
	}
	return Do(ctx, cs, list, call("get_route", "from", "Oslo", "to", "Moss"))
}
