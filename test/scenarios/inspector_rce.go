package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// inspectorRCE: a web page has the Inspector's proxy start a command; the proxy asked nobody for a token.
var inspectorRCE = &Scenario{
	Name:    "inspector-rce",
	Title:   "the Inspector's remote execution: a command in the proxy's query",
	Source:  "CVE-2025-49596, Oligo, June 2025",
	Traffic: "live, HTTP without an SDK",
	Incident: func(ctx context.Context, s *Stage) error {
		return inspector(ctx, s, "inspector-proxy", "transportType=stdio&command=touch&args="+url.QueryEscape("/tmp/exploited-from-the-browser"), "http://evil.example")
	},
	Twin: func(ctx context.Context, s *Stage) error {
		return inspector(ctx, s, "inspector-desk", "transportType=sse&url="+url.QueryEscape("http://127.0.0.1:3001/sse"), "http://localhost:6274")
	},
	Want: []Want{{Rule: "unsafe_endpoint", Severity: "high", Server: "inspector-proxy", Says: "proxy_command"}},
}

// inspector is the proxy's side: the stream opens with the address to post to, and nothing more comes, since the command is no MCP server.
func inspector(ctx context.Context, s *Stage, name, query, origin string) error {
	u, err := s.TapHandler(ctx, name, s.Tenant, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: endpoint\ndata: /message?sessionId=8f7d2c\n\n")
	}))
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u+"/sse?"+query, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Origin", origin)
	r.Header.Set("Authorization", s.Token("developer@inspect.example", nil))
	if name == "inspector-proxy" {
		r.Header.Del("Authorization") // a page has none
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	return res.Body.Close()
}
