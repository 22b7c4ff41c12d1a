// Package sink is what every exporter to another system shares: which records it gets and with which fields, how it answers for a batch,
// when it tries again, where its credentials come from and what it counts.
package sink

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Kind is a kind of record.
type Kind string

// Kinds of records.
const (
	KindEvent   Kind = "event"   // a message between client and server, or what a tap says of itself
	KindFinding Kind = "finding" // what a detector raised, in one of its revisions
	KindAudit   Kind = "audit"   // what people and the pipeline itself did
)

// Kinds lists all kinds.
var Kinds = []Kind{KindEvent, KindFinding, KindAudit}

// Severities of findings, least first.
var Severities = []string{"informational", "low", "medium", "high", "critical"}

// Route says which records go to a sink, and how much of them.
type Route struct {
	// Records are the kinds of records; none means all.
	Records []Kind `mapstructure:"records"`
	Tenants Choice `mapstructure:"tenants"`
	Servers Choice `mapstructure:"servers"`
	// MessageKinds, Methods, DataClasses and Capture choose among events and hold back no finding and no audit record.
	MessageKinds Choice `mapstructure:"kinds"`
	Methods      Choice `mapstructure:"methods"`
	DataClasses  Choice `mapstructure:"data_classes"`
	Capture      Choice `mapstructure:"capture"`
	// MinSeverity is the least severity of a finding; empty means all.
	MinSeverity string `mapstructure:"min_severity"`
	// Sample is the share of exchanges whose events go, 0 to 1; 0 means all.
	Sample    float64   `mapstructure:"sample"`
	Residency Residency `mapstructure:"residency"`
	Fields    Fields    `mapstructure:"fields"`
}

// Choice takes a value that a pattern of Include matches, or any if there is none, and that no pattern of Exclude does. A pattern is a name,
// or the beginning of one and `*`.
type Choice struct {
	Include []string `mapstructure:"include"`
	Exclude []string `mapstructure:"exclude"`
}

// Residency keeps records out of sinks that are not where the records must stay.
type Residency struct {
	// Regions that the sink is in.
	Regions []string `mapstructure:"regions"`
	// Tenants maps a tenant to the region where its records must stay.
	Tenants map[string]string `mapstructure:"tenants"`
	// Label is the operator's label whose value is the region where an event must stay. It wins over Tenants.
	Label string `mapstructure:"label"`
	// Unbound says that records which nothing binds may come here. Default true.
	Unbound *bool `mapstructure:"unbound"`
}

func (r *Residency) set() bool {
	return len(r.Regions) > 0 || len(r.Tenants) > 0 || r.Label != "" || r.Unbound != nil
}

// Fields says which fields of a record go, by their names in the store; either list may be set, not both.
type Fields struct {
	Keep []string `mapstructure:"keep"`
	Drop []string `mapstructure:"drop"`
}

// Validate checks the route.
func (r *Route) Validate() error {
	var errs []error
	for _, k := range r.Records {
		if !slices.Contains(Kinds, k) {
			errs = append(errs, fmt.Errorf("records: %q is none of event, finding, audit", k))
		}
	}
	for _, c := range []struct {
		name  string
		c     Choice
		known []string
	}{
		{"tenants", r.Tenants, nil}, {"servers", r.Servers, nil}, {"methods", r.Methods, nil}, {"data_classes", r.DataClasses, nil},
		{"kinds", r.MessageKinds, []string{event.KindRequest, event.KindResponse, event.KindError, event.KindNotification, event.KindInvalid, event.KindRecord}},
		{"capture", r.Capture, []string{event.CaptureComplete, event.CaptureTruncated, event.CaptureWithheld, event.CaptureAbsent}},
	} {
		for _, p := range slices.Concat(c.c.Include, c.c.Exclude) {
			switch {
			case p == "" || strings.Contains(strings.TrimSuffix(p, "*"), "*"):
				errs = append(errs, fmt.Errorf("%s: %q is no pattern: a name, or the beginning of one followed by *", c.name, p))
			case c.known != nil && !slices.ContainsFunc(c.known, func(k string) bool { return Match(p, k) }):
				errs = append(errs, fmt.Errorf("%s: %q is none of %s", c.name, p, strings.Join(c.known, ", ")))
			}
		}
	}
	if r.MinSeverity != "" && !slices.Contains(Severities, r.MinSeverity) {
		errs = append(errs, fmt.Errorf("min_severity: %q is none of %s", r.MinSeverity, strings.Join(Severities, ", ")))
	}
	if !(r.Sample >= 0 && r.Sample <= 1) {
		errs = append(errs, errors.New("sample must be a share between 0 and 1; 0 or 1 for all"))
	}
	if res := &r.Residency; res.set() && len(res.Tenants) == 0 && res.Label == "" {
		errs = append(errs, errors.New("residency needs tenants or a label that says where records must stay"))
	}
	if _, err := newMask(r.Fields); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Match reports whether a pattern of a Choice, a name or the beginning of one and `*`, matches s.
func Match(pattern, s string) bool {
	if p, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(s, p)
	}
	return pattern == s
}
