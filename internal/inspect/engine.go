// Package inspect looks into the content of an MCP message once: it finds sensitive data, replaces it, and notes what detectors
// need to know of the content that will not be stored.
//
// Invariants:
//   - What could not be examined is withheld, never passed: bad JSON, bad UTF-8, too deep, too large, out of time, a panic.
//   - A tenant whose key cannot be had gets no pseudonyms: its bodies are withheld, elsewhere values give way to their class.
//   - The redacted body is valid JSON with the structure of the original; redacting it again changes nothing.
//   - Cost is linear in the size of the message and memory is bounded by it.
//   - Nothing of the content is in an error.
package inspect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/inspect/capability"
	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
	"github.com/mcpsiem/mcpsiem/internal/inspect/policy"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
	"github.com/mcpsiem/mcpsiem/internal/textscore"
)

// Config configures an Engine. Only Master is required.
type Config struct {
	Master   *pseudonym.Master
	Tenants  *pseudonym.Tenants    // salts of the tenants; nil: none, for measuring and tests, where nothing is kept
	Epoch    string                // part of every tenant's key; change it to cut old correlations
	Policy   *policy.Policy        // nil: pseudonymise everything
	MaxBytes int                   // bodies above it are withheld; 0: DefaultMaxBytes
	MaxDepth int                   // JSON nesting above it is withheld; 0: DefaultMaxDepth
	Timeout  time.Duration         // for one message; 0: DefaultTimeout
	Tools    *capability.Catalogue // what tools can do; nil: the built-in catalogue
	DryRun   bool                  // report, and leave the body as it is
	// Rotation is how long a fingerprint key is used; 0: DefaultRotation. Fingerprints of two periods do not compare.
	Rotation time.Duration
}

// Defaults of Config.
const (
	DefaultMaxBytes = 8 << 20
	DefaultMaxDepth = 128
	DefaultTimeout  = 5 * time.Second
	DefaultRotation = 7 * 24 * time.Hour
)

// Reasons for withholding, as schemas/event.yaml lists them.
const (
	ReasonUnparseable = "unparseable"
	ReasonTooDeep     = "too_deep"
	ReasonTooLarge    = "too_large"
	ReasonUTF8        = "invalid_utf8"
	ReasonTruncated   = "truncated"
	ReasonFailed      = "inspection_failed"
	ReasonNoKey       = "key_unavailable"
)

// Input is one message. Body is not changed and not kept.
type Input struct {
	Tenant, Server, Tool, Method, Kind, Direction string
	Time                                          int64 // ns since 1970; chooses the fingerprint key
	Body                                          []byte
	BodySHA256                                    string // hex; computed from Body if empty
	Truncated                                     bool   // the capture ends before the message does
}

// Output is what was found. It is valid until the Session's next Inspect.
type Output struct {
	Body            []byte // redacted; nil if withheld
	Withheld        string // reason, or empty
	BodyFingerprint string // 32 hex digits; empty if there is no body
	Classes         []string
	Redactions      map[string]float64
	Fingerprints    []uint64
	Signals         map[string]float64
	Capabilities    []string
	Destinations    []string      // where the arguments of a call lead
	Names           []uint64      // keyed hashes of names of tools: the called one's, or those in a result that gives orders
	Arguments       uint64        // keyed hash of the arguments of a call; 0 if it has none
	Tools           []ToolSignals // of the definitions of a tools/list result, in their order
	Changed         bool
}

// Engine is safe for concurrent use.
type Engine struct {
	cfg     Config
	scanner *class.Scanner
	texts   *textscore.Weights
	ids     ids
	pool    sync.Pool
}

// ids are the classes that the engine itself assigns.
type ids struct{ secret, env, elicited, blob, encoded, query class.ID }

// PolicyClasses lists the data classes as a policy needs them.
func PolicyClasses() []policy.Class {
	out := make([]policy.Class, len(class.Classes))
	for i, c := range class.Classes {
		out[i] = policy.Class{Name: c.Name, Tags: c.TagNames(), Secret: c.Tags&class.Secret != 0}
	}
	return out
}

// New compiles an engine.
func New(cfg Config) (*Engine, error) {
	if cfg.Master == nil {
		return nil, errors.New("cannot start inspection: no master key")
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.MaxDepth == 0 {
		cfg.MaxDepth = DefaultMaxDepth
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Rotation == 0 {
		cfg.Rotation = DefaultRotation
	}
	if cfg.Policy == nil {
		p, err := policy.Compile(policy.File{}, PolicyClasses())
		if err != nil {
			return nil, fmt.Errorf("cannot start inspection: %w", err)
		}
		cfg.Policy = p
	}
	if cfg.Tools == nil {
		c, err := capability.Default()
		if err != nil {
			return nil, fmt.Errorf("cannot start inspection: %w", err)
		}
		cfg.Tools = c
	}
	s, err := class.NewScanner(class.Classes, signal.Texts())
	if err != nil {
		return nil, fmt.Errorf("cannot start inspection: %w", err)
	}
	texts, err := textscore.Default()
	if err != nil {
		return nil, fmt.Errorf("cannot start inspection: %w", err)
	}
	e := &Engine{cfg: cfg, scanner: s, texts: texts}
	for name, id := range map[string]*class.ID{"secret": &e.ids.secret, "env_value": &e.ids.env, "elicited": &e.ids.elicited, "blob": &e.ids.blob, "encoded": &e.ids.encoded, "query_value": &e.ids.query} {
		var ok bool
		if *id, ok = s.ID(name); !ok {
			return nil, fmt.Errorf("cannot start inspection: no data class %s", name)
		}
	}
	return e, nil
}

// Session is the scratch space of a worker. It is not safe for concurrent use.
type Session struct {
	e *Engine
	w worker
}

// Session takes a session from the engine's pool; Close gives it back.
func (e *Engine) Session() *Session {
	if s, ok := e.pool.Get().(*Session); ok {
		return s
	}
	s := &Session{e: e}
	s.w.init(e)
	return s
}

// Close returns the session to the pool; its last Output is invalid from then on.
func (s *Session) Close() { s.e.pool.Put(s) }

// Inspect examines one message. out.Body does not alias in.Body unless nothing had to change.
func (e *Engine) Inspect(in *Input) (out Output) {
	s := e.Session()
	defer s.Close()
	out = s.Inspect(in)
	out.Body = slices.Clone(out.Body)
	out.Fingerprints, out.Names = slices.Clone(out.Fingerprints), slices.Clone(out.Names)
	return out
}

// Inspect examines one message; the output is valid until the next call.
func (s *Session) Inspect(in *Input) (out Output) {
	w := &s.w
	w.begin(in.Tenant, in.Server, in.Tool, in.Time)
	out.BodyFingerprint = w.fingerprintBody(in)
	w.tool(in)
	if len(in.Body) == 0 {
		out.Capabilities = w.capabilities(in)
		return out
	}
	body, reason := s.body(in)
	switch {
	case s.e.cfg.DryRun:
		out.Body = in.Body
	case reason != "":
		out.Withheld = reason
	case w.writer.Keyless():
		out.Withheld = ReasonNoKey
	default:
		out.Body = body
		out.Changed = w.changed
	}
	w.report(&out)
	w.finish(in, &out)
	out.Capabilities = w.capabilities(in)
	return out
}

// body examines the body and says why it must be withheld, if so.
func (s *Session) body(in *Input) (out []byte, reason string) {
	defer func() {
		if recover() != nil { // a panic's value may quote the content
			out, reason = nil, ReasonFailed
			s.w.init(s.e)
			s.w.begin(in.Tenant, in.Server, in.Tool, in.Time)
		}
	}()
	if len(in.Body) > s.e.cfg.MaxBytes {
		return nil, ReasonTooLarge
	}
	if in.Truncated {
		reason = ReasonTruncated
	} else if out, reason = s.w.message(in); reason == "" {
		return out, ""
	}
	// Not to be stored, and detectors need to know of it all the same.
	s.w.asText(in)
	return nil, reason
}

// Mode is how a text outside of a body is examined.
type Mode uint8

const (
	Full     Mode = iota // for everything, with the field's name as context
	Strong               // for what proves itself: no context, no phone numbers, no addresses of machines
	Identity             // as Strong, and the addresses of people and machines stay, for they say who acted
)

// Text examines a text outside of a body, as an attribute's value. field names it for policy and context. ok is false if the text
// could not be examined; then it must not be stored.
func (s *Session) Text(field, text string, mode Mode) (out string, ok bool) {
	defer func() {
		if recover() != nil {
			out, ok = "", false
		}
	}()
	return s.w.attribute(field, text, mode)
}

// Begin prepares the session for texts of an event without a body.
func (s *Session) Begin(in *Input) { s.w.begin(in.Tenant, in.Server, in.Tool, in.Time) }

func (w *worker) fingerprintBody(in *Input) string {
	if w.writer.Keyless() {
		return ""
	}
	var sum [sha256.Size]byte
	if n, err := hex.Decode(sum[:], []byte(in.BodySHA256[:min(len(in.BodySHA256), 2*sha256.Size)])); err != nil || n != sha256.Size {
		if len(in.Body) == 0 || in.Truncated { // the hash of a part says nothing of the whole
			return ""
		}
		sum = sha256.Sum256(in.Body)
	}
	return hex.EncodeToString(w.writer.Sum("body", sum[:])[:16])
}

var errNotJSON = errors.New("not JSON")
var errDeep = errors.New("nested too deeply")
var errTime = errors.New("out of time")

func reasonOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errDeep):
		return ReasonTooDeep
	case errors.Is(err, errTime):
		return ReasonFailed
	}
	return ReasonUnparseable
}

// Report brings classes and counts of out, the last Inspect's, up to date with the texts examined since.
func (s *Session) Report(out *Output) {
	if len(s.w.found) != s.w.reported {
		s.w.report(out)
	}
}

// Replace is the placeholder for a value that is known to be of a class; placeholders stay as they are.
func (s *Session) Replace(name, value string) string {
	id, ok := s.e.scanner.ID(name)
	if !ok || value == "" {
		return value
	}
	out, _ := s.w.whole([]byte(value), id, 0)
	return string(out)
}
