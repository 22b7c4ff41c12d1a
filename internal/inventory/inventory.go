// Package inventory reads and prints what the store knows of credentials, principals, servers and tools, and what tool
// definitions cost before anybody calls a tool.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Token is a credential.
type Token struct {
	Tenant      string    `json:"tenant" ch:"tenant"`
	Fingerprint string    `json:"fingerprint" ch:"token_fingerprint"`
	Owner       string    `json:"owner" ch:"owner"` // the strongest principal that used it; empty if nobody is known
	OwnerKind   string    `json:"owner_kind" ch:"owner_kind"`
	OwnerTeam   string    `json:"owner_team" ch:"owner_team"`
	Principals  []string  `json:"principals" ch:"principals"` // all who used it
	Methods     []string  `json:"methods" ch:"methods"`
	Issuers     []string  `json:"issuers" ch:"issuers"`
	Verified    string    `json:"verified" ch:"verified"`         // yes, partly, no
	Lifetime    int64     `json:"lifetime_s" ch:"lifetime_s"`     // seconds; 0 unknown, -1 never expires
	OldestUse   int64     `json:"oldest_use_s" ch:"oldest_use_s"` // seconds since it was issued, at its latest use; 0 unknown
	Scopes      []string  `json:"scopes" ch:"scopes"`
	Audiences   []string  `json:"audiences" ch:"audiences"`
	Hosts       []string  `json:"hosts" ch:"hosts"`
	Addresses   []string  `json:"addresses" ch:"addresses"`
	Clients     []string  `json:"clients" ch:"clients"`
	Servers     []string  `json:"servers" ch:"servers"`
	ServerCount uint64    `json:"server_count" ch:"server_count"`
	Tools       []string  `json:"tools" ch:"tools"`
	ToolCount   uint64    `json:"tool_count" ch:"tool_count"`
	Calls       uint64    `json:"calls" ch:"calls"`
	FirstSeen   time.Time `json:"first_seen" ch:"first_seen"`
	LastSeen    time.Time `json:"last_seen" ch:"last_seen"`
}

// Principal is a user, service or agent; with an empty ID, everything that nobody is known for.
type Principal struct {
	Tenant      string             `json:"tenant" ch:"tenant"`
	ID          string             `json:"principal" ch:"principal_id"`
	Kind        string             `json:"kind" ch:"principal_kind"`
	Methods     []string           `json:"methods" ch:"methods"`
	Issuers     []string           `json:"issuers" ch:"issuers"`
	Verified    string             `json:"verified" ch:"verified"` // yes, partly, no
	Team        string             `json:"team" ch:"team"`
	CostCenter  string             `json:"cost_center" ch:"cost_center"`
	Tokens      []string           `json:"tokens" ch:"tokens"`
	TokenCount  uint64             `json:"token_count" ch:"token_count"`
	Clients     []string           `json:"clients" ch:"clients"`
	Hosts       []string           `json:"hosts" ch:"hosts"`
	Servers     []string           `json:"servers" ch:"servers"`
	ServerCount uint64             `json:"server_count" ch:"server_count"`
	Tools       []string           `json:"tools" ch:"tools"`
	ToolCount   uint64             `json:"tool_count" ch:"tool_count"` // tools of one name on two servers are two
	Calls       uint64             `json:"calls" ch:"calls"`
	FailedCalls uint64             `json:"failed_calls" ch:"failed_calls"`
	ModelTokens uint64             `json:"model_tokens" ch:"model_tokens"`
	Cost        map[string]float64 `json:"cost" ch:"cost"` // by currency
	FirstSeen   time.Time          `json:"first_seen" ch:"first_seen"`
	LastSeen    time.Time          `json:"last_seen" ch:"last_seen"`
}

// Server is an MCP server.
type Server struct {
	Tenant           string    `json:"tenant" ch:"tenant"`
	Name             string    `json:"server" ch:"server"`   // configured
	Claimed          []string  `json:"claimed" ch:"claimed"` // name and version that it gives itself
	Transports       []string  `json:"transports" ch:"transports"`
	ProtocolVersions []string  `json:"protocol_versions" ch:"protocol_versions"`
	Taps             []string  `json:"taps" ch:"taps"`
	Hosts            []string  `json:"hosts" ch:"hosts"`
	Addresses        []string  `json:"addresses" ch:"addresses"`
	Clients          []string  `json:"clients" ch:"clients"`
	Principals       []string  `json:"principals" ch:"principals"`
	PrincipalCount   uint64    `json:"principal_count" ch:"principal_count"`
	Calls            uint64    `json:"calls" ch:"calls"`
	FailedCalls      uint64    `json:"failed_calls" ch:"failed_calls"`
	ToolsCalled      uint64    `json:"tools_called" ch:"tools_called"`
	ToolsListed      uint64    `json:"tools_listed" ch:"tools_listed"`
	DefinitionTokens uint64    `json:"definition_tokens" ch:"definition_tokens"` // of the newest definitions of all its tools
	ToolsApproved    uint64    `json:"tools_approved" ch:"tools_approved"`
	ApprovedBy       string    `json:"approved_by" ch:"approved_by"` // empty: the server is not approved
	ApprovedAt       Time      `json:"approved_at" ch:"approved_at"`
	FirstSeen        time.Time `json:"first_seen" ch:"first_seen"`
	LastSeen         time.Time `json:"last_seen" ch:"last_seen"`
}

// Tool is a tool of a server.
type Tool struct {
	Tenant           string    `json:"tenant" ch:"tenant"`
	Server           string    `json:"server" ch:"server"`
	Name             string    `json:"tool" ch:"tool"`
	Capabilities     []string  `json:"capabilities" ch:"capabilities"`
	Definitions      []string  `json:"definitions" ch:"definitions"` // hashes, newest first
	Versions         uint64    `json:"versions" ch:"versions"`       // definitions ever seen
	DefinitionTokens uint64    `json:"definition_tokens" ch:"definition_tokens"`
	FirstSeen        time.Time `json:"first_seen" ch:"first_seen"`
	LastSeen         time.Time `json:"last_seen" ch:"last_seen"`
	LastCalled       Time      `json:"last_called" ch:"last_called"` // null: not in the window
	Calls            uint64    `json:"calls" ch:"calls"`
	FailedCalls      uint64    `json:"failed_calls" ch:"failed_calls"`
	PrincipalCount   uint64    `json:"principal_count" ch:"principal_count"`
	TokensArguments  uint64    `json:"tokens_arguments" ch:"tokens_arguments"`
	TokensResult     uint64    `json:"tokens_result" ch:"tokens_result"`
	Listed           bool      `json:"listed" ch:"listed"`           // false: called without ever having been listed
	NeverUsed        bool      `json:"never_used" ch:"never_used"`   // listed, not called in the window
	ApprovedBy       string    `json:"approved_by" ch:"approved_by"` // of the newest definition; empty: it is not approved
	ApprovedAt       Time      `json:"approved_at" ch:"approved_at"`
}

// Time is an instant that may be unknown, which the store writes as 1970.
type Time struct{ time.Time }

// Scan takes what the driver read.
func (t *Time) Scan(v any) error {
	x, ok := v.(time.Time)
	if !ok {
		return errors.New("cannot read a time: the column is of another type")
	}
	t.Time = x
	return nil
}

// MarshalJSON writes an unknown time as null.
func (t Time) MarshalJSON() ([]byte, error) {
	if !t.known() {
		return []byte("null"), nil
	}
	return t.Time.MarshalJSON()
}

func (t Time) known() bool { return t.Unix() > 0 }

// ServerTax is what a server's definitions cost the conversations that list them.
type ServerTax struct {
	Tenant          string  `json:"tenant" ch:"tenant"`
	Server          string  `json:"server" ch:"server"`
	Conversations   uint64  `json:"conversations" ch:"conversations"`
	Lists           uint64  `json:"lists" ch:"lists"`
	Delivered       uint64  `json:"delivered" ch:"delivered"` // tokens of all definitions delivered
	Tokens          uint64  `json:"tokens" ch:"tokens"`       // in the context of one conversation, mean
	MaxTokens       uint64  `json:"max_tokens" ch:"max_tokens"`
	Tools           uint64  `json:"tools" ch:"tools"`           // in one list, at most
	ToolsUsed       float64 `json:"tools_used" ch:"tools_used"` // by a conversation, mean
	UnusedShare     float64 `json:"unused_share" ch:"unused_share"`
	NeverUsed       uint64  `json:"never_used_tools" ch:"never_used_tools"` // tools that nobody called in the window
	NeverUsedTokens uint64  `json:"never_used_tokens" ch:"never_used_tokens"`
	ContextShare    float64 `json:"context_share"` // Tokens of Query.ContextWindow
}

// ClientTax is what the definitions of all of a client's servers take of its context together.
type ClientTax struct {
	Tenant       string   `json:"tenant" ch:"tenant"`
	Principal    string   `json:"principal" ch:"principal_id"`
	Client       string   `json:"client" ch:"client_name"`
	Servers      []string `json:"servers" ch:"servers"`
	Tokens       uint64   `json:"tokens" ch:"tokens"` // of each server's latest list
	Tools        uint64   `json:"tools" ch:"tools"`
	ContextShare float64  `json:"context_share"`
}

// ConversationTax is what one conversation paid for one server.
type ConversationTax struct {
	Tenant       string    `json:"tenant" ch:"tenant"`
	Started      time.Time `json:"started" ch:"started"`
	Conversation string    `json:"conversation" ch:"conversation_id"`
	Principal    string    `json:"principal" ch:"principal_id"`
	Client       string    `json:"client" ch:"client_name"`
	Server       string    `json:"server" ch:"server"`
	Lists        uint64    `json:"lists" ch:"lists"`
	Tokens       uint64    `json:"tokens" ch:"tokens"`
	Tools        uint64    `json:"tools" ch:"tools"`
	ToolsUsed    uint64    `json:"tools_used" ch:"tools_used"`
	TokensUnused uint64    `json:"tokens_unused" ch:"tokens_unused"`
	Calls        uint64    `json:"calls" ch:"calls"`
	ContextShare float64   `json:"context_share"`
}

// Row is what Read reads.
type Row interface {
	Token | Principal | Server | Tool | ServerTax | ClientTax | ConversationTax
}

// Query says what to read.
type Query struct {
	Since         time.Time // no event before it counts; whole seconds
	Tenant        string    // empty: all
	Limit         int       // at most so many rows; 0: 1000
	ContextWindow uint64    // tokens of a model's context, for shares; 0: 200,000
}

// DefaultContextWindow is the context, in tokens, that shares are of where none is given.
const DefaultContextWindow = 200_000

// statements by type of row; ? is the tenant twice, then the limit. The tenant is a group key, so that only its part of the store is read.
const (
	whereTenant = " WHERE (? = '' OR tenant = ?) "

	selectTokens = "SELECT tenant, token_fingerprint, owner, owner_kind, owner_team, principals, methods, issuers, verified, lifetime_s, oldest_use_s, scopes, audiences, hosts, " +
		"addresses, clients, servers, server_count, tools, tool_count, calls, first_seen, last_seen FROM inventory_tokens(since = @)" + whereTenant +
		"ORDER BY last_seen DESC, tenant, token_fingerprint LIMIT ?"
	selectPrincipals = "SELECT tenant, principal_id, principal_kind, methods, issuers, verified, team, cost_center, tokens, token_count, clients, hosts, servers, server_count, tools, tool_count, " +
		"calls, failed_calls, model_tokens, cost, first_seen, last_seen FROM inventory_principals(since = @)" + whereTenant + "ORDER BY calls DESC, tenant, principal_id LIMIT ?"
	selectServers = "SELECT tenant, server, claimed, transports, protocol_versions, taps, hosts, addresses, clients, principals, principal_count, calls, failed_calls, tools_called, " +
		"tools_listed, definition_tokens, tools_approved, approved_by, approved_at, first_seen, last_seen FROM inventory_servers(since = @)" + whereTenant + "ORDER BY calls DESC, tenant, server LIMIT ?"
	selectTools = "SELECT tenant, server, tool, capabilities, definitions, versions, definition_tokens, first_seen, last_seen, last_called, calls, failed_calls, principal_count, " +
		"tokens_arguments, tokens_result, listed, never_used, approved_by, approved_at FROM inventory_tools(since = @)" + whereTenant + "ORDER BY calls DESC, definition_tokens DESC, tenant, server, tool LIMIT ?"
	selectServerTax = "SELECT x.tenant AS tenant, x.server AS server, x.conversations AS conversations, x.lists AS lists, x.delivered AS delivered, x.mean AS tokens, x.most AS max_tokens, " +
		"x.tools AS tools, x.used AS tools_used, x.unused AS unused_share, t.n AS never_used_tools, t.tokens AS never_used_tokens FROM (SELECT tenant, server, count() AS conversations, sum(lists) AS lists, " +
		"sum(delivered) AS delivered, toUInt64(avg(tax.tokens)) AS mean, max(tax.tokens) AS most, max(tax.tools) AS tools, avg(tax.tools_used) AS used, sum(tokens_unused) / sum(tax.tokens) AS unused " +
		"FROM token_tax(since = @) AS tax" + whereTenant + "GROUP BY tenant, server) AS x LEFT JOIN (SELECT tenant, server, countIf(never_used) AS n, sumIf(definition_tokens, never_used) AS tokens " +
		"FROM inventory_tools(since = @) GROUP BY tenant, server) AS t ON t.tenant = x.tenant AND t.server = x.server ORDER BY max_tokens DESC, tenant, server LIMIT ?"
	selectClientTax = "SELECT tenant, principal_id, client_name, arraySort(groupUniqArray(1000)(toString(server))) AS servers, sum(latest) AS tokens, sum(n) AS tools FROM (SELECT tenant, principal_id, client_name, " +
		"server, argMax(tax.tokens, started) AS latest, argMax(tax.tools, started) AS n FROM token_tax(since = @) AS tax" + whereTenant + "GROUP BY tenant, principal_id, client_name, server) " +
		"GROUP BY tenant, principal_id, client_name ORDER BY tokens DESC, tenant, principal_id, client_name LIMIT ?"
	selectConversationTax = "SELECT tenant, started, conversation_id, principal_id, client_name, server, lists, tokens, tools, tools_used, tokens_unused, calls FROM token_tax(since = @)" + whereTenant +
		"ORDER BY started DESC, tenant, conversation_id, server LIMIT ?"
)

// Read reads rows of one type, the most telling first. more says that there were more than the limit.
func Read[R Row](ctx context.Context, c *store.Conn, q Query) (rows []R, more bool, err error) {
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	if q.ContextWindow == 0 {
		q.ContextWindow = DefaultContextWindow
	}
	var r R
	var sql string
	switch any(r).(type) {
	case Token:
		sql = selectTokens
	case Principal:
		sql = selectPrincipals
	case Server:
		sql = selectServers
	case Tool:
		sql = selectTools
	case ServerTax:
		sql = selectServerTax
	case ClientTax:
		sql = selectClientTax
	case ConversationTax:
		sql = selectConversationTax
	}
	sql = since(sql, q.Since)
	err = c.Select(ctx, &rows, sql, q.Tenant, q.Tenant, q.Limit+1)
	if err := readError(err); err != nil {
		return nil, false, err
	}
	if len(rows) > q.Limit {
		rows, more = rows[:q.Limit], true
	}
	if rows == nil {
		rows = []R{}
	}
	for i := range rows {
		switch x := any(&rows[i]).(type) {
		case *ServerTax:
			x.ContextShare = float64(x.Tokens) / float64(q.ContextWindow)
		case *ClientTax:
			x.ContextShare = float64(x.Tokens) / float64(q.ContextWindow)
		case *ConversationTax:
			x.ContextShare = float64(x.Tokens) / float64(q.ContextWindow)
		}
	}
	return rows, more, nil
}

func readError(err error) error {
	var ex *clickhouse.Exception
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ex) && (ex.Code == 60 || ex.Code == 46): // unknown table, unknown table function
		return fmt.Errorf("cannot read the inventory: the store has no such view; run `mcpsiem migrate`")
	}
	return fmt.Errorf("cannot read the inventory: %w", err)
}

// since puts the window's start in place of each @: a view's parameter cannot be bound, and this is no one's text but ours.
func since(sql string, t time.Time) string {
	out := make([]byte, 0, len(sql)+48)
	for i := range len(sql) {
		if sql[i] == '@' {
			out = append(out, '\'')
			out = t.UTC().AppendFormat(out, time.DateTime)
			out = append(out, '\'')
			continue
		}
		out = append(out, sql[i])
	}
	return string(out)
}
