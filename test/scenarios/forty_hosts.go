package main

import (
	"context"
	"fmt"
	"time"
)

// fortyHosts: a token that was handed round.
var fortyHosts = &Scenario{
	Name:     "forty-hosts",
	Title:    "one token on forty hosts",
	Source:   "shared service credentials, OWASP MCP01:2025",
	Traffic:  "replayed, four hours, forty hosts",
	People:   []Person{{ID: "deploy@fleet.example"}, {ID: "agent-fleet", Kind: "service"}},
	Incident: func(ctx context.Context, s *Stage) error { return fleet(ctx, s, true) },
	Twin:     func(ctx context.Context, s *Stage) error { return fleet(ctx, s, false) },
	Want:     []Want{{Rule: "credential_sharing", Principal: "deploy@fleet.example"}},
}

// fleet has forty hosts call a server: all with one person's token, or each with a token of the fleet's own.
func fleet(ctx context.Context, s *Stage, shared bool) error {
	r := s.NewReplay()
	began := time.Now().Add(-4 * time.Hour)
	claims := map[string]any{"iat": began.Add(-time.Hour).Unix(), "exp": began.Add(8 * time.Hour).Unix()}
	one := s.Token("deploy@fleet.example", claims)
	for i := range 40 {
		w := Who{Server: "rollout", Authorization: one, Host: fmt.Sprintf("node-%02d", i), Client: "rollout-agent"}
		if !shared {
			claims["jti"] = fmt.Sprintf("%s host %d", s.Tenant, i)
			w.Authorization = s.Token("agent-fleet", claims)
		}
		r.Call(began.Add(time.Duration(i)*6*time.Minute), w, "get_release", map[string]any{"channel": "stable"}, "12.4")
	}
	return s.Hand(ctx, r)
}
