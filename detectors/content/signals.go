package content

import (
	"sync"

	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
)

// Signals that say that content tries to steer a model or to lead data away, each a score from 0 to 1; internal/inspect/signal
// computes them.
const (
	SignalInjection  = "injection"   // instructions addressed to a model: all kinds of them combined
	SignalHiddenText = "hidden_text" // characters, comments or escapes that people do not see
	SignalExfilLink  = "exfil_link"  // a link or image that carries data away
)

// Signals of the arguments of calls. Shell operators, traversal, queries and templates are not looked for where a tool or an argument
// takes commands; of what people write (content, text, body, message, edits, old_str, new_str and their like) only what phrases say is known.
const (
	SignalShell            = "shell_metachar"      // shell operators or commands in an argument that is no command
	SignalTraversal        = "path_traversal"      // ../../ and absolute paths of system files
	SignalSQL              = "sql_injection"       // SQL in an argument that is no query
	SignalSSRF             = "ssrf"                // addresses of this machine or of a cloud's metadata service
	SignalTemplate         = "template_expression" // {{7*7}}, ${...}, #{...}, <%= %>: 0.85 and more where it calculates, calls or reaches for the engine's insides; 0.3 for a mere variable
	SignalRemoteCode       = "remote_code"         // downloads and runs, or could; not in commands
	SignalRemoteCodeStrong = "remote_code_strong"  // fetches and runs in one command, or opens a shell to elsewhere; in commands too
	SignalSensitiveFile    = "sensitive_file"      // files that hold keys, tokens or passwords, and texts that name them
	SignalShape            = "argument_shape"      // a value that does not fit what its argument's name promises
	SignalDangerous        = "dangerous_command"   // a command that harms who runs it; in commands only
	SignalEndpoint         = "endpoint_command"    // an address of an authorization server that is no address; in any part of a message
	SignalSystemFile       = "system_file"         // the system's own files that hold no secrets: /etc/passwd, /etc/hosts, /proc/self
)

// ArgumentSignals are the signals that only arguments of calls have, or that mean something there.
var ArgumentSignals = []string{SignalShell, SignalTraversal, SignalSQL, SignalSSRF, SignalTemplate, SignalRemoteCode, SignalRemoteCodeStrong, SignalSensitiveFile, SignalSystemFile, SignalShape, SignalDangerous}

// Signals of the trained text scorer (internal/textscore): what a sentence means rather than which phrases it holds. 0.5 is the scorer's
// threshold.
const (
	SignalPlanted  = "planted_instruction" // in a result or another text from a server: a sentence orders a model about
	SignalPoisoned = "poisoned_definition" // in a tool's definition, or what a server says of itself
)

// Signals of a definition that say something without any order in it.
const (
	SignalPreference     = "preference"      // it praises itself, or forbids other tools, so that a model chooses it
	SignalContextRequest = "context_request" // a parameter asks for what is not its business: conversation, model, system prompt
	SignalShadow         = "shadowed_name"   // its name is that of another tool in the list but for decoration
)

// PoisonSignals are the signals of content that tries to steer a model.
var PoisonSignals = []string{SignalInjection, SignalHiddenText, SignalExfilLink, SignalPlanted, SignalPoisoned}

// LureSignals are the signals of a definition that is out of place without ordering anything.
var LureSignals = []string{SignalPreference, SignalContextRequest, SignalShadow}

// Poison returns the strongest of PoisonSignals that reaches the threshold, and its score; an empty name if none does.
func Poison(signals map[string]float64, threshold float64) (name string, score float64) {
	if len(signals) == 0 {
		return "", 0
	}
	for _, n := range PoisonSignals {
		if s, ok := signals[n]; ok && s >= threshold && s > score {
			name, score = n, s
		}
	}
	return name, score
}

var secretClasses = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for i := range class.Classes {
		if class.Classes[i].Leaks() {
			m[class.Classes[i].Name] = true
		}
	}
	return m
})

// IsSecret reports whether a value of the data class in content is a leaked credential.
func IsSecret(dataClass string) bool { return secretClasses()[dataClass] }
