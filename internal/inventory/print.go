// Tables for people.

package inventory

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// Style says how tables are written.
type Style struct {
	Clean    func(string) string // makes foreign text fit for a terminal
	Location *time.Location      // nil: local time
}

// Bounds of a cell.
const (
	maxCell  = 48 // characters of one name
	maxNames = 4  // names of a list
)

// Print writes rows as a table.
func Print[R Row](w io.Writer, rows []R, s Style) error {
	if s.Location == nil {
		s.Location = time.Local
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var r R
	line := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")) }
	switch any(r).(type) {
	case Token:
		line("FINGERPRINT", "TENANT", "OWNER", "TEAM", "METHOD", "VERIFIED", "LIFETIME", "SCOPES", "FROM", "SERVERS", "TOOLS", "CALLS", "FIRST SEEN", "LAST SEEN")
	case Principal:
		line("PRINCIPAL", "TENANT", "KIND", "METHOD", "VERIFIED", "TEAM", "COST CENTRE", "TOKENS", "SERVERS", "TOOLS", "CALLS", "FAILED", "MODEL TOKENS", "COST", "LAST SEEN")
	case Server:
		line("SERVER", "TENANT", "CALLS ITSELF", "TRANSPORT", "PROTOCOL", "TAPS", "HOSTS", "PRINCIPALS", "CALLS", "FAILED", "TOOLS CALLED", "LISTED", "DEFINITIONS", "APPROVED", "LAST SEEN")
	case Tool:
		line("TOOL", "SERVER", "TENANT", "CAN", "DEFINITION", "APPROVED", "VERSIONS", "TOKENS", "CALLS", "FAILED", "PRINCIPALS", "FIRST SEEN", "LAST SEEN", "LAST CALLED")
	case ServerTax:
		line("SERVER", "TENANT", "CONVERSATIONS", "TOKENS EACH", "MOST", "OF CONTEXT", "TOOLS", "USED EACH", "UNUSED", "NEVER USED", "THEIR TOKENS", "DELIVERED")
	case ClientTax:
		line("PRINCIPAL", "CLIENT", "TENANT", "SERVERS", "TOOLS", "TOKENS", "OF CONTEXT")
	case ConversationTax:
		line("STARTED", "CONVERSATION", "TENANT", "PRINCIPAL", "CLIENT", "SERVER", "TOOLS", "USED", "TOKENS", "UNUSED", "OF CONTEXT", "CALLS")
	}
	for i := range rows {
		switch x := any(&rows[i]).(type) {
		case *Token:
			from := x.Hosts
			if len(from) == 0 {
				from = x.Addresses
			}
			line(s.name(x.Fingerprint), s.name(x.Tenant), s.who(x.Owner, x.Principals), s.name(x.OwnerTeam), s.names(append(slices.Clone(x.Methods), x.Issuers...)), x.Verified, lifetime(x.Lifetime),
				s.names(x.Scopes), s.names(from), s.names(x.Servers), num(x.ToolCount), num(x.Calls), s.time(x.FirstSeen), s.time(x.LastSeen))
		case *Principal:
			line(s.name(x.ID), s.name(x.Tenant), s.name(x.Kind), s.names(x.Methods), x.Verified, s.name(x.Team), s.name(x.CostCenter), num(x.TokenCount), s.names(x.Servers), num(x.ToolCount), num(x.Calls),
				num(x.FailedCalls), num(x.ModelTokens), s.cost(x.Cost), s.time(x.LastSeen))
		case *Server:
			line(s.name(x.Name), s.name(x.Tenant), s.names(x.Claimed), s.names(x.Transports), s.names(x.ProtocolVersions), s.names(x.Taps), s.names(x.Hosts), num(x.PrincipalCount), num(x.Calls), num(x.FailedCalls),
				num(x.ToolsCalled), num(x.ToolsListed), num(x.DefinitionTokens), s.approved(x.ApprovedBy, x.ApprovedAt), s.time(x.LastSeen))
		case *Tool:
			called := "never"
			if x.LastCalled.known() {
				called = s.time(x.LastCalled.Time)
			}
			hash := "not listed"
			if len(x.Definitions) > 0 {
				hash = s.Clean(x.Definitions[0][:min(12, len(x.Definitions[0]))])
			}
			line(s.name(x.Name), s.name(x.Server), s.name(x.Tenant), s.names(x.Capabilities), hash, s.approved(x.ApprovedBy, x.ApprovedAt), num(x.Versions), num(x.DefinitionTokens), num(x.Calls), num(x.FailedCalls), num(x.PrincipalCount),
				s.time(x.FirstSeen), s.time(x.LastSeen), called)
		case *ServerTax:
			line(s.name(x.Server), s.name(x.Tenant), num(x.Conversations), num(x.Tokens), num(x.MaxTokens), percent(x.ContextShare), num(x.Tools), fmt.Sprintf("%.1f", x.ToolsUsed), percent(x.UnusedShare), num(x.NeverUsed),
				num(x.NeverUsedTokens), num(x.Delivered))
		case *ClientTax:
			line(s.name(x.Principal), s.name(x.Client), s.name(x.Tenant), s.names(x.Servers), num(x.Tools), num(x.Tokens), percent(x.ContextShare))
		case *ConversationTax:
			line(s.time(x.Started), s.name(x.Conversation), s.name(x.Tenant), s.name(x.Principal), s.name(x.Client), s.name(x.Server), num(x.Tools), num(x.ToolsUsed), num(x.Tokens), num(x.TokensUnused),
				percent(x.ContextShare), num(x.Calls))
		}
	}
	return tw.Flush()
}

func (s Style) name(v string) string {
	if v == "" {
		return "-"
	}
	if len(v) > 4*maxCell { // before it is cleaned: names may be of any length
		v = v[:4*maxCell]
	}
	v = s.Clean(strings.ToValidUTF8(v, "�"))
	if utf8.RuneCountInString(v) > maxCell {
		v = string([]rune(v)[:maxCell-1]) + "…"
	}
	return v
}

// approved is who approved it, and when.
func (s Style) approved(by string, at Time) string {
	if !at.known() {
		return "no"
	}
	return s.name(by) + " " + s.time(at.Time)
}

func (s Style) names(list []string) string {
	if len(list) == 0 {
		return "-"
	}
	shown := make([]string, 0, maxNames)
	for _, v := range list[:min(len(list), maxNames)] {
		shown = append(shown, s.name(v))
	}
	if n := len(list) - len(shown); n > 0 {
		shown = append(shown, "+"+strconv.Itoa(n))
	}
	return strings.Join(shown, " ")
}

// who is an owner, and how many others use what is theirs.
func (s Style) who(owner string, all []string) string {
	out := s.name(owner)
	if n := len(all) - 1; n > 0 {
		out += " +" + strconv.Itoa(n)
	}
	return out
}

func (s Style) time(t time.Time) string { return t.In(s.Location).Format(time.DateTime) }

func (s Style) cost(m map[string]float64) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%.4f %s", m[k], s.name(k)))
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, " ")
}

func num(n uint64) string { return strconv.FormatUint(n, 10) }

func percent(f float64) string { return fmt.Sprintf("%.1f%%", 100*f) }

// lifetime in the largest unit that it is a whole number of, or that leaves little.
func lifetime(seconds int64) string {
	switch d := time.Duration(seconds) * time.Second; {
	case seconds == 0:
		return "?"
	case seconds < 0:
		return "never ends"
	case seconds >= 2*86400:
		return strconv.FormatInt(seconds/86400, 10) + "d"
	case seconds >= 2*3600:
		return strconv.FormatInt(seconds/3600, 10) + "h"
	default:
		return d.String()
	}
}
