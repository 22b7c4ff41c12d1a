package identity

import (
	"slices"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/event"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// bindings enrol senders for tenants. A sender is known, in this order, by the credential with which it presented its records
// to the collector, by an attribute, or by its tap id. The credential is proven; the others are as good as the sender's word,
// so bind them only where a credential cannot be.
type bindings struct {
	credential map[string]string
	tap        map[string]string
	attrs      []string
	values     []map[string]string // by index in attrs
	enrolled   map[string]bool     // tenants that take events of enrolled senders only
	deflt      string
}

func newBindings(cfg *Config) bindings {
	b := bindings{credential: map[string]string{}, tap: map[string]string{}, enrolled: map[string]bool{}, deflt: cfg.DefaultTenant}
	for _, c := range cfg.Bindings {
		b.enrolled[c.Tenant] = true
		switch {
		case c.Credential != "":
			b.credential[strings.ToLower(c.Credential)] = c.Tenant
		case c.Tap != "":
			b.tap[c.Tap] = c.Tenant
		default:
			i := slices.Index(b.attrs, c.Attribute)
			if i < 0 {
				i = len(b.attrs)
				b.attrs = append(b.attrs, c.Attribute)
				b.values = append(b.values, map[string]string{})
			}
			b.values[i][c.Value] = c.Tenant
		}
	}
	return b
}

// binding is the tenant that the sender is enrolled for, by the strongest thing known of it, and whether weaker ones
// contradict.
func (b *bindings) binding(v *view) (tenant string, contradicted bool) {
	if len(b.enrolled) == 0 {
		return "", false
	}
	add := func(t string, ok bool) {
		switch {
		case !ok:
		case tenant == "":
			tenant = t
		case tenant != t:
			contradicted = true
		}
	}
	t, ok := b.credential[v.credential]
	for i := 0; !ok && i < len(v.former); i++ {
		t, ok = b.credential[v.former[i]]
	}
	add(t, ok && v.credential != "")
	for i, val := range v.bound {
		if val != "" {
			t, ok := b.values[i][val]
			add(t, ok)
		}
	}
	t, ok = b.tap[v.tapID]
	add(t, ok && v.tapID != "")
	return tenant, contradicted
}

// named is the tenant that the event names. event.DefaultTenant is what a sender says that has none configured, whatever the collector's default is.
func (b *bindings) named(v *view) string {
	if v.tenant == b.deflt || v.tenant == event.DefaultTenant {
		return ""
	}
	return ident.Clean(v.tenant)
}

// tenant decides who owns the event: the tenant of the sender's binding; else the one that the event names, unless that one
// takes events of enrolled senders only; else the principal's home, on the same condition; else the default.
func (b *bindings) tenant(v *view, id *identified) string {
	if t, _ := b.binding(v); t != "" {
		return t
	}
	if t := b.named(v); t != "" {
		if b.enrolled[t] {
			return b.deflt
		}
		return t
	}
	if id.known && id.principal.verified && id.principal.person != nil {
		if t := id.principal.person.Tenant; t != "" && !b.enrolled[t] {
			return t
		}
	}
	return b.deflt
}

// signalTenant signals events that name a tenant other than their own, and principals away from their home tenant. It
// reports whether the event gets the anomaly.
func (p *identityProcessor) signalTenant(v *view, id *identified, out *found) (mismatch bool) {
	_, contradicted := p.bindings.binding(v)
	named := p.bindings.named(v)
	mismatch = contradicted || (named != "" && named != id.tenant)
	if mismatch {
		out.signal(SignalTenantMismatch)
	}
	if c := &id.principal; c.person != nil && c.person.Tenant != "" && c.person.Tenant != id.tenant {
		out.signal(SignalForeignTenant)
	}
	return mismatch
}
