package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// asanaCache: a cache that forgets whose answer it holds serves one tenant's record to another.
var asanaCache = &Scenario{
	Name:    "asana-cache",
	Title:   "a tenant is served another tenant's records out of a cache",
	Source:  "Asana's MCP server, June 2025",
	Traffic: "live, HTTP, Go client",
	People: []Person{{ID: "ida@north.example"}, {ID: "sven@south.example"},
		{ID: "ida@northtwin.example"}, {ID: "sven@southtwin.example"}},
	Incident: func(ctx context.Context, s *Stage) error { return tenants(ctx, s, "tasks", true, "north", "south") },
	Twin: func(ctx context.Context, s *Stage) error {
		return tenants(ctx, s, "errands", false, "northtwin", "southtwin")
	},
	Want: []Want{{Rule: "cross_tenant", Severity: "high", Principal: "sven@south.example", Server: "tasks", Tool: "get_task"}},
}

// tenants has two tenants work on one server, each behind a tap of its own. With a broken cache the second is served what the first asked for.
func tenants(ctx context.Context, s *Stage, name string, broken bool, a, b string) error {
	var mu sync.Mutex
	cached := map[string]string{}
	records := func(owner string) *Server {
		return &Server{Name: name, Tools: []Tool{{Name: "get_task", Description: "Reads a task.", Args: "id"}, {Name: "list_tasks", Description: "Lists tasks.", Args: "page"}},
			Handle: func(tool string, args map[string]any) string {
				mu.Lock()
				defer mu.Unlock()
				id := fmt.Sprint(args["id"], args["page"])
				if t, ok := cached[id]; ok && broken {
					return t
				}
				n := 0
				for _, c := range []byte(owner + id + tool) {
					n = n*31 + int(c)
					n &= 0xffffff
				}
				t := fmt.Sprintf("Task %s of %s: call %s.%d@%s-customers.example about contract %s-%06d, phone +1 415 555 %04d; invoice INV-%07d is due.", id, owner,
					[]string{"amelia", "bruno", "chiara", "dmitri", "elena"}[n%5], n%971, owner, strings.ToUpper(owner[:2]), n%1000000, n%10000, n*7%10000000)
				cached[id] = t
				return t
			}}
	}
	var sessions []*mcp.ClientSession
	for i, owner := range []string{a, b} {
		url, err := s.TapHandler(ctx, name, s.Tenant+"."+owner, records(owner).handler(true))
		if err != nil {
			return err
		}
		who := []string{"ida@", "sven@"}[i] + owner + ".example"
		cs, err := s.Session(ctx, url, "planner", s.Token(who, nil))
		if err != nil {
			return err
		}
		sessions = append(sessions, cs)
		steps := []Step{list}
		for k := range 30 { // ordinary work first: each its own tasks, twice
			steps = append(steps, call("get_task", "id", fmt.Sprintf("%s-%d", owner, k/2)))
		}
		if err := Do(ctx, cs, steps...); err != nil {
			return err
		}
	}
	time.Sleep(500 * time.Millisecond) // two taps: what the one saw first is to arrive first
	if err := Do(ctx, sessions[0], call("get_task", "id", "1007"), call("get_task", "id", "1007"), call("get_task", "id", "1008"), call("get_task", "id", "1008")); err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond)
	return Do(ctx, sessions[1], call("get_task", "id", "1007"), call("get_task", "id", "1008"))
}
