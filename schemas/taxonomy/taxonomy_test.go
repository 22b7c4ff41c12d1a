package taxonomy

import "testing"

func TestEntriesAreCompleteAndUnique(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[3]string]bool{}
	count := map[string]int{}
	for _, e := range all {
		if e.Framework == "" || e.Version == "" || e.ID == "" || e.Name == "" {
			t.Errorf("incomplete entry: %+v", e)
		}
		k := [3]string{e.Framework, e.Version, e.ID}
		if seen[k] {
			t.Errorf("listed twice: %v", k)
		}
		seen[k] = true
		count[e.Framework+" "+e.Version]++
	}
	for edition, want := range map[string]int{"OWASP-MCP 2025-beta": 10, "OWASP-LLM 2025": 10, "OWASP-LLM 2026": 10, "OWASP-ASI 2026": 10} {
		if count[edition] != want {
			t.Errorf("%s has %d entries, want %d", edition, count[edition], want)
		}
	}
}

func TestKnown(t *testing.T) {
	f := func(ref string, want bool) {
		t.Helper()
		if got := Known(ref); got != want {
			t.Errorf("Known(%q) = %v", ref, got)
		}
	}
	f("OWASP-MCP 2025-beta MCP03:2025 Tool Poisoning", true)
	f("OWASP-LLM 2026 LLM03:2026 Excessive Agency", true)
	f("OWASP-LLM 2025 LLM03:2025 Supply Chain", true)
	f("OWASP-LLM 2025 LLM03:2025 Excessive Agency", false)
	f("MITRE-ATLAS 5.6 AML.T0110 AI Agent Tool Poisoning", true)
	f("MITRE-ATLAS 5.6 AML.T0108 AI Agent Tool Poisoning", false)
	f("", false)
}
