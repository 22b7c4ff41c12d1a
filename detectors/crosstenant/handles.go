package crosstenant

import (
	"strconv"
	"strings"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// handles finds sessions, tasks and credentials in two hands, and notes who used a connection before.
func (x *judgement) handles() {
	e := x.e
	if e.SessionID != "" {
		x.handle("session", engine.High, engine.Medium, x.server, e.SessionID)
	}
	if e.TaskID != "" {
		x.handle("task", engine.High, engine.Medium, x.server, e.TaskID)
	}
	if e.TokenFingerprint != "" && e.Direction == event.ClientToServer {
		severity := engine.Medium
		if e.PrincipalKind == "service" || e.PrincipalKind == "agent" {
			severity = engine.Low
		}
		x.handle("credential", severity, "", e.TokenFingerprint)
	}
	var key uint64
	switch {
	case e.SessionID != "":
		key = generation.Hash("connection", x.server, e.SessionID)
	case e.PID != 0:
		key = generation.Hash("connection", e.TapID, x.server, strconv.FormatInt(e.PID, 10))
	default:
		return
	}
	h, ok := x.s.Handles.Get(key, maxHandles)
	if ok && h.Tenant != x.me.tenant {
		h.Principal = h.Tenant // of a connection: the tenant before
	}
	x.previous = h.Principal
	if !ok || h.Tenant != x.me.tenant {
		h.Tenant = x.me.tenant
		x.s.Handles.Put(key, h, maxHandles)
	}
}

// handle notes who uses a handle, and raises its use by another tenant, or, where that has a severity, another principal.
func (x *judgement) handle(what, severity, between string, parts ...string) {
	key := generation.Hash(append([]string{what}, parts...)...)
	s, c, e := x.s, x.c, x.e
	h, ok := s.Handles.Get(key, maxHandles)
	who := x.me.principal
	if e.PrincipalID == "" || strings.HasPrefix(e.PrincipalID, "fp-") {
		who = 0 // nobody that could be compared
	}
	if !ok {
		if who != 0 && between != "" {
			x.name(who, e.PrincipalID)
		}
		s.Handles.Put(key, handle{Tenant: x.me.tenant, Principal: who, At: c.Now, Event: e.ID}, maxHandles)
		return
	}
	if h.Tenant == x.me.tenant && (h.Principal == who || who == 0) {
		return
	}
	if h.Tenant == x.me.tenant && h.Principal == 0 {
		h.Principal = who
		s.Handles.Put(key, h, maxHandles)
		return
	}
	l := tenants
	if h.Tenant == x.me.tenant {
		if between == "" {
			return
		}
		l, severity = principals, between
		x.name(who, e.PrincipalID)
	}
	other := l.of(h.Tenant, h.Principal)
	ids := []string{e.ID}
	if h.Event != "" && (l == principals || x.d.conf.NameOwners) {
		ids = []string{h.Event, e.ID}
	}
	me := engine.Name(c.Tenant)
	if l == principals {
		me = engine.Name(e.PrincipalID)
	}
	c.Emit(engine.Alert{
		Scope: []string{what, strconv.FormatUint(key, 16), l.String(), strconv.FormatUint(uint64(l.of(x.me.tenant, who)), 16)}, Window: x.d.conf.Repeat,
		Title: "One " + what + " of two " + l.String() + "s", Severity: severity, Confidence: 0.9,
		Summary:   "A " + what + " of " + x.nameOf(other, l) + " was used by " + l.String() + " " + me + " at server " + engine.Name(x.server) + ".",
		Why:       map[string]string{"between": l.String() + "s", "handle": what, "owner": x.nameOf(other, l), "receiver": me, "found": "handle"},
		EventIDs:  ids,
		FirstSeen: min(h.At, c.Now),
	})
}

// foreignDeclared raises the use of what is declared to be another tenant's.
func (x *judgement) foreignDeclared(owner, by string) {
	e, c := x.e, x.c
	if !x.d.conf.NameOwners {
		owner = "another tenant"
	}
	c.Emit(engine.Alert{
		Scope: []string{"declared", by, owner, x.server, e.Tool}, Window: x.d.conf.Repeat,
		Title: "Use of what is declared another tenant's", Severity: engine.High, Confidence: 0.95,
		Summary: "Tenant " + engine.Name(c.Tenant) + " used server " + engine.Name(x.server) + " with a " + by + " that is declared to be " + engine.Name(owner) + "'s.",
		Why:     map[string]string{"between": "tenants", "owner": engine.Name(owner), "receiver": engine.Name(c.Tenant), "declared": by, "found": "declared"},
	})
}
