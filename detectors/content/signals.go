package content

import (
	"sync"

	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
)

// Signals that say that content tries to steer a model, each a score from 0 to 1.
const (
	SignalInjection     = "injection"      // instructions to a model in text that should hold none
	SignalHiddenText    = "hidden_text"    // characters that people do not see: tags, bidirectional controls, zero width
	SignalToolPoisoning = "tool_poisoning" // a tool definition that speaks to the model beyond describing the tool
)

// PoisonSignals are the signals of content that tries to steer a model.
var PoisonSignals = []string{SignalInjection, SignalHiddenText, SignalToolPoisoning}

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
		if class.Classes[i].Tags&class.Secret != 0 {
			m[class.Classes[i].Name] = true
		}
	}
	return m
})

// IsSecret reports whether the data class is one of credentials.
func IsSecret(dataClass string) bool { return secretClasses()[dataClass] }
