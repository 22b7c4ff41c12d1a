// Package taint remembers, by keyed samples, what results held, and recognises it in later arguments. It never has the content.
package taint

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"

	"github.com/mcpsiem/mcpsiem/detectors/content"
	"github.com/mcpsiem/mcpsiem/detectors/flow"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// MaxSamples is how many samples of one message are used.
const MaxSamples = 64

// Samples are ascending hashes of a message; JSON has them as base64.
type Samples []uint64

// MarshalJSON writes base64.
func (s Samples) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 8*len(s))
	for _, h := range s {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return json.Marshal(base64.RawStdEncoding.EncodeToString(b))
}

var errSamples = errors.New("cannot read samples")

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Samples) UnmarshalJSON(text []byte) error {
	var t string
	if json.Unmarshal(text, &t) != nil {
		return errSamples
	}
	b, err := base64.RawStdEncoding.DecodeString(t)
	if err != nil || len(b)%8 != 0 || len(b) > 8*MaxSamples {
		return errSamples
	}
	*s = make(Samples, 0, len(b)/8)
	for ; len(b) > 0; b = b[8:] {
		*s = append(*s, binary.LittleEndian.Uint64(b))
	}
	return nil
}

// Of are the samples of an event. keep says which; nil for all.
func Of(e *event.Event, keep func(shingle.Kind) bool) Samples {
	all := e.Fingerprints[:min(len(e.Fingerprints), MaxSamples)]
	out := make(Samples, 0, len(all))
	for _, h := range all {
		if keep == nil || keep(shingle.KindOf(h)) {
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return slices.Clip(slices.Compact(out))
}

// Overlap is what two messages have in common.
type Overlap struct {
	Values      int // sensitive values, and what names somebody
	Identifiers int // words like ids, short texts
	Runs        int // runs of five words
}

// Any says that there is anything.
func (o Overlap) Any() bool { return o.Values+o.Identifiers+o.Runs > 0 }

// Score weighs what is in common: a sensitive value tells most, one run of words may be a phrase that everybody uses.
func (o Overlap) Score() int { return 3*o.Values + 2*o.Identifiers + o.Runs }

// Substantial says that it is more than a name or a phrase that two messages share by their subject.
func (o Overlap) Substantial() bool { return o.Values >= 2 || o.Runs >= 3 || o.Score() >= 5 }

func (o *Overlap) add(h uint64) {
	switch shingle.KindOf(h) {
	case shingle.Value, shingle.Person, shingle.Organisation:
		o.Values++
	case shingle.Run:
		o.Runs++
	default:
		o.Identifiers++
	}
}

// Common compares two lists of samples.
func Common(a, b Samples) (o Overlap) {
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i] < b[k]:
			i++
		case a[i] > b[k]:
			k++
		default:
			o.add(a[i])
			i++
			k++
		}
	}
	return o
}

// Without are the samples of a that are not in b.
func Without(a, b Samples) Samples {
	out := a[:0:0]
	for _, h := range a {
		if _, found := slices.BinarySearch(b, h); !found {
			out = append(out, h)
		}
	}
	return out
}

// Source is a result that is remembered.
type Source struct {
	flow.Step
	Secret   bool    `json:"x,omitempty"` // held a credential
	Personal bool    `json:"p,omitempty"` // held other sensitive values
	Samples  Samples `json:"h,omitempty"`
	Untold   bool    `json:"u,omitempty"` // from a source that strangers can write to
}

// Memory are the last results, oldest first.
type Memory struct {
	Sources []Source `json:"s,omitempty"`
}

// Note remembers a result. Of more than limit the oldest goes; so do those older than since.
func (m *Memory) Note(e *event.Event, step flow.Step, caps flow.Caps, since int64, limit int) {
	s := Of(e, nil)
	if len(s) == 0 {
		return
	}
	m.Sources = slices.DeleteFunc(m.Sources, func(o Source) bool {
		return o.At < since || o.Tool == step.Tool && o.Server == step.Server && slices.Equal(o.Samples, s)
	})
	if len(m.Sources) >= limit {
		m.Sources = slices.Delete(m.Sources, 0, len(m.Sources)-limit+1)
	}
	src := Source{Step: step, Samples: s, Untold: caps&flow.Untrusted != 0}
	for _, c := range e.DataClasses {
		if content.IsSecret(c) {
			src.Secret = true
		} else {
			src.Personal = true
		}
	}
	m.Sources = append(m.Sources, src)
}

// Match finds the source that has most in common with the samples, not older than since; nil if none has anything. accept may leave
// sources out.
func (m *Memory) Match(s Samples, since int64, accept func(*Source) bool) (best *Source, o Overlap) {
	for i := len(m.Sources) - 1; i >= 0; i-- {
		src := &m.Sources[i]
		if src.At < since || accept != nil && !accept(src) {
			continue
		}
		if c := Common(src.Samples, s); c.Score() > o.Score() {
			best, o = src, c
		}
	}
	return best, o
}
