package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Replay is an event file in the making: calls with the times of other days, for what takes longer than anybody waits. They go through
// `mcpsiem ingest` and from there the way that all events go.
type Replay struct {
	tenant string
	buf    bytes.Buffer
	n      int
	err    error
}

// Who is what a replayed message says about its carrier.
type Who struct {
	Server, Authorization, Host, Client, Address, Session string
	// ClaimsName and ClaimsVersion are the server's own.
	ClaimsName, ClaimsVersion string
	Package                   string
	Status                    int
}

// NewReplay starts an event file of the stage's tenant.
func (s *Stage) NewReplay() *Replay { return &Replay{tenant: s.Tenant} }

func (r *Replay) line(at time.Time, w Who, fields map[string]any) {
	all := map[string]any{
		"time": at.UTC().Format(time.RFC3339Nano), "mcpsiem.tenant.id": r.tenant, "mcpsiem.server.name": w.Server, "mcpsiem.transport": "streamable_http",
		"mcpsiem.capture": "complete",
	}
	for k, v := range map[string]string{
		"host.name": w.Host, "mcpsiem.client.name": w.Client, "client.address": w.Address, "mcp.session.id": w.Session,
		"mcpsiem.server.claimed_name": w.ClaimsName, "mcpsiem.server.claimed_version": w.ClaimsVersion, "mcpsiem.process.package": w.Package,
	} {
		if v != "" {
			all[k] = v
		}
	}
	for k, v := range fields {
		all[k] = v
	}
	b, err := json.Marshal(all)
	if err != nil && r.err == nil {
		r.err = err
	}
	r.buf.Write(append(b, '\n'))
}

// Message adds a request of method and, where result is not nil, its answer, which comes after took.
func (r *Replay) Message(at time.Time, w Who, method string, params any, result any, took time.Duration, more map[string]any) {
	r.n++
	id := r.tenant + "-" + strconv.Itoa(r.n)
	fields := map[string]any{
		"mcpsiem.event.id": id, "mcpsiem.exchange.id": id, "mcpsiem.direction": "client_to_server",
		"message": map[string]any{"jsonrpc": "2.0", "id": r.n, "method": method, "params": params},
	}
	if w.Authorization != "" {
		fields["mcpsiem.raw.authorization"] = w.Authorization
	}
	for k, v := range more {
		fields[k] = v
	}
	r.line(at, w, fields)
	if result == nil {
		return
	}
	fields = map[string]any{
		"mcpsiem.event.id": id + "-answer", "mcpsiem.exchange.id": id, "mcpsiem.direction": "server_to_client", "mcp.method.name": method, "mcpsiem.outcome": "ok",
		"message": map[string]any{"jsonrpc": "2.0", "id": r.n, "result": result},
	}
	if p, ok := params.(map[string]any); ok && method == "tools/call" {
		fields["gen_ai.tool.name"] = p["name"]
	}
	if w.Status != 0 {
		fields["http.response.status_code"] = w.Status
	}
	for k, v := range more {
		fields[k] = v
	}
	r.line(at.Add(took), w, fields)
}

// Call adds a call of a tool and its answer.
func (r *Replay) Call(at time.Time, w Who, tool string, args map[string]any, answer string) {
	r.Message(at, w, "tools/call", map[string]any{"name": tool, "arguments": args}, map[string]any{"content": []any{map[string]any{"type": "text", "text": answer}}}, 300*time.Millisecond, nil)
}

// List adds a list of tools.
func (r *Replay) List(at time.Time, w Who, tools ...Tool) {
	list := []any{}
	for _, t := range tools {
		list = append(list, map[string]any{"name": t.Name, "description": t.Description, "inputSchema": map[string]any{"type": "object"}})
	}
	r.Message(at, w, "tools/list", map[string]any{}, map[string]any{"tools": list}, 50*time.Millisecond, nil)
}

// Hand hands the file to mcpsiem.
func (s *Stage) Hand(ctx context.Context, r *Replay) error {
	if r.err != nil {
		return r.err
	}
	file := filepath.Join(s.dir, "replay.jsonl")
	if err := os.WriteFile(file, r.buf.Bytes(), 0o600); err != nil {
		return err
	}
	s.handed = time.Now()
	out, err := exec.CommandContext(ctx, filepath.Join(s.h.bin, "mcpsiem"), "ingest", "--state", s.h.state, "--strict", file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ingest failed: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// midnight of the day n days ago, UTC.
func midnight(n int) time.Time { return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -n) }
