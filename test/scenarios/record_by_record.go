package main

import (
	"context"
	"fmt"
)

// recordByRecord: no answer is large, and each call is one that the agent may make.
var recordByRecord = &Scenario{
	Name:    "record-by-record",
	Title:   "an agent walks through all customers, one record at a time",
	Source:  "harvesting through tools, SAFE-T1801",
	Traffic: "live, HTTP, Go client",
	People:  []Person{{ID: "analyst@walk.example"}, {ID: "analyst@walktwin.example"}},
	Incident: func(ctx context.Context, s *Stage) error {
		return walk(ctx, s, "analyst@walk.example", 220)
	},
	Twin: func(ctx context.Context, s *Stage) error { return walk(ctx, s, "analyst@walktwin.example", 25) },
	Want: []Want{{Rule: "record_harvest", Principal: "analyst@walk.example", Server: "customers", Tool: "get_customer"}},
}

func walk(ctx context.Context, s *Stage, who string, n int) error {
	url, err := s.HTTP(ctx, &Server{Name: "customers", Tools: []Tool{{Name: "get_customer", Description: "Reads a customer.", Args: "id"}},
		Handle: func(_ string, args map[string]any) string {
			return fmt.Sprintf("Customer %v: c%v@mail.example, +1 415 555 %v", args["id"], args["id"], args["id"])
		}})
	if err != nil {
		return err
	}
	cs, err := s.Session(ctx, url, "bi-agent", s.Token(who, nil))
	if err != nil {
		return err
	}
	steps := []Step{list}
	for i := range n {
		steps = append(steps, call("get_customer", "id", fmt.Sprintf("%04d", 1000+i)))
	}
	return Do(ctx, cs, steps...)
}
