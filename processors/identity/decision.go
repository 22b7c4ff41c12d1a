package identity

import (
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Values of mcpsiem.auth.decision.
const (
	decisionGranted           = "granted"
	decisionDenied            = "denied"
	decisionInsufficientScope = "insufficient_scope"
	decisionUnauthenticated   = "unauthenticated"
)

// decision is what the server decided, as its HTTP status tells (MCP authorization, RFC 6750 section 3.1). A source that saw
// no status may say it itself.
func decision(v *view, presented bool) string {
	if v.answer() {
		switch {
		case v.status == 401:
			return decisionUnauthenticated
		case v.status == 403:
			if strings.Contains(v.header("www-authenticate"), "insufficient_scope") {
				return decisionInsufficientScope
			}
			return decisionDenied
		case v.status >= 200 && v.status < 300 && presented:
			return decisionGranted
		}
	}
	if v.status == 0 && v.kind != event.KindRecord {
		switch v.decision {
		case decisionGranted, decisionDenied, decisionInsufficientScope, decisionUnauthenticated:
			return v.decision
		}
	}
	return ""
}
