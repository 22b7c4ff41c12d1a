// Package tokenstuffing finds tools whose results fill a model's context with more tokens than they used to, or than their size accounts for.
package tokenstuffing

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config of the detector.
type Config struct {
	// Ratio is how many times its former median the median of a tool's latest results must be.
	Ratio float64 `mapstructure:"ratio"`
	// MinTokens is what a result must have at least to matter.
	MinTokens int64 `mapstructure:"min_tokens"`
	// Large is the median, in tokens, of a tool that is too talkative at all times.
	Large int64 `mapstructure:"large"`
	// Density is how many tokens a byte of result are more than text has.
	Density float64 `mapstructure:"density"`
	// Repeat is after how long the same tool is raised again.
	Repeat time.Duration `mapstructure:"repeat"`
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Ratio <= 1:
		return errors.New("ratio must be above 1")
	case c.MinTokens < 1 || c.Large < c.MinTokens:
		return errors.New("min_tokens must be at least 1, and large no less than min_tokens")
	case c.Density <= 0:
		return errors.New("density must be above 0")
	case c.Repeat < time.Hour:
		return errors.New("repeat must be at least 1h")
	}
	return nil
}

// Definition registers the detector.
var Definition = engine.Define(engine.Spec{
	ID:         "token_stuffing",
	Version:    "1.0.0",
	Title:      "Tool fills the context",
	Severity:   engine.Medium,
	Confidence: 0.55,
	Key:        engine.KeyTool,
	MaxKeys:    32768,
	TTL:        60 * 24 * time.Hour,
	Sees:       "The tokens and the size of each tool's results.",
	Fires: "medium: the median of a tool's last 9 results, one a minute at most, is `ratio` times the median of the 200 before them, twice what 9 in 10 of those stay below, and at least `min_tokens`; 3 of its last 9 results have `density` tokens a byte or more (text has about 0.25, hashes and binary text 0.5), " +
		"which is made to cost. low: the median of 20 results is above `large`. Each once in `repeat` for a tool.",
	Tuning:         "`ratio` (8), `min_tokens` (8000), `large` (25000), `density` (0.9), `repeat` (7 days).",
	Gaps:           "A tool that stuffs from its first result on and stays below `large`. A rise over weeks. Content that is withheld or whose tokens were not counted. How much of a result is needed, nobody can say from outside.",
	FalsePositives: "Users who begin to ask for more: whole files, longer periods. A server's update that returns more; compare with its version.",
	Remediation:    "Look at a result. Ask the server for fewer fields, pages or a summary; limit its results in the client. If nothing explains the rise, treat the server as compromised.",
	References: []string{
		"OWASP-LLM 2025 LLM10:2025 Unbounded Consumption",
		"OWASP-LLM 2026 LLM06:2026 Unbounded Consumption",
		"MITRE-ATLAS 5.6 AML.T0034.001 Cost Harvesting: Resource-Intensive Queries",
		"MITRE-ATLAS 5.6 AML.T0099 AI Agent Tool Data Poisoning",
	},
}, Config{Ratio: 8, MinTokens: 8000, Large: 25_000, Density: 0.9, Repeat: 7 * 24 * time.Hour}, func(c Config) (engine.Detector[state], error) {
	return &detector{c}, nil
})

// How many results are remembered.
const (
	latest  = 9
	before  = 200
	support = 20 // of those before
	odd     = 3  // of the latest that must be dense
)

// state of a tool: the tokens of its results, oldest first.
type state struct {
	Before []int64 `json:"b,omitempty"`
	Latest []int64 `json:"l,omitempty"`
	Dense  uint16  `json:"d,omitempty"` // a bit for each of the latest results, the newest lowest
	Minute int64   `json:"m,omitempty"` // in which one was counted last
}

type detector struct{ conf Config }

func (d *detector) Wants(e *event.Event) bool {
	return e.TokensResult > 0 && e.Tool != "" && e.Kind == event.KindResponse && e.Method == "tools/call"
}

func (d *detector) Observe(c *engine.Context, e *event.Event, s *state) {
	n := min(e.TokensResult, 1<<40)
	density := 0.0
	if e.BodySize > 0 {
		density = float64(n) / float64(e.BodySize)
	}
	s.Dense = s.Dense << 1 & (1<<latest - 1)
	if density >= d.conf.Density && n >= d.conf.MinTokens/4 {
		s.Dense |= 1
	}
	if minute := c.Now / int64(time.Minute); minute != s.Minute { // one a minute: a loop's results are not the measure of others'
		s.Minute = minute
		s.add(n)
	}
	d.judge(c, e, s, n, density)
}

func (s *state) add(n int64) {
	s.Latest = append(s.Latest, n)
	if len(s.Latest) > latest {
		s.Before = append(s.Before, s.Latest[0])
		s.Latest = slices.Delete(s.Latest, 0, 1)
	}
	if len(s.Before) > before {
		s.Before = slices.Delete(s.Before, 0, 1)
	}
}

func (d *detector) judge(c *engine.Context, e *event.Event, s *state, n int64, density float64) {
	now, was := median(s.Latest), median(s.Before)
	why := map[string]string{
		"tokens": strconv.FormatInt(n, 10), "median": strconv.FormatInt(now, 10), "median_before": strconv.FormatInt(was, 10), "results": strconv.Itoa(len(s.Before) + len(s.Latest)),
	}
	raise := func(found, title, severity, text string) {
		why["found"] = found
		c.Emit(engine.Alert{
			Scope: []string{found}, Window: d.conf.Repeat, Title: title, Severity: severity,
			Summary: "Tool " + engine.Name(e.Tool) + " of server " + engine.Name(generation.Server(e)) + " " + text + ".", Why: why, Count: latest,
		})
	}
	switch {
	case ones(s.Dense) >= odd && s.Dense&1 == 1:
		why["density"] = strconv.FormatFloat(density, 'f', 2, 64)
		raise("dense", "Results made to cost tokens", engine.Medium, "answers with "+why["density"]+" tokens a byte, far more than text has")
	case len(s.Latest) == latest && len(s.Before) >= support && now >= d.conf.MinTokens && float64(now) >= d.conf.Ratio*float64(was) && now >= 2*high(s.Before):
		raise("grown", "Tool's results have grown", engine.Medium, "answers with "+why["median"]+" tokens where it used to need "+why["median_before"])
	case len(s.Before) >= support && now >= d.conf.Large && was >= d.conf.Large:
		raise("large", "Tool's results are always large", engine.Low, "answers with "+why["median"]+" tokens as a rule")
	}
}

// high is what nine in ten stay below.
func high(s []int64) int64 {
	x := slices.Clone(s)
	slices.Sort(x)
	return x[len(x)*9/10]
}

func ones(x uint16) (n int) {
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

func median(s []int64) int64 {
	if len(s) == 0 {
		return 0
	}
	x := slices.Clone(s)
	slices.Sort(x)
	return x[len(x)/2]
}
