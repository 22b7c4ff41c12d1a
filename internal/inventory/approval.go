package inventory

// What of a server somebody approved, and what is waiting to be.

import (
	"context"
	"slices"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Approval is in force: nobody has revoked it since. With an empty Tool it is of the server as a whole.
type Approval struct {
	Tenant     string    `json:"tenant" ch:"tenant"`
	Server     string    `json:"server" ch:"server"`
	Tool       string    `json:"tool" ch:"tool"`
	Definition string    `json:"definition_hash" ch:"definition_hash"`
	By         string    `json:"approved_by" ch:"approved_by"`
	At         time.Time `json:"approved_at" ch:"approved_at"`
	Reason     string    `json:"reason" ch:"reason"`
}

// Approvals are those in force, of a tenant or, with an empty one, of all.
func Approvals(ctx context.Context, c *store.Conn, tenant string) (rows []Approval, err error) {
	err = c.Select(ctx, &rows, "SELECT tenant, server, tool, definition_hash, approved_by, approved_at, reason FROM approved"+whereTenant+"ORDER BY tenant, server, tool, approved_at", tenant, tenant)
	if rows == nil {
		rows = []Approval{}
	}
	return rows, readError(err)
}

// Candidate is a server, or with a Tool one of its definitions as the server listed it last.
type Candidate struct {
	Tenant       string    `json:"tenant"`
	Server       string    `json:"server"`
	Tool         string    `json:"tool"`
	Definition   string    `json:"definition_hash"`
	Capabilities []string  `json:"capabilities"`
	State        string    `json:"state"` // approved; changed: another definition of the tool is approved; new
	LastSeen     time.Time `json:"last_seen"`
}

// States of a Candidate.
const (
	StateApproved = "approved"
	StateChanged  = "changed"
	StateNew      = "new"
)

// Candidates are the servers that were seen in the window and the tools that they list, each with what is approved of it; a server comes
// before its tools.
func Candidates(ctx context.Context, c *store.Conn, q Query) (out []Candidate, err error) {
	q.Limit = 1 << 20
	servers, _, err := Read[Server](ctx, c, q)
	if err != nil {
		return nil, err
	}
	tools, _, err := Read[Tool](ctx, c, q)
	if err != nil {
		return nil, err
	}
	approved, err := Approvals(ctx, c, q.Tenant)
	if err != nil {
		return nil, err
	}
	type name struct{ tenant, server, tool string }
	any := map[name]bool{} // something of it is approved
	for _, a := range approved {
		any[name{a.Tenant, a.Server, a.Tool}] = true
	}
	state := func(n name, by string) string {
		switch {
		case by != "":
			return StateApproved
		case any[n]:
			return StateChanged
		}
		return StateNew
	}
	for _, s := range servers {
		if s.Name == "" {
			continue
		}
		out = append(out, Candidate{Tenant: s.Tenant, Server: s.Name, State: state(name{s.Tenant, s.Name, ""}, s.ApprovedBy), LastSeen: s.LastSeen})
	}
	for _, t := range tools {
		if len(t.Definitions) == 0 || t.Server == "" { // called, but never listed: there is nothing to approve
			continue
		}
		out = append(out, Candidate{Tenant: t.Tenant, Server: t.Server, Tool: t.Name, Definition: t.Definitions[0], Capabilities: t.Capabilities,
			State: state(name{t.Tenant, t.Server, t.Name}, t.ApprovedBy), LastSeen: t.LastSeen})
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		return slices.Compare([]string{a.Tenant, a.Server, a.Tool}, []string{b.Tenant, b.Server, b.Tool})
	})
	return out, nil
}

// Record is the record of the trail by which the candidate is approved.
func (x Candidate) Record(reason string) audit.Record { return record(audit.ServerApprove, x, reason) }

// Revocation is the record by which the approval ends: of the tool, or of the server with all its tools.
func (x Candidate) Revocation(reason string) audit.Record {
	x.Definition = ""
	return record(audit.ServerRevoke, x, reason)
}

func record(action audit.Action, x Candidate, reason string) audit.Record {
	d := map[string]string{}
	for k, v := range map[string]string{"tool": x.Tool, audit.DetailDefinition: x.Definition, "reason": reason} {
		if v != "" {
			d[k] = v
		}
	}
	return audit.Record{Action: action, Target: x.Server, Server: x.Server, Tool: x.Tool, Tenant: x.Tenant, Details: d}
}
