package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/mcpsiem/mcpsiem/internal/event"
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

// stranger sends what a tap on another machine records of a call from a public address without a credential, which is answered.
func (s *Stage) stranger(ctx context.Context, server, address string) error {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	now := time.Now().UnixNano()
	tap := s.Tenant + "/elsewhere"
	prefix := event.TapPrefix(tap, now)
	var base event.Event
	base.SourceKind, base.ClockSource, base.TapID, base.TapEpoch, base.Tenant = "tap", "tap", tap, now, s.Tenant
	base.HostName, base.Server, base.Transport, base.NetworkTransport, base.NetworkProtocol = "lab-7", server, event.TransportHTTP, "tcp", "http"
	base.ServerAddress, base.ServerPort, base.ClientAddress = "198.51.100.10", 8000, address
	base.Method, base.Tool, base.RequestID, base.RequestIDType, base.Capture = "tools/call", "run_command", "1", "number", event.CaptureComplete
	base.ExchangeID, base.ExchangeStart = prefix.ID(1), now
	for i, m := range []struct{ name, kind, direction, outcome, body string }{
		{event.NameRequest, event.KindRequest, event.ClientToServer, "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run_command","arguments":{"command":"uname -a"}}}`},
		{event.NameResponse, event.KindResponse, event.ServerToClient, event.OutcomeOK, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Linux lab-7"}]}}`},
	} {
		e := base
		e.TapSeq = int64(i + 1)
		e.ID, e.Time = prefix.ID(e.TapSeq), now+int64(i)*int64(time.Millisecond)
		e.Name, e.Kind, e.Direction, e.Outcome, e.Body, e.BodySize = m.name, m.kind, m.direction, m.outcome, m.body, int64(len(m.body))
		if m.kind == event.KindResponse {
			e.HTTPStatus = http.StatusOK
		}
		e.Encode(records.AppendEmpty())
	}
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalJSON()
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(s.h.state, "secrets", "otlp.token"))
	if err != nil {
		return err
	}
	return s.Post(ctx, s.h.endpoint+"/v1/logs", string(body), "Authorization", "Bearer "+string(bytes.TrimSpace(token)))
}

// midnight of the day n days ago, UTC.
func midnight(n int) time.Time { return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -n) }
