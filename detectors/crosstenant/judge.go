package crosstenant

import (
	"strconv"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// judgement is one event, held against all that is known.
type judgement struct {
	d *detector
	c *engine.Context
	e *event.Event
	s *state

	me           owner
	perPrincipal bool
	server       string
	previous     uint32 // the tenant that used the connection before
}

// level is between whom data must not pass.
type level uint8

const (
	tenants level = iota
	principals
)

func (l level) String() string { return [...]string{"tenant", "principal"}[l] }

func (l level) of(t, p uint32) uint32 {
	if l == tenants {
		return t
	}
	return p
}

// identify says who the event is for.
func (x *judgement) identify() {
	e := x.e
	t := ownerHash(generation.Hash("t", x.c.Tenant))
	p := t
	if e.PrincipalID != "" {
		p = ownerHash(generation.Hash("p", x.c.Tenant, e.PrincipalIssuer, e.PrincipalID))
	}
	exchange := e.ExchangeID
	if exchange == "" {
		exchange = e.ID
	}
	x.me = owner{tenant: t, principal: p, minute: uint32(max(x.c.Now, 0) / 60e9), exchange: uint16(generation.Hash(exchange))}
	x.server = generation.Server(e)
	if e.PrincipalID != "" {
		for _, g := range x.d.conf.PerPrincipal {
			x.perPrincipal = x.perPrincipal || match(g, x.server)
		}
	}
	x.name(t, x.c.Tenant)
	if x.perPrincipal {
		x.name(p, e.PrincipalID)
	}
	switch s := x.s; {
	case s.First == "":
		s.First, s.Tenants = x.c.Tenant, 1
	case s.First != x.c.Tenant:
		s.Tenants = 2
	}
}

func (x *judgement) name(h uint32, name string) {
	if _, ok := x.s.Names.Get(uint64(h), maxNames); !ok {
		x.s.Names.Put(uint64(h), engine.Name(name), maxNames)
	}
}

// nameOf is how a finding calls an owner.
func (x *judgement) nameOf(h uint32, l level) string {
	if n, ok := x.s.Names.Get(uint64(h), maxNames); ok && (l == principals || x.d.conf.NameOwners) {
		return n
	}
	return "another " + l.String()
}

// tally is how an event's fingerprints relate to others.
type tally struct {
	others [8]other
	n      int
	own    int        // the receiver's own, or new
	mine   [kinds]int // of those, by kind
}

// other is an owner whose content the event seems to hold.
type other struct {
	hash   uint32
	strong [kinds]int // with support
	all    [kinds]int
	from   uint16 // the exchange of the first
	same   int    // how many were last seen in that one
	total  int
}

// whole says that most of the answer stood in one answer for the other before.
func (o *other) whole(own int) bool { return o.same >= 3 && 2*o.same >= own+o.total }

func (t *tally) of(h uint32, from uint16) *other {
	for i := range t.others[:t.n] {
		if t.others[i].hash == h {
			return &t.others[i]
		}
	}
	if t.n == len(t.others) {
		return &t.others[t.n-1]
	}
	t.others[t.n] = other{hash: h, from: from}
	t.n++
	return &t.others[t.n-1]
}

// judge learns from the event's content and raises what is another's.
func (x *judgement) judge() {
	e, s := x.e, x.s
	x.d.buf = sample(x.d.buf[:0], e.Fingerprints)
	if e.ResourceURI != "" {
		x.d.buf = append(x.d.buf, generation.Hash("uri", e.ResourceURI)&^7|uint64(shingle.Identifier))
	}
	prints := x.d.buf
	if len(prints) == 0 {
		return
	}
	var accused uint32
	level := tenants
	if s.Tenants > 1 {
		accused = x.level(tenants, prints)
	}
	if accused == 0 && x.perPrincipal {
		level = principals
		accused = x.level(principals, prints)
	}
	for _, f := range prints {
		if accused != 0 {
			if en, ok := s.ledger.get(f); ok && level.of(en.tenant, en.principal) == accused {
				continue // it stays its owner's
			}
		}
		s.ledger.seen(f, x.me)
	}
}

// level judges between tenants, or between principals, and returns whose content was found with another.
func (x *judgement) level(l level, prints []uint64) (accused uint32) {
	e, s, conf := x.e, x.s, &x.d.conf
	me := l.of(x.me.tenant, x.me.principal)
	request := e.Kind == event.KindRequest
	part := "result"
	if request {
		part = "arguments"
	}
	toolKey := generation.Hash("tool", l.String(), part, x.server, e.Method, e.Tool)
	t, _ := s.Tools.Get(toolKey, maxTools)
	if t.First == 0 {
		t.First = me
	} else if t.First != me {
		t.Several = true
	}

	var y tally
	for _, f := range prints {
		k := shingle.KindOf(f)
		en, ok := s.ledger.get(f)
		who := l.of(en.tenant, en.principal)
		switch {
		case !ok || who == me:
			y.own++
			y.mine[k]++
		case who == several, l == principals && en.tenant != x.me.tenant:
		default:
			o := y.of(who, en.from)
			o.all[k]++
			o.total++
			if int64(en.support) >= conf.Support {
				o.strong[k]++
			}
			if en.from == o.from {
				o.same++
			}
		}
	}
	habit, _ := s.Servers.Get(generation.Hash("habit", l.String(), x.server), maxServers)
	usable := func(k shingle.Kind) bool { // whether content of this kind says anything at this tool
		if k == shingle.Person || k == shingle.Organisation {
			return t.Overlap[k] <= 1+2*conf.MaxShared*t.Seen[k]
		}
		return t.Seen[k] >= float64(conf.Warmup) && t.share(int(k)) <= conf.MaxShared
	}
	var worst *other
	var why string
	for i := range y.others[:y.n] {
		o := &y.others[i]
		var strong, all [kinds]int
		for k := range kinds {
			if usable(shingle.Kind(k)) {
				strong[k], all[k] = o.strong[k], o.all[k]
				if k := shingle.Kind(k); (k == shingle.Person || k == shingle.Organisation) && habit.firm(k) {
					strong[k] = all[k] // where each has one name, once is enough
				}
			}
		}
		names := strong[shingle.Person] + strong[shingle.Organisation]
		found := ""
		switch {
		case names > 0:
			found = "named"
		case request && (strong[shingle.Value] > 1 || strong[shingle.Value]+strong[shingle.Identifier] > 0 && y.own == 0):
			found = "values"
		case request:
		case strong[shingle.Value]+strong[shingle.Identifier] >= 2:
			found = "values"
		case o.whole(y.own) && all[shingle.Value]+all[shingle.Identifier]+all[shingle.Person]+all[shingle.Organisation] >= 2,
			o.whole(y.own) && o.all[shingle.Value] >= 2 && t.Seen[shingle.Value] >= float64(conf.Warmup) && t.Whole <= conf.MaxShared*t.Seen[shingle.Value]:
			found = "same_answer"
		case all[shingle.Run] >= 4 && 10*o.total >= 6*(y.own+o.total):
			found = "text"
		}
		if found != "" && (worst == nil || o.total > worst.total) {
			worst, why = o, found
		}
	}
	if t.Several {
		for k := range kinds {
			foreign := 0
			for i := range y.others[:y.n] {
				foreign += y.others[i].all[k]
			}
			if foreign+y.mine[k] > 0 {
				t.count(k, foreign > 0)
			}
		}
		for i := range y.others[:y.n] {
			if o := &y.others[i]; o.whole(y.own) && o.all[shingle.Value] >= 2 {
				t.Whole++
				if worst != nil {
					t.Whole -= 0.5 // of what was raised only half counts as a habit
				}
			}
		}
	}
	s.Tools.Put(toolKey, t, maxTools)
	if worst == nil {
		x.names(l, me, part, prints)
		if !request {
			s.Evidence.Put(generation.Hash("evidence", strconv.FormatUint(uint64(me), 16), x.server, e.Tool), e.ID, maxSubjects)
		}
		return 0
	}
	x.raise(l, worst, part, why, y.own, &t)
	return worst.hash
}

func (x *judgement) raise(l level, o *other, part, found string, own int, t *tool) {
	e := x.e
	who, what := x.nameOf(o.hash, l), "Data of another "+l.String()
	me := engine.Name(x.c.Tenant)
	if l == principals {
		me = engine.Name(e.PrincipalID)
	}
	severity, confidence := engine.High, 0.75
	if part == "arguments" {
		what = "Arguments about another " + l.String()
		severity, confidence = engine.Medium, 0.6
	}
	if l == principals {
		severity = engine.Medium
	}
	if found == "values" && own > o.total { // a record or two among the receiver's own: perhaps one that both have
		severity, confidence = engine.Medium, 0.5
	}
	if found == "text" { // the same words may be anybody's, unless nothing of the tool ever is
		severity, confidence = engine.Low, 0.3
		if t.Seen[shingle.Run] >= firmTexts && t.share(int(shingle.Run)) <= firmShare {
			severity, confidence = engine.Medium, 0.5
		}
	}
	why := map[string]string{
		"between": l.String() + "s", "owner": who, "receiver": me, "where": part, "found": found,
		"named": strconv.Itoa(o.strong[shingle.Person] + o.strong[shingle.Organisation]), "values": strconv.Itoa(o.all[shingle.Value]), "identifiers": strconv.Itoa(o.all[shingle.Identifier]),
		"texts": strconv.Itoa(o.all[shingle.Run]), "receivers_own_or_new": strconv.Itoa(own), "tool_shares_values": percent(t.share(int(shingle.Value))),
	}
	evidence := []string{"content that only " + who + " had been seen with: " + strconv.Itoa(o.total) + " fingerprints"}
	switch {
	case x.previous == o.hash && l == tenants:
		what = "Connection kept the context of another tenant"
		why["connection"] = "used by the owner before"
		evidence = append(evidence, "the connection was used by "+who+" before")
	case o.same >= 3 && 2*o.same >= o.total && part == "result":
		why["same_answer"] = strconv.Itoa(o.same)
		evidence = append(evidence, strconv.Itoa(o.same)+" of them stood together in one answer for "+who+" last")
		what = "Answer for another " + l.String() + " served again"
	}
	var ids []string
	if ev, ok := x.s.Evidence.Get(generation.Hash("evidence", strconv.FormatUint(uint64(o.hash), 16), x.server, e.Tool), maxSubjects); ok && (l == principals || x.d.conf.NameOwners) {
		ids = append(ids, ev)
		evidence = append(evidence, "the first event is the owner's latest of this tool")
	}
	if e.ID != "" {
		ids = append(ids, e.ID)
	}
	verb := "got data of"
	if part == "arguments" {
		verb = "asked about"
	}
	tool := ""
	if e.Tool != "" {
		tool = ", tool " + engine.Name(e.Tool)
	}
	x.c.Emit(engine.Alert{
		Scope:  []string{l.String(), part, strconv.FormatUint(uint64(o.hash), 16), strconv.FormatUint(uint64(l.of(x.me.tenant, x.me.principal)), 16), x.server, e.Tool},
		Window: x.d.conf.Repeat, Title: what, Severity: severity, Confidence: confidence,
		Summary:  upper(l.String()) + " " + me + " " + verb + " " + who + " at server " + engine.Name(x.server) + tool + ".",
		Evidence: evidence, Why: why, EventIDs: ids, Count: int64(o.total),
	})
}

// Of a server on which each owner has one name.
const (
	settledName   = 2   // times that an owner went by a name
	settledOwners = 5   // owners that have one name each
	manyOwners    = 0.1 // share of owners with several names
	oddNames      = 3   // times that another name is seen before it is taken for normal

	firmOwners = 15 // owners that have one name each, with fewer exceptions: a name says whose data it is at first sight
	firmMany   = 0.05

	firmTexts = 100 // answers of a tool after which a text that two tenants got is odd, if so few were before
	firmShare = 0.01
)

// holds says that owners have one name each at the server, as far as is known.
func (h *habit) holds(k shingle.Kind) bool {
	return h.Single[k] > settledOwners && float64(h.Many[k]) <= manyOwners*float64(h.Single[k])
}

// firm says that this is beyond doubt.
func (h *habit) firm(k shingle.Kind) bool {
	return h.Single[k] >= firmOwners && float64(h.Many[k]) <= firmMany*float64(h.Single[k])
}

// names finds data under another name than the owner's, where each owner has one.
func (x *judgement) names(l level, me uint32, part string, prints []uint64) {
	var one [kinds]uint64
	var several [kinds]bool
	any := false
	for _, f := range prints {
		k := shingle.KindOf(f)
		if k != shingle.Person && k != shingle.Organisation {
			continue
		}
		any = true
		if one[k] != 0 {
			several[k] = true
		}
		one[k] = f
	}
	if !any {
		return
	}
	s := x.s
	key := generation.Hash("names", l.String(), strconv.FormatUint(uint64(me), 16), x.server)
	habitKey := generation.Hash("habit", l.String(), x.server)
	n, _ := s.Subjects.Get(key, maxSubjects)
	h, _ := s.Servers.Get(habitKey, maxServers)
	for _, k := range []shingle.Kind{shingle.Person, shingle.Organisation} {
		if one[k] == 0 || n.Many[k] {
			continue
		}
		settled := n.Count[k] >= settledName || n.Count[k] > 0 && h.firm(k)
		switch {
		case n.Name[k] == 0 && !several[k]:
			n.Name[k], n.Count[k] = one[k], 1
		case n.Name[k] == one[k] && !several[k]:
			n.Count[k]++
			if n.Count[k] == settledName {
				h.Single[k]++
				n.Counted[k] = true
			}
		case settled && h.holds(k) && n.Odd[k] < oddNames:
			n.Odd[k]++
			x.oddName(l, part, int(h.Single[k]))
		default:
			n.Many[k] = true
			if n.Counted[k] {
				h.Single[k]--
			}
			h.Many[k]++
		}
	}
	s.Subjects.Put(key, n, maxSubjects)
	s.Servers.Put(habitKey, h, maxServers)
}

func (x *judgement) oddName(l level, part string, owners int) {
	me := engine.Name(x.c.Tenant)
	if l == principals {
		me = engine.Name(x.e.PrincipalID)
	}
	x.c.Emit(engine.Alert{
		Scope:  []string{"name", l.String(), part, strconv.FormatUint(uint64(l.of(x.me.tenant, x.me.principal)), 16), x.server},
		Window: x.d.conf.Repeat, Title: "Data under a name that is not the " + l.String() + "'s", Severity: engine.Medium, Confidence: 0.6,
		Summary: upper(l.String()) + " " + me + ", who has always gone by one name at server " + engine.Name(x.server) + ", has another in its " + part + ".",
		Why: map[string]string{
			"between": l.String() + "s", "receiver": me, "where": part, "found": "other_name", "owners_with_one_name": strconv.Itoa(owners),
		},
	})
}

func percent(f float64) string { return strconv.FormatFloat(100*f, 'f', 1, 64) + "%" }

func upper(s string) string { return string(s[0]-'a'+'A') + s[1:] }
