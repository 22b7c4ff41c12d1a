package ratelimit

import (
	"math"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

// What the provider reported is what its limit counts; a message that was only counted is a request where a model wrote it.
func TestUsed(t *testing.T) {
	f := func(e event.Event, tokens, requests float64) {
		t.Helper()
		if n, r := used(&e); n != tokens || r != requests {
			t.Errorf("%g tokens, %g requests, want %g, %g", n, r, tokens, requests)
		}
	}
	counted := event.Event{}
	counted.TokensArguments, counted.Kind, counted.Method = 30, event.KindRequest, "tools/call"
	f(counted, 30, 1)
	counted.Kind, counted.TokensArguments, counted.TokensResult = event.KindResponse, 0, 400
	f(counted, 400, 0)
	counted.Kind, counted.Method = event.KindRequest, "sampling/createMessage"
	f(counted, 400, 1)
	reported := counted
	reported.Kind, reported.CostBasis = event.KindResponse, "reported"
	f(reported, 400, 0) // says so, but names none
	reported.Extra = map[string]string{"gen_ai.usage.input_tokens": "1000", "gen_ai.usage.output_tokens": "50"}
	f(reported, 1050, 1)
	reported.Extra = map[string]string{"gen_ai.usage.input_tokens": "-1", "gen_ai.usage.output_tokens": "9223372036854775807"}
	f(reported, 400, 0)
	senseless := event.Event{}
	senseless.TokensResult, senseless.TokensArguments = math.MaxInt64, math.MinInt64
	f(senseless, 0, 0)
}

func TestConfig(t *testing.T) {
	f := func(conf map[string]any, want string) {
		t.Helper()
		if _, err := Definition.New(conf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f(map[string]any{"repeat": "1s"}, "at least 1m")
	f(map[string]any{"file": "/does/not/exist"}, "cannot read budgets")
	f(map[string]any{"fil": "x"}, "fil")
}
