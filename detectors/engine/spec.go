package engine

import (
	"fmt"
	"time"
	"unicode"

	"go.opentelemetry.io/collector/confmap"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Severities of a finding, least first.
const (
	Informational = "informational"
	Low           = "low"
	Medium        = "medium"
	High          = "high"
	Critical      = "critical"
)

var severityRank = map[string]int{Informational: 1, Low: 2, Medium: 3, High: 4, Critical: 5}

// WorseSeverity is the more severe of the two.
func WorseSeverity(a, b string) string {
	if severityRank[b] > severityRank[a] {
		return b
	}
	return a
}

// Spec is what a detector says about itself: how it is run, and what an analyst must know when it fires. docs/detectors is
// made from it.
type Spec struct {
	ID       string // rule id in findings and configuration, snake_case; never reused for another meaning
	Version  string // of the detection logic; changes whenever the same events could make other findings
	Title    string // what kind of thing happened
	Severity string // unless an Alert says otherwise
	// Confidence that a finding is what it says, 0 to 1, unless an Alert says otherwise.
	Confidence float64

	Key          Key           // whose observations are judged together
	MaxKeys      int           // how many states are kept; the least recently touched goes first. 0: DefaultMaxKeys
	TTL          time.Duration // event time after which an untouched state is dropped. 0: DefaultTTL
	StateVersion int           // changes when a snapshot of an older one can no longer be read

	Sees           string   // which events it looks at, and what must be present on them
	Fires          string   // when and why it fires
	Tuning         string   // what to change, and what that costs
	Gaps           string   // what it cannot see
	FalsePositives string   // when a finding is harmless
	Remediation    string   // what to do
	References     []string // taxonomy references, each `framework version id name` as in schemas/taxonomy
}

// Bounds of state where a Spec leaves them open.
const (
	DefaultMaxKeys = 65536
	DefaultTTL     = 24 * time.Hour
)

// Detector is the logic of one detector over a state of type S, of which the engine keeps one for each key.
//
// The engine calls it from one goroutine at a time, in stream order for each key, and never twice with the same event. What it
// does may depend only on the event, the context and the state, never on a clock, randomness, the order of a map, or the size
// of a batch: that is what makes replay give the same findings.
//
// S is kept in snapshots as JSON of its exported fields, or, if *S implements encoding.BinaryMarshaler and
// encoding.BinaryUnmarshaler, as those give it. A detector without memory takes struct{} with KeyMessage, and no state is kept.
// A detector must bound the size of an S itself.
type Detector[S any] interface {
	// Wants reports whether the event concerns the detector at all. It is called for every event and must be cheap.
	Wants(e *event.Event) bool
	// Observe judges one event. e and s are valid during the call only.
	Observe(c *Context, e *event.Event, s *S)
}

// Timed is implemented by detectors that wait for something not to happen.
type Timed[S any] interface {
	// Timer is called when the watermark has passed the time given to Context.SetTimer.
	Timer(c *Context, s *S)
}

// Keyed is implemented by detectors whose Spec says KeyFields.
type Keyed interface {
	// EachKey calls observe with every key of the event; the tenant is added to it. A key is made with AppendPart and need be
	// valid during the call only.
	EachKey(e *event.Event, observe func(key []byte))
	// KeyText is a key for people, as findings carry it.
	KeyText(key []byte) string
}

// Definition is a detector ready to be configured; detectors/detectors.go lists them all.
type Definition struct {
	Spec     Spec
	Defaults any // the configuration with its defaults
	build    func(conf map[string]any) (runner, error)
}

// Define makes a definition of a detector with configuration C and state S. build gets the defaults overlaid with what the
// operator set; keys that C does not have are refused. If *C has a method Validate() error, it is called.
func Define[C, S any](spec Spec, defaults C, build func(C) (Detector[S], error)) Definition {
	return Definition{Spec: spec, Defaults: defaults, build: func(conf map[string]any) (runner, error) {
		c := defaults
		if err := confmap.NewFromStringMap(conf).Unmarshal(&c); err != nil {
			return nil, fmt.Errorf("cannot read the configuration of detector %s: %w", spec.ID, err)
		}
		if v, ok := any(&c).(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return nil, fmt.Errorf("cannot configure detector %s: %w", spec.ID, err)
			}
		}
		d, err := build(c)
		if err != nil {
			return nil, fmt.Errorf("cannot configure detector %s: %w", spec.ID, err)
		}
		return newTyped(spec, d), nil
	}}
}

// Instance is a configured detector.
type Instance struct{ r runner }

// New configures the detector; conf holds what the operator set, nil for the defaults.
func (d Definition) New(conf map[string]any) (Instance, error) {
	r, err := d.build(conf)
	return Instance{r}, err
}

// Alert is what a detector raises; the engine makes a Finding of it, filling what the event, the context and the Spec know.
type Alert struct {
	// Scope names, beside the rule, tenant and key, what the alert is about. Equal scopes in one window are one finding: it is
	// raised once, repeats are counted only. For KeyMessage the scope stands in place of the key.
	Scope []string
	// Window, if not zero, lets the same scope be raised again in the next window of this length in event time.
	Window time.Duration

	Title      string // empty: the Spec's
	Severity   string // empty: the Spec's
	Confidence float64
	Summary    string   // one sentence with the actors named; names pass through Name, content never gets here
	Evidence   []string // one step each, no content
	Why        map[string]string
	EventIDs   []string // nil: the event observed
	FirstSeen  int64    // ns; 0: the event's time
	LastSeen   int64    // ns; 0: the event's time
	Count      int64    // 0: 1
	Tool       string   // where the event does not name it

	// Who and where, for an alert that a timer raises: there, no event says it.
	PrincipalID, ClientName, Server, ConversationID string
}

// nameLimit is how many characters of a name are shown in a sentence.
const nameLimit = 96

// Name makes a name that came over the wire fit for a sentence that people and models read: control and invisible characters
// are replaced, its length is limited. An empty name becomes `unknown`.
func Name(s string) string {
	if s == "" {
		return "unknown"
	}
	n, clean := 0, true
	for _, r := range s {
		n++
		if n > nameLimit || r == unicode.ReplacementChar || !unicode.IsGraphic(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	out := make([]rune, 0, nameLimit)
	for _, r := range s {
		if len(out) == nameLimit-1 {
			out = append(out, '…')
			break
		}
		if !unicode.IsGraphic(r) {
			r = unicode.ReplacementChar
		}
		out = append(out, r)
	}
	return string(out)
}
