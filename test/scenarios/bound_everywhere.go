package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// boundEverywhere: a development server listens on every address of a machine and asks nobody who they are.
var boundEverywhere = &Scenario{
	Name:    "bound-everywhere",
	Title:   "a server bound to 0.0.0.0 without authentication answers strangers",
	Source:  "NeighborJack, Backslash Security, June 2025; OWASP MCP07:2025",
	Traffic: "live, HTTP, Go client; a stranger's call as a tap elsewhere records it, over OTLP",
	Incident: func(ctx context.Context, s *Stage) error {
		if err := open(ctx, s, "lab-tools", "0.0.0.0:0", false); err != nil {
			return err
		}
		return s.stranger(ctx, "lab-shell", "203.0.113.77:40001")
	},
	Twin: func(ctx context.Context, s *Stage) error { return open(ctx, s, "desk-tools", "127.0.0.1:0", true) },
	Want: []Want{{Rule: "anonymous_access", Server: "lab-tools", Tool: "list_hosts"}, {Rule: "anonymous_access", Severity: "high", Server: "lab-shell"}},
}

// open runs a server at an address and reaches it from outside where it listens there.
func open(ctx context.Context, s *Stage, name, listen string, demand bool) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &Server{Name: name, Tools: []Tool{{Name: "list_hosts", Description: "Lists the hosts of the lab.", Answer: "alpha, beta"}}}
	hs := &http.Server{Handler: server.handler(demand), ReadHeaderTimeout: time.Minute}
	go hs.Serve(l)
	s.end = append(s.end, func() { hs.Close() })
	host := "127.0.0.1"
	if !demand {
		if host, err = ownAddress(); err != nil {
			return err
		}
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	url, err := s.TapURL(ctx, name, s.Tenant, "http://"+net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	authorization := ""
	if demand {
		authorization = s.Token("lab@desk.example", nil)
	}
	cs, err := s.Session(ctx, url, "browser-agent", authorization)
	if err != nil {
		return err
	}
	return Do(ctx, cs, list, call("list_hosts"))
}

// ownAddress is one of this machine's addresses that others reach.
func ownAddress() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() && n.IP.To4() != nil {
			return n.IP.String(), nil
		}
	}
	return "", errors.New("this machine has no address beside loopback")
}
