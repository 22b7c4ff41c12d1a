package main

import "context"

// tokenPassthrough: a server uses the token that it was called with to call another one.
var tokenPassthrough = &Scenario{
	Name:    "token-passthrough",
	Title:   "a token passed through to another audience",
	Source:  "forbidden by the MCP authorization specification; confused deputy",
	Traffic: "live, HTTP, Go clients",
	People:  []Person{{ID: "uma@office.example"}, {ID: "mail-gateway", Kind: "service"}},
	Servers: []string{`{name: "calendar-backend", audiences: [calendar]}`, `{name: "mail-gateway", audiences: [mail]}`},
	Incident: func(ctx context.Context, s *Stage) error {
		token := s.Token("uma@office.example", map[string]any{"aud": "mail"})
		return relay(ctx, s, token, token)
	},
	Twin: func(ctx context.Context, s *Stage) error {
		return relay(ctx, s, s.Token("uma@office.example", map[string]any{"aud": "mail"}), s.Token("mail-gateway", map[string]any{"aud": "calendar"}))
	},
	Want: []Want{
		{Rule: "token_passthrough", Server: "calendar-backend"},
		{Rule: "token_hygiene", Principal: "uma@office.example", Server: "calendar-backend", Says: "meant for someone else"},
	},
}

func relay(ctx context.Context, s *Stage, first, second string) error {
	for _, hop := range []struct{ server, client, token, tool string }{
		{"mail-gateway", "desk-agent", first, "find_slot"}, {"calendar-backend", "mail-gateway", second, "get_day"},
	} {
		url, err := s.HTTP(ctx, &Server{Name: hop.server, Tools: []Tool{{Name: hop.tool, Description: "Looks for free time.", Args: "day", Answer: "10 to 11"}}})
		if err != nil {
			return err
		}
		cs, err := s.Session(ctx, url, hop.client, hop.token)
		if err != nil {
			return err
		}
		if err := Do(ctx, cs, list, call(hop.tool, "day", "Monday")); err != nil {
			return err
		}
	}
	return nil
}
