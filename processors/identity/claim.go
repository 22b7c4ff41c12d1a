package identity

import (
	"cmp"
	"slices"
	"time"

	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// Methods: how an identity was established (mcpsiem.principal.method).
const (
	methodJWT         = "jwt"
	methodMTLS        = "mtls"
	methodOpaqueToken = "opaque_token"
	methodAPIKey      = "api_key"
	methodOSUser      = "os_user"
	methodProxyHeader = "proxy_header"
	methodResource    = "resource"
	methodClientInfo  = "client_info"
	methodNone        = "none"
)

// strength orders claims; the strongest one names the principal.
type strength uint8

// From weakest to strongest. A claim below claimOnly+1 is kept, but never names the principal.
const (
	refused      strength = iota // a token that a known issuer did not sign, or that nobody could have
	claimOnly                    // what a client says of itself
	unknownKey                   // an API key that is not enrolled
	unknownToken                 // an opaque token that is not enrolled
	named                        // an attribute of other telemetry
	unverifiedJWT
	proxyHeader
	osUser
	enrolledKey
	enrolledToken
	mtls
	verifiedJWT
)

// maxClaims bounds what one event can claim.
const maxClaims = 16

// claim is one identity that an event carries.
type claim struct {
	strength strength
	method   string
	id       string
	issuer   string
	kind     string
	verified bool
	person   *ident.Person // nil if not in the directory
	actors   []string      // RFC 8693, current actor first
}

// text is the claim as mcpsiem.principal.claims lists it.
func (c *claim) text() string {
	if c.verified {
		return c.method + ":" + c.id + "!"
	}
	return c.method + ":" + c.id
}

// claims are the identities of one event with what is signalled about them. Reused between events.
type claims struct {
	list    []claim
	signals []string // names without duplicates
}

func (cs *claims) reset() { cs.list, cs.signals = cs.list[:0], cs.signals[:0] }

func (cs *claims) add(c claim) {
	if c.id == "" || len(cs.list) == maxClaims {
		return
	}
	for i := range cs.list {
		if o := &cs.list[i]; o.method == c.method && o.id == c.id {
			if c.strength > o.strength {
				*o = c
			}
			return
		}
	}
	cs.list = append(cs.list, c)
}

func (cs *claims) signal(name string) {
	if !slices.Contains(cs.signals, name) {
		cs.signals = append(cs.signals, name)
	}
}

// rank sorts the claims, strongest first, and returns the one that names the principal, or nil.
func (cs *claims) rank() *claim {
	slices.SortStableFunc(cs.list, func(a, b claim) int { return cmp.Compare(b.strength, a.strength) })
	if len(cs.list) == 0 || cs.list[0].strength <= claimOnly {
		return nil
	}
	return &cs.list[0]
}

// judge signals what the directory says of the principal at the time of the event.
func (cs *claims) judge(c *claim, inDirectory bool, at time.Time) {
	if c == nil {
		return
	}
	if c.person == nil {
		if inDirectory && c.kind != ident.KindUnknown { // a bare fingerprint is token.unregistered already
			cs.signal(SignalUnknownOwner)
		}
		return
	}
	switch c.person.Standing(at) {
	case ident.Suspended:
		cs.signal(SignalSuspendedOwner)
	case ident.Departed:
		cs.signal(SignalAfterDeparture)
	}
	// Two users at once: a user's token on another user's machine or certificate.
	for i := range cs.list {
		o := &cs.list[i]
		if o.verified && c.verified && o.person != nil && o.person != c.person &&
			o.person.Kind == ident.KindUser && c.person.Kind == ident.KindUser {
			cs.signal(SignalConflict)
		}
	}
}
