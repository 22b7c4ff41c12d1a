// References of findings to MITRE's matrices.

package elastic

import (
	"slices"
	"strings"
)

var threatParts = []string{"framework", "tactic.id", "tactic.name", "technique.id", "technique.name", "subtechnique.id", "subtechnique.name"}

// frameworks that threat.* speaks of, as references name them and as the Elastic Common Schema does.
var frameworks = map[string]string{"MITRE-ATLAS": "MITRE ATLAS", "MITRE-ATTACK": "MITRE ATT&CK", "ATT&CK": "MITRE ATT&CK"}

// threatValues are the values of a part in references, `framework version id name` each, without repetitions.
func threatValues(references []string, want string, to []string) []string {
	add := func(v string) {
		if v != "" && !slices.Contains(to, v) {
			to = append(to, v)
		}
	}
	for _, ref := range references {
		framework, rest, _ := strings.Cut(ref, " ")
		ecs, ok := frameworks[framework]
		if !ok {
			continue
		}
		_, rest, _ = strings.Cut(rest, " ")
		id, name, _ := strings.Cut(rest, " ")
		if want == "framework" {
			add(ecs)
			continue
		}
		what, attr, _ := strings.Cut(want, ".")
		tactic := strings.Contains(id, "TA0")
		parent, sub := id, ""
		if i := strings.LastIndexByte(id, '.'); i >= 0 && strings.Contains(id[:i], "T") {
			parent, sub = id[:i], id
		}
		switch {
		case tactic != (what == "tactic"), what == "subtechnique" && sub == "":
		case what == "tactic" && attr == "id", what == "subtechnique" && attr == "id":
			add(id)
		case what == "technique" && attr == "id":
			add(parent)
		case what == "technique" && sub != "": // "Parent: Sub"
			name, _, _ = strings.Cut(name, ": ")
			add(name)
		case what == "subtechnique":
			_, name, _ = strings.Cut(name, ": ")
			add(name)
		default:
			add(name)
		}
	}
	return to
}
