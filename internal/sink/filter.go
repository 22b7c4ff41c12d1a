// The decision for each record, compiled once.

package sink

import (
	"math"
	"slices"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Reason says why a record does not go to a sink; empty means that it does.
type Reason string

// Reasons.
const (
	ByRecord    Reason = "record"
	ByTenant    Reason = "tenant"
	ByServer    Reason = "server"
	ByResidency Reason = "residency"
	ByKind      Reason = "kind"
	ByMethod    Reason = "method"
	ByDataClass Reason = "data_class"
	ByCapture   Reason = "capture"
	BySeverity  Reason = "severity"
	BySample    Reason = "sample"
)

// Filter decides which records go to a sink. It depends on nothing but the record and the configuration, and is safe for concurrent use.
type Filter struct {
	event, finding, audit                              bool
	tenants, servers, kinds, methods, classes, capture choice
	minSeverity                                        int
	threshold                                          uint64 // an exchange goes if its hash is not above it
	residency                                          *residency
	mask                                               *mask // nil: everything
}

type residency struct {
	regions map[string]bool
	tenants map[string]string
	label   string
	unbound bool
}

// Compile makes the filter.
func (r *Route) Compile() (*Filter, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	on := func(k Kind) bool { return len(r.Records) == 0 || slices.Contains(r.Records, k) }
	f := &Filter{
		event: on(KindEvent), finding: on(KindFinding), audit: on(KindAudit),
		tenants: newChoice(r.Tenants), servers: newChoice(r.Servers), kinds: newChoice(r.MessageKinds), methods: newChoice(r.Methods),
		classes: newChoice(r.DataClasses), capture: newChoice(r.Capture),
		minSeverity: max(slices.Index(Severities, r.MinSeverity), 0),
		threshold:   math.MaxUint64,
	}
	if r.Sample > 0 && r.Sample < 1 {
		f.threshold = uint64(r.Sample * math.MaxUint64)
	}
	if res := &r.Residency; res.set() {
		f.residency = &residency{regions: map[string]bool{}, tenants: res.Tenants, label: res.Label, unbound: res.Unbound == nil || *res.Unbound}
		for _, region := range res.Regions {
			f.residency.regions[region] = true
		}
	}
	var err error
	f.mask, err = newMask(r.Fields)
	return f, err
}

// Event decides for an event or audit record.
func (f *Filter) Event(e *event.Event) Reason {
	audit := e.Name == event.NameAudit
	tenant := e.Tenant
	if tenant == "" {
		tenant = event.DefaultTenant
	}
	switch {
	case audit && !f.audit, !audit && !f.event:
		return ByRecord
	case !f.tenants.takes(tenant):
		return ByTenant
	case f.residency != nil && !f.residency.takes(tenant, e.Labels[f.residency.label]):
		return ByResidency
	case audit:
		return ""
	case !f.servers.takes(e.Server):
		return ByServer
	case !f.kinds.takes(e.Kind):
		return ByKind
	case !f.methods.takes(e.Method):
		return ByMethod
	case !f.capture.takes(e.Capture):
		return ByCapture
	case !f.classes.takesAny(e.DataClasses):
		return ByDataClass
	}
	if f.threshold != math.MaxUint64 && e.Kind != event.KindRecord {
		id := e.ExchangeID
		if id == "" {
			id = e.ID
		}
		if hash(id) > f.threshold {
			return BySample
		}
	}
	return ""
}

// Finding decides for a finding. A severity that is none of the known ones counts as the highest.
func (f *Filter) Finding(fi *finding.Finding) Reason {
	tenant := fi.Tenant
	if tenant == "" {
		tenant = event.DefaultTenant
	}
	switch {
	case !f.finding:
		return ByRecord
	case !f.tenants.takes(tenant):
		return ByTenant
	case f.residency != nil && !f.residency.takes(tenant, ""):
		return ByResidency
	case !f.servers.takes(fi.Server):
		return ByServer
	}
	if s := slices.Index(Severities, fi.Severity); s >= 0 && s < f.minSeverity {
		return BySeverity
	}
	return ""
}

func (r *residency) takes(tenant, label string) bool {
	region := label
	if region == "" {
		region = r.tenants[tenant]
	}
	if region == "" {
		return r.unbound
	}
	return r.regions[region]
}

// choice is a compiled Choice.
type choice struct {
	any              bool
	include, exclude patterns
}

type patterns struct {
	names    map[string]bool
	prefixes []string
}

func newChoice(c Choice) choice {
	return choice{any: len(c.Include) == 0 && len(c.Exclude) == 0, include: newPatterns(c.Include), exclude: newPatterns(c.Exclude)}
}

func newPatterns(list []string) patterns {
	p := patterns{names: make(map[string]bool, len(list))}
	for _, s := range list {
		if s[len(s)-1] == '*' {
			p.prefixes = append(p.prefixes, s)
		} else {
			p.names[s] = true
		}
	}
	return p
}

func (p *patterns) none() bool { return len(p.names) == 0 && len(p.prefixes) == 0 }

func (p *patterns) match(s string) bool {
	return p.names[s] || slices.ContainsFunc(p.prefixes, func(x string) bool { return Match(x, s) })
}

func (c *choice) takes(s string) bool {
	return c.any || (c.include.none() || c.include.match(s)) && !c.exclude.match(s)
}

// takesAny takes a list of which one is included and none excluded.
func (c *choice) takesAny(list []string) bool {
	return c.any || (c.include.none() || slices.ContainsFunc(list, c.include.match)) && !slices.ContainsFunc(list, c.exclude.match)
}

// hash is FNV-1a with the finish of MurmurHash3, which spreads ids that differ in their last digits only. It never changes: what is sampled
// must be the same in every version.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
