package detectors

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
)

// Page is a detector's page in docs/detectors.
func Page(d engine.Definition) string {
	s := d.Spec
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Made from the detector's Spec by `go generate ./detectors`; change it there. -->\n# %s\n\n", s.Title)
	fmt.Fprintf(&b, "| | |\n|---|---|\n| rule id | `%s` |\n| version | %s |\n| severity | %s, unless stated below |\n| confidence | %g, unless scored |\n| key | %s |\n", s.ID, s.Version, s.Severity, s.Confidence, s.Key)
	if s.Key != engine.KeyMessage {
		keys, ttl := s.MaxKeys, s.TTL
		if keys == 0 {
			keys = engine.DefaultMaxKeys
		}
		if ttl == 0 {
			ttl = engine.DefaultTTL
		}
		fmt.Fprintf(&b, "| memory | at most %d states, each dropped after %s without events |\n", keys, duration(ttl))
	}
	section := func(title, text string) { fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, text) }
	section("What it sees", s.Sees)
	section("When it fires", s.Fires)
	section("What to do", s.Remediation)
	section("When it is harmless", s.FalsePositives)
	section("What it cannot see", s.Gaps)
	section("Tuning", s.Tuning)
	fmt.Fprintf(&b, "\n```yaml\nconnectors:\n  detect:\n    detectors:\n      %s:\n        enabled: true\n", s.ID)
	v := reflect.ValueOf(d.Defaults)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("mapstructure")
		switch x := v.Field(i).Interface().(type) {
		case time.Duration:
			fmt.Fprintf(&b, "        %s: %s\n", key, duration(x))
		case []string:
			fmt.Fprintf(&b, "        %s: [%s]\n", key, strings.Join(x, ", "))
		default:
			fmt.Fprintf(&b, "        %s: %v\n", key, x)
		}
	}
	b.WriteString("```\n\n## References\n\n")
	for _, r := range s.References {
		fmt.Fprintf(&b, "- %s\n", r)
	}
	return b.String()
}

// Index is the table of docs/detectors/README.md.
func Index() string {
	var b strings.Builder
	b.WriteString("<!-- Made from the detectors' Specs by `go generate ./detectors`. -->\n# Detectors\n\n" +
		"What mcpsiem raises by itself. Findings are described in [../finding.md](../finding.md), the engine and its guarantees in detectors/engine/README.md.\n\n" +
		"| rule | raises | severity | key |\n|---|---|---|---|\n")
	for _, d := range All {
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s |\n", d.Spec.ID, d.Spec.ID, d.Spec.Title, d.Spec.Severity, d.Spec.Key)
	}
	return b.String()
}

// duration writes 1h0m0s as 1h and 2160h as 90 days.
func duration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
