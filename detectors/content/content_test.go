package content

import (
	"slices"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
)

// What detectors wait for is what inspection says.
func TestSignalsExist(t *testing.T) {
	for _, name := range append(slices.Concat(PoisonSignals, LureSignals, ArgumentSignals), "secret_in_"+InResult, "secret_in_"+InArguments) {
		if !slices.Contains(signal.Names[:], name) {
			t.Errorf("inspection knows no signal %s", name)
		}
	}
}

func TestSecretClasses(t *testing.T) {
	f := func(class string, want bool) {
		t.Helper()
		if got := IsSecret(class); got != want {
			t.Errorf("IsSecret(%q) = %v", class, got)
		}
	}
	f("jwt", true)
	f("private_key", true)
	f("secret", true)
	f("email", false)
	f("card", false)
	f("", false)
}

func TestPoison(t *testing.T) {
	f := func(signals map[string]float64, name string, score float64) {
		t.Helper()
		if n, s := Poison(signals, 0.5); n != name || s != score {
			t.Errorf("%v: %s %g", signals, n, s)
		}
	}
	f(nil, "", 0)
	f(map[string]float64{"injection": 0.49, "secret_in_result": 1}, "", 0)
	f(map[string]float64{"injection": 0.5}, "injection", 0.5)
	f(map[string]float64{"injection": 0.6, "hidden_text": 0.8}, "hidden_text", 0.8)
	f(map[string]float64{"injection": 0.8, "hidden_text": 0.8}, "injection", 0.8)
}
