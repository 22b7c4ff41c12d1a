// The report for people.
package eval

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Write prints the report as text.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "mcpsiem %s; a hit is a finding of %s severity or worse; intervals are Wilson, 95 %%\n", r.Version, r.Alert)
	r.section(&b, KindAttack, "Attacks: found")
	r.section(&b, KindBenign, "Harmless: false positives")
	if r.has(KindPII) {
		fmt.Fprintf(&b, "\n%-56s %6s %6s %8s %17s %9s %7s %9s\n", "Personal data, by spans", "n", "found", "recall", "", "precision", "F1", "redacted")
		for _, s := range r.of(KindPII) {
			if !s.Claimed {
				fmt.Fprintf(&b, "%-56s %6d %6s %8s %17s %9s %7s %8.1f%%\n", s.Slice, s.N, "", "", "not claimed", "", "", percent(s.Redacted, s.N))
				continue
			}
			fmt.Fprintf(&b, "%-56s %6d %6d %7.1f%% %17s %8.1f%% %7.3f %8.1f%%\n", s.Slice, s.N, s.Hits, 100*s.Rate, interval(&s.Count), 100*s.Precision, s.F1, percent(s.Redacted, s.N))
		}
	}
	b.WriteByte('\n')
	for _, m := range r.Malformed {
		fmt.Fprintf(&b, "%s: %d malformed rows passed over, the first is row %d\n", m.File, m.Rows, m.First)
	}
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, "not there: %s\n", strings.Join(r.Missing, ", "))
	}
	if r.Withheld > 0 {
		fmt.Fprintf(&b, "%d messages were not examined in full\n", r.Withheld)
	}
	if r.Panics > 0 {
		fmt.Fprintf(&b, "%d faults of detectors: findings are missing\n", r.Panics)
	}
	fmt.Fprintf(&b, "%d messages in %.1f s\n", r.Events, r.Seconds)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) has(kind string) bool { return len(r.of(kind)) > 0 }

func (r *Report) of(kind string) (out []*Slice) {
	for _, s := range r.Slices {
		if s.Kind == kind {
			out = append(out, s)
		}
	}
	return out
}

func (r *Report) section(b *strings.Builder, kind, title string) {
	if !r.has(kind) {
		return
	}
	fmt.Fprintf(b, "\n%-56s %6s %6s %8s %17s  %s\n", title, "n", "hits", "rate", "", "by detector")
	for _, s := range r.of(kind) {
		line(b, s.Slice, &s.Count, tally(s.ByDetector))
		if len(s.BySubtype) > 1 {
			for _, name := range slices.Sorted(maps.Keys(s.BySubtype)) {
				line(b, "  "+name, s.BySubtype[name], "")
			}
		}
		var notes []string
		if s.Unpaired > 0 {
			notes = append(notes, fmt.Sprintf("%d rows do not say what to cut out: a hit is a hit", s.Unpaired))
		}
		if s.AlsoWithout > 0 {
			notes = append(notes, fmt.Sprintf("%d raised without the attack as well: no hits", s.AlsoWithout))
		}
		if s.Below > 0 {
			notes = append(notes, fmt.Sprintf("%d with less severe findings only", s.Below))
		}
		if len(notes) > 0 {
			fmt.Fprintf(b, "  (%s)\n", strings.Join(notes, "; "))
		}
	}
}

func line(b *strings.Builder, name string, c *Count, more string) {
	s := fmt.Sprintf("%-56s %6d %6d %7.1f%% %17s  %s", name, c.N, c.Hits, 100*c.Rate, interval(c), more)
	b.WriteString(strings.TrimRight(s, " ") + "\n")
}

func interval(c *Count) string { return fmt.Sprintf("%.1f-%.1f%%", 100*c.CI[0], 100*c.CI[1]) }

func tally(m map[string]int64) string {
	var parts []string
	for _, d := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", d, m[d]))
	}
	return strings.Join(parts, ", ")
}

func percent(a, n int64) float64 {
	if n == 0 {
		return 0
	}
	return 100 * float64(a) / float64(n)
}
