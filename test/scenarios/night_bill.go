package main

import (
	"context"
	"strings"
	"time"
)

// nightBill: somebody else works with the credential while its owner sleeps.
var nightBill = &Scenario{
	Name:     "night-bill",
	Title:    "stolen credentials run up a bill at night",
	Source:   "LLMjacking, Sysdig, 2024; AML.T0034",
	Traffic:  "replayed, nine days",
	People:   []Person{{ID: "vera@studio.example", Team: "studio"}},
	Incident: func(ctx context.Context, s *Stage) error { return nights(ctx, s, true) },
	Twin:     func(ctx context.Context, s *Stage) error { return nights(ctx, s, false) },
	Want:     []Want{{Rule: "cost_spike", Severity: "high", Principal: "vera@studio.example"}},
}

func nights(ctx context.Context, s *Stage, stolen bool) error {
	r := s.NewReplay()
	text := strings.Repeat("The archive has further pages about this subject, which follow here in the order of their age. ", 400)
	w := Who{Server: "archive", Authorization: s.Token("vera@studio.example", map[string]any{"iat": midnight(11).Unix(), "exp": midnight(-1).Unix()}), Host: "vera-laptop", Client: "writer", Address: "10.20.30.40:5000"}
	work := func(day, hour, calls int, w Who) {
		for i := range calls {
			r.Call(midnight(day).Add(time.Duration(hour)*time.Hour+time.Duration(i)*3*time.Minute), w, "read_pages", map[string]any{"subject": "weaving"}, text)
		}
	}
	for day := 9; day >= 2; day-- {
		for hour := 9; hour < 17; hour++ {
			work(day, hour, 2, w)
		}
	}
	if stolen {
		w.Host, w.Address, w.Client = "vps-31337", "203.0.113.200:40000", "python-requests"
		work(1, 3, 18, w)
	} else {
		work(1, 11, 3, w)
	}
	return s.Hand(ctx, r)
}
