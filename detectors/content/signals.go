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

// PoisonSignals are the signals of content that tries to steer a model.
var PoisonSignals = []string{SignalInjection, SignalHiddenText, SignalExfilLink}

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
