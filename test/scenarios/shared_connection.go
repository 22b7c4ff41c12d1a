package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// sharedConnection: a gateway's pool gives a connection to the next tenant without ending the session of the one before.
var sharedConnection = &Scenario{
	Name:     "shared-connection",
	Title:    "a shared connection keeps the previous tenant's context",
	Source:   "session pools that leak state between users, IBM ContextForge #2055",
	Traffic:  "live, HTTP, Go client and HTTP without an SDK",
	People:   []Person{{ID: "pia@east.example"}, {ID: "tom@west.example"}, {ID: "pia@easttwin.example"}, {ID: "tom@westtwin.example"}},
	Incident: func(ctx context.Context, s *Stage) error { return pool(ctx, s, "notebook", true, "east", "west") },
	Twin: func(ctx context.Context, s *Stage) error {
		return pool(ctx, s, "scrapbook", false, "easttwin", "westtwin")
	},
	Want: []Want{{Rule: "cross_tenant", Severity: "high", Principal: "tom@west.example", Server: "notebook"}},
}

func pool(ctx context.Context, s *Stage, name string, shared bool, a, b string) error {
	var mu sync.Mutex
	opened := map[string]string{}
	sessions := 0
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // keeps in a session what was opened there
		mu.Lock()
		defer mu.Unlock()
		var m struct {
			ID     any    `json:"id"`
			Method string `json:"method"`
			Params struct {
				Arguments map[string]string `json:"arguments"`
			} `json:"params"`
		}
		if !readJSON(r, &m) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		id := r.Header.Get("Mcp-Session-Id")
		switch m.Method {
		case "initialize":
			sessions++
			w.Header().Set("Mcp-Session-Id", fmt.Sprintf("session-of-%s-%d-c0ffee", name, sessions))
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%v,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":%q,"version":"2.0.0"}}}`, m.ID, name)
		case "tools/call":
			if book := m.Params.Arguments["book"]; book != "" {
				opened[id] = book
			}
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%v,"result":{"content":[{"type":"text","text":"Open: %s"}]}}`, m.ID, opened[id])
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	s.end = append(s.end, up.Close)
	session := ""
	for i, tenant := range []string{a, b} {
		url, err := s.TapURL(ctx, name, s.Tenant+"."+tenant, up.URL)
		if err != nil {
			return err
		}
		token := s.Token([]string{"pia@", "tom@"}[i]+tenant+".example", nil)
		if i == 0 || !shared {
			if session, err = s.initialize(ctx, url, token, "pool"); err != nil {
				return err
			}
		}
		headers := []string{"Authorization", token, "Mcp-Session-Id", session, "Mcp-Protocol-Version", "2025-06-18"}
		if i == 0 || !shared {
			err = s.Post(ctx, url, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open_book","arguments":{"book":"plans of %s for contract %s-88-%d"}}}`, tenant, tenant, i), headers...)
			if err != nil {
				return err
			}
		}
		time.Sleep(300 * time.Millisecond)
		if err := s.Post(ctx, url, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"current_page","arguments":{}}}`, headers...); err != nil {
			return err
		}
	}
	return nil
}
