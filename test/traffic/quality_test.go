package traffic

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/costspike"
	"github.com/mcpsiem/mcpsiem/detectors/crosstenant"
	"github.com/mcpsiem/mcpsiem/detectors/definitionbloat"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/runaway"
	"github.com/mcpsiem/mcpsiem/detectors/tokenstuffing"
)

var seeds = flag.Int("seeds", 4, "how many seeds")

func measure(t *testing.T, make func(uint64) (*Traffic, error), defs ...engine.Definition) *Result {
	t.Helper()
	var sum Result
	for seed := range uint64(*seeds) {
		x, err := make(seed + 1)
		if err != nil {
			t.Fatal(err)
		}
		r, err := x.Measure(defs, nil)
		if err != nil {
			t.Fatal(err)
		}
		sum.Add(r)
	}
	fmt.Printf("%d seeds, %d events\n", *seeds, sum.Events)
	for _, k := range slices.Sorted(maps.Keys(sum.Planted)) {
		fmt.Printf("  found  %-45s %4d of %4d\n", k, sum.Found[k], sum.Planted[k])
	}
	for _, d := range defs {
		n := sum.False[d.Spec.ID]
		fmt.Printf("  false  %-45s %4d in %.0f %ss: %.3f each\n", d.Spec.ID, n, sum.Units, sum.Unit, float64(n)/sum.Units)
	}
	return &sum
}

// bound checks a share, of whatever seeds: it must hold for four as for thirty.
func bound(t *testing.T, r *Result, least float64, mostFalse float64) {
	t.Helper()
	planted, found, wrong := 0, 0, 0
	for k, n := range r.Planted {
		planted += n
		found += r.Found[k]
	}
	for _, n := range r.False {
		wrong += n
	}
	if planted == 0 || float64(found) < least*float64(planted) {
		t.Errorf("found %d of %d", found, planted)
	}
	if float64(wrong) > mostFalse*r.Units {
		t.Errorf("%d false alarms in %.1f %ss", wrong, r.Units, r.Unit)
	}
}

func TestTenantsQuality(t *testing.T) {
	bound(t, measure(t, Tenants, crosstenant.Definition), 0.85, 1)
}

func TestCostQuality(t *testing.T) {
	bound(t, measure(t, Costs, costspike.Definition, runaway.Definition, tokenstuffing.Definition, definitionbloat.Definition), 0.9, 0.05)
}

// The same seed makes the same traffic, and another one other traffic.
func TestSeeds(t *testing.T) {
	f := func(make func(uint64) (*Traffic, error)) {
		t.Helper()
		a, err := make(5)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := make(5)
		c, _ := make(6)
		same := len(a.Events) == len(b.Events) && len(a.Violations) == len(b.Violations)
		for i := range a.Events {
			same = same && a.Events[i].Time == b.Events[i].Time && a.Events[i].Body == b.Events[i].Body && slices.Equal(a.Events[i].Fingerprints, b.Events[i].Fingerprints)
		}
		if !same {
			t.Error("two runs differ")
		}
		if len(a.Events) == len(c.Events) && a.Events[len(a.Events)/2].Time == c.Events[len(c.Events)/2].Time {
			t.Error("the seed changes nothing")
		}
	}
	f(Tenants)
	f(Costs)
}
