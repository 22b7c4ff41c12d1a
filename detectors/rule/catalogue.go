package rule

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Page is a rule's page in a catalogue, in Markdown.
func Page(r *Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Made from the rule by `mcpsiem rules docs`; change it there. -->\n# %s\n\n", r.Title)
	sev := r.Severity.Fixed
	if r.Severity.Expr != "" {
		sev += ", unless `" + r.Severity.Expr + "` says otherwise"
	}
	fmt.Fprintf(&b, "| | |\n|---|---|\n| rule id | `%s` |\n| version | %s |\n| status | %s |\n| kind | %s |\n| severity | %s |\n| confidence | %g |\n", r.ID, r.Version, r.Status, r.Kind, sev, r.Confidence)
	if len(r.GroupBy) > 0 {
		fmt.Fprintf(&b, "| together | %s |\n", strings.Join(r.GroupBy, ", "))
	}
	if r.Window > 0 {
		fmt.Fprintf(&b, "| window | %s |\n", r.Window)
	}
	if d := r.dedup(); d > 0 {
		fmt.Fprintf(&b, "| raised at most | once in %s |\n", Duration(d))
	}
	if r.Owner != "" {
		fmt.Fprintf(&b, "| owner | %s |\n", r.Owner)
	}
	fmt.Fprintf(&b, "| found by | %s |\n", r.IndexText())
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, strings.TrimSpace(text))
		}
	}
	section("When it fires", r.Description)
	section("What to do", r.Remediation)
	section("When it is harmless", r.FalsePositives)
	section("What it cannot see", r.Gaps)
	f := r.File
	f.Title, f.Description, f.Remediation, f.FalsePositives, f.Gaps, f.References, f.Owner, f.Status, f.Version = "", "", "", "", "", nil, "", "", ""
	var rule strings.Builder
	enc := yaml.NewEncoder(&rule)
	enc.SetIndent(2)
	if err := enc.Encode(f); err == nil {
		var lines []string
		for l := range strings.SplitSeq(strings.TrimSpace(rule.String()), "\n") {
			if !strings.HasSuffix(l, `: ""`) && !strings.HasPrefix(l, "schema:") && !strings.HasPrefix(l, "id:") {
				lines = append(lines, l)
			}
		}
		section("Rule", "```yaml\n"+strings.Join(lines, "\n")+"\n```")
	}
	if len(r.References) > 0 {
		section("References", "- "+strings.Join(r.References, "\n- "))
	}
	return b.String()
}

// Catalogue is the table of a catalogue.
func Catalogue(s *Set) string {
	var b strings.Builder
	b.WriteString("<!-- Made from the rules by `mcpsiem rules docs`. -->\n# Rules\n\nRules that come along, beside the [detectors](../detectors/README.md). How to write rules, and how to change these: [../rules.md](../rules.md).\n\n" +
		"| rule | raises | kind | severity |\n|---|---|---|---|\n")
	for _, r := range s.All() {
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s |\n", r.ID, r.ID, r.Title, r.Kind, r.Severity.Fixed)
	}
	return b.String()
}

// Pages are the files of a catalogue by name.
func Pages(s *Set) map[string]string {
	out := map[string]string{"README.md": Catalogue(s)}
	for _, r := range s.All() {
		out[r.ID+".md"] = Page(r)
	}
	return out
}
