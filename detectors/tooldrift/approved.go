package tooldrift

// Definitions that somebody approved.

import (
	"slices"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// approval says whether the record approves something of a server, or revokes it.
func approval(e *event.Event) bool {
	return e.AuditAction == string(audit.ServerApprove) || e.AuditAction == string(audit.ServerRevoke)
}

// approve remembers or forgets what an audit record names: a definition, a tool, or with neither the whole server.
func (s *state) approve(e *event.Event) {
	key, hash := nameKey(e.Tool), short(e.AuditDetails[audit.DetailDefinition])
	if e.AuditAction == string(audit.ServerRevoke) {
		if e.Tool == "" {
			s.Approved = nil
		} else {
			delete(s.Approved, key)
		}
		return
	}
	if e.Tool == "" || hash == "" || slices.Contains(s.Approved[key], hash) || s.Approved[key] == nil && len(s.Approved) >= maxTools {
		return
	}
	if s.Approved == nil {
		s.Approved = map[string][]string{}
	}
	s.Approved[key] = append(s.Approved[key], hash)
	if n := len(s.Approved[key]); n > maxHashes {
		s.Approved[key] = s.Approved[key][n-maxHashes:]
	}
}
