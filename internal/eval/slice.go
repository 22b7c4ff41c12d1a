// What is counted of a slice, and how sure the rates are.
package eval

import (
	"math"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
)

// Kinds of slices: what a hit means.
const (
	KindAttack = "attack" // a hit is right: the rate is recall
	KindBenign = "benign" // a hit is wrong: the rate is that of false positives
	KindPII    = "pii"    // spans of personal data
)

// Count is how many of n were hit. CI is the 95 % Wilson score interval of Rate; both are 0 where N is.
type Count struct {
	N    int64      `json:"n"`
	Hits int64      `json:"hits"`
	Rate float64    `json:"rate"`
	CI   [2]float64 `json:"ci"`
}

func (c *Count) add(hit bool) {
	c.N++
	if hit {
		c.Hits++
	}
}

func (c *Count) finish() {
	if c.N > 0 {
		c.Rate = float64(c.Hits) / float64(c.N)
		c.CI[0], c.CI[1] = Wilson(c.Hits, c.N)
	}
}

// Wilson is the 95 % score interval of a proportion (Wilson 1927): the rates that k of n do not contradict. n is above 0.
func Wilson(k, n int64) (lo, hi float64) {
	const z = 1.959963984540054
	p, m := float64(k)/float64(n), float64(n)
	mid := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	lo, hi = (mid-half)/(1+z*z/m), (mid+half)/(1+z*z/m)
	if k == 0 {
		lo = 0
	}
	if k == n {
		hi = 1
	}
	return max(lo, 0), min(hi, 1)
}

// Slice is one kind of rows. Hits are rows for which something of at least Alert severity was raised; in paired slices, and
// nothing was for the same row without its attack.
type Slice struct {
	Slice string `json:"slice"`
	Kind  string `json:"kind"`
	Count
	BySubtype  map[string]*Count `json:"by_subtype"`
	ByDetector map[string]int64  `json:"by_detector"` // rows for which the detector raised that much; in paired slices, and did not without the attack
	BySeverity map[string]int64  `json:"by_severity"` // hits by the worst severity raised
	Below      int64             `json:"below"`       // rows, no hits, for which only less severe findings were raised

	// Of paired slices.
	Unpaired    int64 `json:"unpaired,omitempty"`     // rows whose attack could not be cut out: scored by themselves
	AlsoWithout int64 `json:"also_without,omitempty"` // rows raised with the attack, but without it as well: no hits

	*PII
}

// PII is what is counted of a type of personal data beside Count, whose rate is recall.
type PII struct {
	Claimed        bool     `json:"claimed"`         // some data class of ours is for the type; if not, recall is 0 by design
	Classes        []string `json:"classes"`         // those classes
	FalsePositives int64    `json:"false_positives"` // values found as the type where none of the type is
	Precision      float64  `json:"precision"`
	F1             float64  `json:"f1"`
	Redacted       int64    `json:"redacted"` // spans at least half of which are replaced, as whatever class
}

func (s *Slice) finish() {
	s.Count.finish()
	for _, c := range s.BySubtype {
		c.finish()
	}
	if p := s.PII; p != nil {
		if found := s.Hits + p.FalsePositives; found > 0 {
			p.Precision = float64(s.Hits) / float64(found)
		}
		if p.Precision+s.Rate > 0 {
			p.F1 = 2 * p.Precision * s.Rate / (p.Precision + s.Rate)
		}
	}
}

// maxSubtypes is how many subtypes of a slice are counted each by itself.
const maxSubtypes = 1000

// outcome is what the detectors raised for one row: the worst severity of each.
type outcome map[string]string

func (o outcome) worst() (severity string) {
	for _, s := range o {
		severity = engine.WorseSeverity(severity, s)
	}
	return severity
}

// alert tells whether the severity is at least Alert.
func alert(severity string) bool {
	return severity != "" && engine.WorseSeverity(severity, Alert) == severity
}

func (o outcome) hit() bool { return alert(o.worst()) }

// score counts a row by what was raised for it.
func (s *Slice) score(subtype string, o outcome) bool { return s.scorePair(subtype, o, nil) }

// scorePair counts a row by what was raised with and without its attack.
func (s *Slice) scorePair(subtype string, with, without outcome) bool {
	hit := with.hit() && !without.hit()
	s.add(hit)
	if subtype != "" {
		subtype = engine.Name(subtype)
		if s.BySubtype[subtype] == nil && len(s.BySubtype) >= maxSubtypes {
			subtype = "(others)"
		}
		c := s.BySubtype[subtype]
		if c == nil {
			c = &Count{}
			s.BySubtype[subtype] = c
		}
		c.add(hit)
	}
	for d, severity := range with {
		if alert(severity) && !alert(without[d]) {
			s.ByDetector[d]++
		}
	}
	switch {
	case hit:
		s.BySeverity[with.worst()]++
	case with.hit():
		s.AlsoWithout++
	case len(with) > 0:
		s.Below++
	}
	return hit
}
